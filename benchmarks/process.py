"""`Worker`: one side of a measurement in a process of its own, and how it is asked.

Two libraries in one process would share thread pools and memory settings, and each would pay for the other's. So each has its
own process; both are ready and warm, and work in turn while the other one waits.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from benchmarks.settings import Settings

ENVIRONMENT = dict(os.environ)  # as the user set it: importing minigrad adds settings that PyTorch must not inherit
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class WorkerError(Exception):
    """A side could not do what it was asked for; the message is short, as for a table. `details` is the traceback."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class Worker:
    """An object in another process: `worker.ask("method", name=value)` gives what its method returns, as JSON has it.

    Parameters
    ----------
    path : "module:Class"; its constructor takes the settings and `arguments`
    environment : more environment variables
    arguments : what JSON can carry
    """

    def __init__(self, path: str, settings: Settings, environment: Mapping[str, str] | None = None, **arguments: Any) -> None:
        variables = {**ENVIRONMENT, **dict.fromkeys(THREADS, str(settings.threads)), **(environment or {})}
        command = [sys.executable, "-m", "benchmarks.worker", path, json.dumps(asdict(settings)), json.dumps(arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables)
        try:
            self.about: str = self._answer()
        except WorkerError:
            self.__exit__()
            raise

    def ask(self, method: str, **arguments: Any) -> Any:
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):  # then there is no answer either
            self.process.stdin.write(json.dumps([method, arguments]) + "\n")
            self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(f"its process ended early, with status {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"], answer["details"])
        return answer["result"]

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.__exit__(None, None, None)  # closes the pipes and waits
