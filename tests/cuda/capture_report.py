"""Captured steps compared with op-by-op steps, for every trainer in full size: `python -m tests.cuda.capture_report`, on a GPU.

Prints a table: whether the step was captured (if not, why), whether losses and weights are
bit-identical, and the times.
"""

from __future__ import annotations

import sys
import time
import traceback
import warnings
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cases import CASES, Case
from minigrad.arrays import backend
from minigrad.capture import WARM_UP, Captured
from tests.capture.tiny_trainers import as_numbers, batches, everything

COMPARED, TIMED = WARM_UP + 6, 30  # steps


class Run(NamedTuple):
    """The results of some steps, captured or op by op."""

    losses: list[dict[str, float]]
    state: dict[str, np.ndarray]
    seconds: float  # per step
    refusal: str  # why the step was not captured, if it should have been


def train(case: Case, captured: bool) -> Run:
    trainer = case.trainer(backend="cupy")
    step: Any = Captured(trainer.step) if captured else trainer.step
    given = batches(trainer, 2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        losses = as_numbers([step(*given[i % 2]) for i in range(COMPARED)])
    state = everything(trainer)
    start = time.perf_counter()
    as_numbers([step(*given[i % 2]) for i in range(TIMED)])
    seconds = (time.perf_counter() - start) / TIMED
    refused = captured and step.program is None
    return Run(losses, state, seconds, str(caught[-1].message) if refused and caught else "")


def differences(eager: Run, captured: Run) -> list[str]:
    """The names of losses and arrays that are not bit-identical."""
    rows = list(zip(eager.losses, captured.losses, strict=True))
    losses = [name for name in eager.losses[0] if any(a[name] != b[name] for a, b in rows)]
    arrays = [key for key, a in eager.state.items() if not np.array_equal(a, captured.state[key])]
    return losses + [key for key in arrays if not key.endswith("changes")]


def row(name: str, case: Case) -> tuple[str, bool]:
    """A row of the table, and whether the step was captured with bit-identical results."""
    eager, captured = (train(case, captured) for captured in (False, True))
    differing = differences(eager, captured)
    same = "yes" if not differing else f"except {len(differing)}, first {differing[0]}"
    times = " | ".join(f"{1000 * run.seconds:.2f}" for run in (eager, captured))
    return f"| {name} | {captured.refusal or 'yes'} | {same} | {times} |", not captured.refusal and not differing


def report() -> bool:
    """Print the table, each row at once, so that an interrupted run keeps its rows.

    Returns whether every case was captured with bit-identical results.
    """
    print("| case | captured | bit-identical | op by op, ms | captured, ms |\n| --- | --- | --- | --: | --: |", flush=True)
    passed = {}
    for name, case in CASES.items():
        try:
            line, passed[name] = row(name, case)
        except Exception as error:  # a failure must not end the report on the other cases
            traceback.print_exc()
            line, passed[name] = f"| {name} | {type(error).__name__}: {str(error).partition(chr(10))[0]} | | | |", False
        print(line, flush=True)
    return all(passed.values())


if __name__ == "__main__":
    if reason := backend.why_no_gpu():
        sys.exit(reason)
    if not report():
        sys.exit("not every case was captured with bit-identical results")
