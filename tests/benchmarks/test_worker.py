"""Workers answer, survive errors and report them briefly, and inherit no settings from the other side."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.measure.process import Worker, WorkerError
from benchmarks.measure.worker import short_message
from benchmarks.settings import Settings

ROOT = Path(__file__).parents[2]


def test_a_worker_answers_and_survives_an_error() -> None:
    with Worker("benchmarks.measure.floor:NumPy", Settings(threads=1)) as worker:
        assert worker.ask("rate", size=8) > 0
        with pytest.raises(WorkerError, match="has no attribute 'nonsense'"):
            worker.ask("nonsense")
        assert worker.ask("rate", size=8) > 0


def test_a_worker_that_cannot_start_says_why() -> None:
    with pytest.raises(WorkerError, match="has no attribute 'Missing'"):
        Worker("benchmarks.measure.floor:Missing", Settings()).__enter__()


def test_a_worker_that_dies_is_noticed() -> None:
    with Worker("benchmarks.measure.floor:NumPy", Settings(threads=1)) as worker:
        worker.process.kill()
        with pytest.raises(WorkerError, match="its process ended early, with status -9"):
            worker.ask("rate", size=8)


def test_a_worker_that_hangs_is_ended() -> None:
    with Worker("benchmarks.measure.floor:NumPy", Settings(threads=1)) as worker:
        worker.patience = 0.3
        with pytest.raises(WorkerError, match=r"its process gave no answer in 0\.3 s"):
            worker.ask("rate", size=6000)
        assert worker.process.poll() is not None


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("backend='inductor' raised:\nInvalidCxxCompiler: No working C++ compiler found in config.cpp.cxx", "no C++ compiler"),
        ("torch.compile with aot_autograd does not currently support double backward", "no gradients of gradients"),
        ("CUDA out of memory. Tried to allocate 2 GiB", "out of memory"),
        ("something\nelse", "RuntimeError: something"),
    ],
)
def test_an_error_has_a_short_message_for_tables(message: str, words: str) -> None:
    assert short_message(RuntimeError(message)) == words


def test_pytorch_does_not_inherit_our_thread_settings() -> None:
    program = (
        "import benchmarks.__main__; import os; import minigrad;"
        "assert 'OPENBLAS_THREAD_TIMEOUT' in os.environ;"
        "assert 'OPENBLAS_THREAD_TIMEOUT' not in benchmarks.ENVIRONMENT"
    )
    clean = {key: value for key, value in os.environ.items() if key != "OPENBLAS_THREAD_TIMEOUT"}
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env=clean)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports the peak of this program alone")
def test_peak_memory_excludes_the_parent_process() -> None:
    program = (
        "import subprocess, sys; held = b'1' * (300 << 20);"
        "child = 'from benchmarks.measure.libraries import resident_mib; print(resident_mib())';"
        "print(subprocess.run([sys.executable, '-c', child], capture_output=True, text=True, check=True).stdout)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert 5 < float(done.stdout) < 250
