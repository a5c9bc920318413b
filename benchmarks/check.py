"""What `--check` does before the tables: the tests that need a GPU, so that a short time on such a machine suffices for all."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TEST_SECONDS = 200  # for the tests, at most
CAPTURE_SECONDS = 90  # for the captured steps, at most
STOP_AFTER = 400.0  # seconds; no measurement is begun later, so that everything takes less than eight minutes


class Outcome(NamedTuple):
    """What came of a check."""

    text: str  # a sentence or a table
    passed: bool


def run_checks(folder: Path) -> dict[str, Outcome]:
    """What came out, by title. What the tests print is written to the folder."""
    return {"GPU tests": run_gpu_tests(folder / "pytest.txt"), "Captured steps": check_capture()}


def run_gpu_tests(log: Path) -> Outcome:
    """`python -m pytest -m gpu`; the last line that it prints."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-rs"]
    start = time.perf_counter()
    passed = False
    with log.open("w") as file:
        try:
            done = subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, timeout=TEST_SECONDS)
            passed = done.returncode == 0
            end = (log.read_text().strip().splitlines() or ["nothing was printed"])[-1]
        except subprocess.TimeoutExpired:
            end = f"stopped after {TEST_SECONDS} seconds"
    return Outcome(f"`python -m pytest -m gpu`: {end} ({time.perf_counter() - start:.0f} s; all of it in {log.name})", passed)


def check_capture() -> Outcome:
    """Captured steps beside steps made op by op, of every trainer: a table, or why there is none."""
    name = "tests.cuda.capture_report"
    command = [sys.executable, "-m", name]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=CAPTURE_SECONDS)
    except subprocess.TimeoutExpired:
        return Outcome(f"`python -m {name}`: stopped after {CAPTURE_SECONDS} seconds", False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Outcome(f"`python -m {name}` failed: {reason}", False)
    return Outcome(done.stdout.strip(), True)
