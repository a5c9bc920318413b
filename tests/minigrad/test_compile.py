"""`python -m minigrad.compile` leaves nothing to compile for training."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minigrad.compile import main

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


def test_flags_that_it_does_not_have_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--foo"])
    assert end.value.code == 2
    assert "unrecognized arguments: --foo" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="Windows has no process groups")
def test_ctrl_c_ends_it_in_a_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, "MINIGRAD_CACHE": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "minigrad.compile"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it may be ignored
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        while not list(tmp_path.rglob("*.nbc")):  # until a kernel is compiled
            assert process.poll() is None
            time.sleep(0.05)
        signal.signal(signal.SIGINT, before)
        os.killpg(process.pid, signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint) == (130, "interrupted; what has been compiled stays\n")
