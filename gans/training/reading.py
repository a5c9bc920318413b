"""Reading metrics from the GPU without waiting for it: it computes the next steps during the copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gans.training.trainer import Metrics
from minigrad.arrays import backend


class Reading:
    """The metrics of some steps as numbers.

    On the GPU, creating a `Reading` starts one copy of all of them to the host. `numbers` waits for
    this copy, but not for steps that were launched later.
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
