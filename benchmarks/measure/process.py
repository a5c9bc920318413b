"""`Worker`: one side of a measurement in a process of its own.

Two libraries in one process would share thread pools and memory settings, and each would slow the
other down. So each side has its own process; both are warmed up, and each works while the other
waits.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from benchmarks import ENVIRONMENT, isa
from benchmarks.settings import Settings

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "NPROC")  # the last one is XLA's
PAUSE = 0.1  # seconds between turns: the threads of the other side busy-wait at first, and would take a core from this one


class WorkerError(Exception):
    """A side failed. The message is short enough for a table; `details` is the traceback."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class Worker:
    """An object in another process: `worker.ask("method", name=value)` returns what its method
    returns, through JSON.

    The process starts at once, so that several can start at the same time; `with` waits for it, and ends it.

    Parameters
    ----------
    path : "module:Class"; its constructor takes the settings and `arguments`
    environment : additional environment variables
    arguments : values that JSON can represent
    """

    def __init__(self, path: str, settings: Settings, environment: Mapping[str, str] | None = None, **arguments: Any) -> None:
        threads = dict.fromkeys(THREADS, str(settings.threads))
        variables = {**ENVIRONMENT, **threads, **isa.variables(settings.isa), **(environment or {})}
        command = [sys.executable, "-m", "benchmarks.measure.worker", path, json.dumps(asdict(settings)), json.dumps(arguments)]
        self.patience = settings.patience
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables)

    def ask(self, method: str, **arguments: Any) -> Any:
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):  # _answer reports that the process has ended
            self.process.stdin.write(json.dumps([method, arguments]) + "\n")
            self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout
        begin = time.monotonic()
        timer = threading.Timer(self.patience, self.process.kill)
        timer.start()
        try:
            line = self.process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            late = time.monotonic() - begin >= self.patience
            status = self.process.wait()
            reason = f"gave no answer in {self.patience:g} s" if late else f"ended early, with status {status}"
            raise WorkerError(f"its process {reason}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"], answer["details"])
        return answer["result"]

    def __enter__(self) -> Worker:
        """Wait until the object is made."""
        try:
            self.about: str = self._answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.__exit__(None, None, None)  # closes the pipes and waits


@contextlib.contextmanager
def several(workers: Mapping[str, Worker]) -> Iterator[Mapping[str, Worker]]:
    """Context of workers that start at the same time: importing a library keeps one core busy."""
    with contextlib.ExitStack() as stack:
        for worker in workers.values():
            stack.callback(worker.__exit__)
        for worker in workers.values():
            worker.__enter__()
        yield workers
