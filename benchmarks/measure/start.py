"""Start-up: how long the import takes, and how long until the first training step is done.

"Cold" is with every cache of compiled kernels empty, as after installation or a change of the code
(numba's, CuPy's and torch.compile's); "warm" is the next start. Both count from the start of the
process and include Python's own start.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import ENVIRONMENT
from benchmarks.cases import CASES
from benchmarks.measure.process import WorkerError
from benchmarks.measure.steps import make_side, write_setup
from benchmarks.settings import JAX, OP_BY_OP, SIDES, Settings

IMPORTS = {"minigrad": "import minigrad", "PyTorch": "import torch"}
FIRST_STEPS = ("mnist_gan", "dcgan_64")  # cases
CACHES = ("NUMBA_CACHE_DIR", "CUPY_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
TURNS = 3


def time_imports() -> dict[str, float]:
    """Seconds from the start of Python to the end of the import: the minimum of some turns."""
    best: dict[str, float] = {}
    for _ in range(TURNS):
        for name, program in IMPORTS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True, env=ENVIRONMENT)
            best[name] = min(time.perf_counter() - start, best.get(name, float("inf")))
    return best


def first_steps() -> list[tuple[str, str]]:
    """The pairs of case and side to time; compiled PyTorch comes last, since it compiles for minutes."""
    sides = [side for side in SIDES if side not in (OP_BY_OP, JAX)]
    return [(name, side) for side in sides for name in FIRST_STEPS]


def time_first_step(name: str, side: str, settings: Settings) -> dict[str, Any]:
    """A row: seconds from the start of the process to the end of the first step, cold and warm."""
    row: dict[str, Any] = {"case": name, "side": side}
    with tempfile.TemporaryDirectory() as folder:
        caches = {variable: str(Path(folder) / variable) for variable in CACHES}
        setup = Path(folder) / "setup.safetensors"
        write_setup(CASES[name], setup, batches=1)
        try:
            row["cold"], row["warm"] = (first_step(name, side, setup, settings, caches) for _ in range(2))
        except WorkerError as error:
            row["missing"] = str(error)
    return row


def first_step(name: str, side: str, setup: Path, settings: Settings, caches: dict[str, str]) -> float:
    start = time.perf_counter()
    with make_side(side, settings, caches, case=asdict(CASES[name]), setup=str(setup)) as worker:
        worker.ask("time", steps=1)
        return time.perf_counter() - start
