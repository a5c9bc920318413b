"""The metrics of the last steps, until their means are a row of metrics.csv."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from gans.training.metrics import ROW_EVERY
from gans.training.trainer import Metrics
from minigrad.arrays import backend

Arrays = dict[str, np.ndarray]


class RecentMetrics:
    """The metrics of the steps since the last full row. A checkpoint has them too, so that a resumed run writes the same rows.

    Parameters
    ----------
    write : what takes a full row, a step and the means of the metrics of the ROW_EVERY steps before it
    failure : the exception to raise when a metric of a step is not finite
    """

    def __init__(
        self, write: Callable[[int, dict[str, float]], None], failure: Callable[[int, FloatingPointError], Exception]
    ) -> None:
        self.write, self.failure = write, failure
        self.step = 0
        self.rows: list[Metrics] = []  # of the steps since the last full row
        self.arriving: tuple[int, Reading] | None = None  # a full row on its way from the GPU, and its last step

    def add(self, metrics: Metrics) -> None:
        """Take the metrics of a step. On the GPU a full row is written later, once it has arrived."""
        self.rows.append(metrics)
        self.step += 1
        if self.step % ROW_EVERY == 0:
            self.finish()  # the row before, which has arrived during these steps
            reading, self.rows = Reading(self.rows), []
            self.arriving = self.step, reading
            if reading.is_here:
                self.finish()

    def finish(self) -> None:
        """Wait for the full row that is on its way, if there is one, and write it."""
        if self.arriving is not None:
            (step, reading), self.arriving = self.arriving, None
            self.write(step, means(self._read(reading, step)))

    def finish_all(self) -> None:
        """Write a shorter row too, for the curves. If the run is resumed, a full row will replace it."""
        self.finish()
        if self.rows:
            self.write(self.step, means(self.read()))

    def read(self) -> Arrays:
        """The metrics since the last full row, one array each."""
        return self._read(Reading(self.rows), self.step)

    def _read(self, reading: Reading, end: int) -> Arrays:
        rows = reading.numbers()
        for step, row in enumerate(rows, end - len(rows)):
            for name, value in row.items():
                if not math.isfinite(value):
                    raise self.failure(step, FloatingPointError(f"{name} is {value}"))
        return {name: np.array([row[name] for row in rows if name in row]) for name in rows[-1]} if rows else {}

    # --- in checkpoints

    def state_dict(self) -> Arrays:
        """The metrics since the last full row, numbered, because the file does not keep their order."""
        return {_key(i, name): values for i, (name, values) in enumerate(self.read().items())}

    def load_state_dict(self, arrays: Mapping[str, Any], step: int) -> None:
        """Continue after `step` from what `state_dict` returned; other arrays may be there too."""
        numbered = sorted((int(key.split(".", 2)[1]), key) for key in arrays if key.startswith("pending."))
        columns = {key.split(".", 2)[2]: arrays[key] for _, key in numbered}
        rows = zip(*columns.values(), strict=True)
        self.rows = [{name: mg.Tensor(value) for name, value in zip(columns, row, strict=True)} for row in rows]
        self.step = step


def possible(names: Sequence[str], step: int) -> Arrays:
    """Arrays of every key and shape that `RecentMetrics.state_dict` may have at a step, given the names of all metrics."""
    return {_key(i, name): np.zeros(step % ROW_EVERY) for i in range(len(names)) for name in names}


def means(metrics: Arrays) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in metrics.items()}


def _key(number: int, name: str) -> str:
    return f"pending.{number:02}.{name}"


class Reading:
    """The metrics of some steps as numbers.

    On the GPU, creating a `Reading` starts one copy of all of them to the host. `numbers` waits for
    this copy, but not for steps that were launched later: the GPU computes these during the copy.
    """

    def __init__(self, rows: list[Metrics]) -> None:
        self.rows = rows
        self.arrive: Callable[[], np.ndarray] | None = None
        on_gpu = [value.data.reshape(1) for row in rows for value in row.values() if backend.is_gpu(value.data)]
        if on_gpu:
            joined = backend.array_module(*on_gpu).concatenate(on_gpu)
            self.arrive = backend.kernels_named("cupy").numbers.receive(joined)

    @property
    def is_here(self) -> bool:
        """Whether `numbers` returns without waiting."""
        return self.arrive is None

    def numbers(self) -> list[dict[str, float]]:
        """One dictionary per step."""
        arrived: Iterator[float] = iter(self.arrive().tolist() if self.arrive else ())
        return [
            {name: next(arrived) if backend.is_gpu(value.data) else value.item() for name, value in row.items()}
            for row in self.rows
        ]
