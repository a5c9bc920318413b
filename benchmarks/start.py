"""From nothing to the first step: how long the import takes, and how long until a training step is done.

"Cold" is with every cache of compiled kernels empty, as after installation or a change of the code (numba's, CuPy's and
torch.compile's); "warm" is the next start. Both count from the start of the process, Python's own start included.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES
from benchmarks.process import ENVIRONMENT, Worker, WorkerError
from benchmarks.settings import Settings
from benchmarks.steps import write_setup

IMPORTS = {"minigrad": "import minigrad", "PyTorch": "import torch"}
FIRST_STEPS = ("mnist_gan", "dcgan_64")  # cases
CACHES = ("NUMBA_CACHE_DIR", "CUPY_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
TURNS = 3


def time_imports() -> dict[str, float]:
    """Seconds from the start of Python to the end of the import, the least of some."""
    best: dict[str, float] = {}
    for _ in range(TURNS):
        for name, program in IMPORTS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True, env=ENVIRONMENT)
            best[name] = min(time.perf_counter() - start, best.get(name, float("inf")))
    return best


def time_first_steps(settings: Settings) -> list[dict[str, Any]]:
    """Seconds from the start of the process to the end of the first step: a row for each case and side."""
    rows = []
    for name in FIRST_STEPS:
        for side in ("ours", *settings.variants):
            with tempfile.TemporaryDirectory() as folder:
                caches = {variable: str(Path(folder) / variable) for variable in CACHES}
                setup = Path(folder) / "setup.safetensors"
                write_setup(CASES[name], setup, batches=1)
                row: dict[str, Any] = {"case": name, "side": side}
                try:
                    row["cold"], row["warm"] = (first_step(name, side, setup, settings, caches) for _ in range(2))
                except WorkerError as error:
                    row["missing"] = str(error)
            rows.append(row)
    return rows


def first_step(case: str, side: str, setup: Path, settings: Settings, caches: dict[str, str]) -> float:
    start = time.perf_counter()
    arguments: dict[str, Any] = {"case": asdict(CASES[case]), "setup": str(setup)}
    path = "benchmarks.steps:Ours"
    if side != "ours":
        path, arguments["variant"] = "benchmarks.steps:Theirs", side
    with Worker(path, settings, caches, **arguments) as worker:
        worker.ask("time", steps=1)
        return time.perf_counter() - start
