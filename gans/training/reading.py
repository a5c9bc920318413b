"""Metrics on their way to the host: the GPU goes on with the next steps while they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gans.training.trainer import Metrics
from minigrad.arrays import backend


class Reading:
    """The metrics of some steps, to be read as numbers.

    Where they are on the GPU they are copied from now on, all at once: `numbers` waits for that, but for no step made since.
    """

    def __init__(self, rows: list[Metrics]) -> None:
        self.rows = rows
        self.arrive: Callable[[], np.ndarray] | None = None
        there = [value.data.reshape(1) for row in rows for value in row.values() if backend.is_gpu(value.data)]
        if there:
            joined = backend.array_module(*there).concatenate(there)
            self.arrive = backend.kernels_named("cupy").numbers.receive(joined)

    @property
    def is_here(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.arrive is None

    def numbers(self) -> list[dict[str, float]]:
        """A dictionary for each step."""
        came: Iterator[float] = iter(self.arrive().tolist() if self.arrive else ())
        return [
            {name: next(came) if backend.is_gpu(value.data) else value.item() for name, value in row.items()}
            for row in self.rows
        ]
