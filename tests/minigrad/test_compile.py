"""`python -m minigrad.compile` leaves nothing to compile for training."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]

COMPILED_BEFORE_AND_AFTER_TRAINING = """
import sys
import numba
from tiny_trainers import MAKERS, batches, make
from minigrad import compile
from minigrad.kernels.cpu.loops import Loop

def signatures():
    found = {}
    for module in [m for name, m in sys.modules.items() if name.startswith("minigrad.kernels.cpu.")]:
        for name, value in vars(module).items():
            loop = value.run if isinstance(value, Loop) else value
            if isinstance(loop, numba.core.dispatcher.Dispatcher):
                found[f"{module.__name__}.{name}"] = set(loop.signatures)
    return found

for part in compile.PARTS:
    for dtype in ("float32", "float64"):
        compile.compile_part(part, dtype)
before = signatures()
for which in MAKERS:
    trainer = make(which, "numpy")
    trainer.step(*batches(trainer, 1)[0])
after = signatures()
print(sorted(name for name in after if after[name] - before.get(name, set())))
"""


def test_no_trainer_compiles_a_kernel_after_minigrad_compile() -> None:
    path = os.pathsep.join(map(str, (TESTS / "capture", TESTS.parent)))
    command = [sys.executable, "-c", COMPILED_BEFORE_AND_AFTER_TRAINING]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
