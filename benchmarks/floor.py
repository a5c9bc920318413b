"""The arithmetic floor: how long a step's multiplications and additions would take if nothing else had to be done.

The rate is what this machine reaches on large products of matrices, the best of several sizes and of all libraries at hand
(this engine's own product, NumPy's BLAS, PyTorch's), so that the floor is nobody's friend. No side can be faster but by doing
less arithmetic, as Winograd's algorithm does for convolutions of 3 x 3.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.libraries import Library, Minigrad, PyTorch
from benchmarks.process import Worker
from benchmarks.settings import Settings
from benchmarks.steps import PAUSE

SIZES = {"numpy": (512, 1024, 2048), "cupy": (2048, 4096, 8192)}  # rows and columns of the matrices
TURNS = 3


class Products:
    """One library's product of two matrices."""

    about = ""

    def __init__(self, settings: Settings) -> None:
        self.library = self.make_library(settings)

    def make_library(self, settings: Settings) -> Library:
        raise NotImplementedError

    def product(self, a: Any, b: Any) -> Any:
        raise NotImplementedError

    def rate(self, size: int) -> float:
        """Multiplications and additions a second: the best of some products of so large matrices."""
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
    """Library -> multiplications and additions a second, its best."""
    libraries = {"minigrad": "Ours", "PyTorch": "Theirs"} | ({"NumPy": "NumPy"} if settings.backend == "numpy" else {})
    found = {}
    for name, side in libraries.items():
        with Worker(f"benchmarks.floor:{side}", settings) as worker:
            time.sleep(PAUSE)
            found[name] = max(worker.ask("rate", size=size) for size in SIZES[settings.backend])
    return found
