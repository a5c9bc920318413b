"""The arithmetic floor: the time that the multiplications and additions of a step would take with
no other cost.

The floor uses the highest rate that any library at hand reaches on large matrix products (this
engine's product, NumPy's BLAS, PyTorch's), so that it favours no side. A step can only be faster by
doing less arithmetic, as Winograd's algorithm does for 3 x 3 convolutions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measure.libraries import Library, Minigrad, PyTorch
from benchmarks.measure.process import PAUSE, Worker
from benchmarks.settings import Settings

SIZES = {"numpy": (512, 1024, 2048), "cupy": (2048, 4096, 8192)}  # rows and columns of the matrices
TURNS = 3


class Products:
    """The matrix product of one library."""

    about = ""

    def __init__(self, settings: Settings) -> None:
        self.library = self.make_library(settings)

    def make_library(self, settings: Settings) -> Library:
        raise NotImplementedError

    def product(self, a: Any, b: Any) -> Any:
        raise NotImplementedError

    def rate(self, size: int) -> float:
        """Multiplications and additions per second in products of square matrices: the best of some turns."""
        rng = np.random.default_rng(0)
        a, b = (self.library.array(rng.random((size, size), np.float32)) for _ in range(2))
        action: Callable[[], Any] = lambda: self.product(a, b)  # noqa: E731
        self.library.seconds(action, 2)
        return 2 * size**3 / min(self.library.seconds(action, 2) for _ in range(TURNS))


class Ours(Products):
    library: Minigrad

    def make_library(self, settings: Settings) -> Library:
        return Minigrad(settings)

    def product(self, a: Any, b: Any) -> Any:
        return self.library.kernels.matmul(a, b)


class NumPy(Products):
    def make_library(self, settings: Settings) -> Library:
        return Library()

    def product(self, a: Any, b: Any) -> Any:
        return a @ b


class Theirs(Products):
    def make_library(self, settings: Settings) -> Library:
        return PyTorch(settings)

    def product(self, a: Any, b: Any) -> Any:
        return a @ b


def rates(settings: Settings) -> dict[str, float]:
    """Library -> its best rate in multiplications and additions per second."""
    libraries = {"minigrad": "Ours", "PyTorch": "Theirs"} | ({"NumPy": "NumPy"} if settings.backend == "numpy" else {})
    found = {}
    for name, side in libraries.items():
        with Worker(f"benchmarks.measure.floor:{side}", settings) as worker:
            time.sleep(PAUSE)
            found[name] = max(worker.ask("rate", size=size) for size in SIZES[settings.backend])
    return found
