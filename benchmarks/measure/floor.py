"""The arithmetic floor: the time that the multiplications and additions of a step would take with
no other cost.

The floor uses the higher of the rates that NumPy's BLAS and PyTorch reach on large matrix products.
Our own product is shown beside them and does not count, so that a faster one does not raise the floor.
A step can only be faster than the floor by doing less arithmetic, as Winograd's algorithm does for
3 x 3 convolutions.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measure.libraries import JAX, Library, Minigrad, PyTorch
from benchmarks.measure.process import PAUSE, Worker, several
from benchmarks.settings import Settings

SIZES = {"numpy": (512, 1024, 2048), "cupy": (2048, 4096, 8192)}  # rows and columns of the matrices
TURNS = 3
TURN, PIECES = 0.02, 4  # seconds for a product of given shape, in pieces of which the fastest one counts


class Products:
    """The matrix product of one library."""

    about = ""

    def __init__(self, settings: Settings) -> None:
        self.library = self.make_library(settings)
        self.about, self.threads = self.library.about, settings.threads

    def make_library(self, settings: Settings) -> Library:
        raise NotImplementedError

    def product(self, a: Any, b: Any, out: Any) -> Any:
        """a b, written to `out` by the libraries that can: they would fetch new memory from the system each time."""
        raise NotImplementedError

    def rate(self, size: int) -> float:
        """Multiplications and additions per second in products of square matrices: the best of some turns."""
        rng = np.random.default_rng(0)
        a, b, out = (self.library.array(rng.random((size, size), np.float32)) for _ in range(3))
        action: Callable[[], Any] = lambda: self.product(a, b, out)  # noqa: E731
        self.library.seconds(action, 2)
        return 2 * size**3 / min(self.library.seconds(action, 2) for _ in range(TURNS))

    def prepare(self, m: int, k: int, n: int) -> None:
        """Operands of (m, k) and (k, n), by rows and by columns."""
        rng = np.random.default_rng(0)
        a, b = rng.random((m, k), np.float32), rng.random((k, n), np.float32)
        left, right = ({"rows": self.library.array(x), "columns": self.library.array(x.T.copy()).T} for x in (a, b))
        out = self.library.array(np.empty((m, n), np.float32))
        self.actions = {f"{i} x {j}": functools.partial(self.product, left[i], right[j], out) for i in left for j in right}
        for action in self.actions.values():
            action()

    def time(self, order: str) -> float:
        """Seconds of a product of the prepared operands in this memory order: "rows x columns".

        One thread's are seconds of processor time, so that other programs on the machine do not count.
        """
        action = self.actions[order]
        clock = time.process_time if self.threads == 1 and not self.library.gpu else time.perf_counter
        count = max(1, math.ceil(TURN / PIECES / self.library.seconds(action, 1)))
        return min(self.library.seconds(action, count, clock) for _ in range(PIECES))


class Ours(Products):
    library: Minigrad

    def make_library(self, settings: Settings) -> Library:
        return Minigrad(settings)

    def product(self, a: Any, b: Any, out: Any) -> Any:
        return self.library.kernels.matmul(a, b)  # in memory that minigrad has kept


class NumPy(Products):
    def make_library(self, settings: Settings) -> Library:
        return Library()

    def product(self, a: Any, b: Any, out: Any) -> Any:
        return np.matmul(a, b, out=out)


class Theirs(Products):
    library: PyTorch

    def make_library(self, settings: Settings) -> Library:
        return PyTorch(settings)

    def product(self, a: Any, b: Any, out: Any) -> Any:
        return self.library.torch.matmul(a, b, out=out)


def libraries(backend: str) -> dict[str, str]:
    """Library -> the class of its products, for a worker."""
    classes = {"minigrad": "Ours", "PyTorch": "Theirs"} | ({"NumPy": "NumPy"} if backend == "numpy" else {})
    return {name: f"benchmarks.measure.floor:{side}" for name, side in classes.items()}


class WithJAX(Products):
    """JAX, which takes no part in the products: only what it says of itself."""

    def make_library(self, settings: Settings) -> Library:
        return JAX(settings)


def what_they_use(settings: Settings) -> list[str]:
    """Versions and instruction sets, as each library tells them in a process of its own."""
    sides = [*libraries(settings.backend).values(), *["benchmarks.measure.floor:WithJAX"] * settings.jax]
    with several({side: Worker(side, settings) for side in sides}) as workers:
        return [worker.about for worker in workers.values()]


def rates(settings: Settings) -> dict[str, float]:
    """Library -> its best rate in multiplications and additions per second."""
    found = {}
    with several({name: Worker(side, settings) for name, side in libraries(settings.backend).items()}) as workers:
        for name, worker in workers.items():
            time.sleep(PAUSE)
            found[name] = max(worker.ask("rate", size=size) for size in SIZES[settings.backend])
    return found
