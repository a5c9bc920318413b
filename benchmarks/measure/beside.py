"""Steps beside another program: alone, and while one busy process wants a core of the machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from benchmarks.cases import Case
from benchmarks.measure.steps import sides_of, time_in_turn
from benchmarks.settings import OURS, Settings

CASES = ("mnist_gan", "dcgan_28")  # unless others are named
TURNS = 2  # alone and beside it
LOOP = """
import os
parent = os.getppid()
while os.getppid() == parent:  # it ends with the benchmark, however that ends
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def busy_process() -> Iterator[subprocess.Popen[bytes]]:
    """Context in which a process runs a plain loop, on the cores that the system gives it."""
    with subprocess.Popen([sys.executable, "-c", LOOP]) as process:
        try:
            yield process
        finally:
            process.kill()


def time_beside(name: str, case: Case, settings: Settings) -> dict[str, Any]:
    """A row: seconds of a step of ours and of tuned PyTorch's, "alone" and "beside" the busy process."""
    brief = replace(settings, seconds=settings.seconds / (2 * TURNS))
    row: dict[str, Any] = {"case": name, "alone": {}, "beside": {}}

    def add(where: str) -> None:
        for side, times in time_in_turn(sides, brief)["seconds"].items():
            row[where].setdefault(side, []).extend(times)

    with sides_of(case, settings, (OURS, "tuned")) as (sides, _):
        for _ in range(TURNS):
            add("alone")
            with busy_process():
                add("beside")
    return row
