"""The overhead of an operation: tensors of a few numbers, where the arithmetic takes almost no
time.

Both sides run the same lines, since minigrad's functions have PyTorch's names. The forward builds a
graph; the backward is one call of `grad` for all inputs. On a GPU the clock stops when the results
are ready.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.measure.libraries import Library, Minigrad, PyTorch
from benchmarks.measure.process import Worker
from benchmarks.settings import Settings

REPEATS = 500
TURNS = 5  # of each side; the fastest one counts

ROWS, SQUARE, VECTOR, IMAGE = (4, 4), (4, 4), (4,), (1, 2, 4, 4)
OPERATIONS: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {  # name -> function of F and tensors; their shapes
    "a + b": (lambda F, a, b: a + b, [ROWS, ROWS]),
    "a * b": (lambda F, a, b: a * b, [ROWS, ROWS]),
    "a @ b": (lambda F, a, b: a @ b, [ROWS, SQUARE]),
    "a.sum()": (lambda F, a: a.sum(), [ROWS]),
    "a.reshape(16)": (lambda F, a: a.reshape(16), [ROWS]),
    "leaky_relu": (lambda F, a: F.leaky_relu(a, 0.2), [ROWS]),
    "sigmoid": (lambda F, a: F.sigmoid(a), [ROWS]),
    "linear": (lambda F, a, w, b: F.linear(a, w, b), [ROWS, SQUARE, VECTOR]),
    "conv2d": (lambda F, x, w: F.conv2d(x, w, None, 1, 1), [IMAGE, (2, 2, 3, 3)]),
    "batch_norm": (lambda F, a, w, b: F.batch_norm(a, None, None, w, b, training=True), [ROWS, VECTOR, VECTOR]),
}


class Small:
    """One side."""

    about = ""
    library: Library
    functional: ModuleType

    def tensor(self, a: np.ndarray) -> Any:
        raise NotImplementedError

    def grad(self, y: Any, inputs: list[Any], g: Any) -> Any:
        raise NotImplementedError

    def time(self, operation: str) -> list[float]:
        """Seconds of the forward, and of forward and backward."""
        function, shapes = OPERATIONS[operation]
        rng = np.random.default_rng(0)
        inputs = [self.tensor(rng.random(shape, np.float32)) for shape in shapes]
        y = function(self.functional, *inputs)
        g = self.tensor(np.ones(tuple(y.shape), np.float32))

        def forward() -> Any:
            return function(self.functional, *inputs)

        def both() -> Any:
            return self.grad(forward(), inputs, g)

        self.library.seconds(both, REPEATS // 5)
        return [self.library.seconds(action, REPEATS) for action in (forward, both)]


class Ours(Small):
    library: Minigrad

    def __init__(self, settings: Settings) -> None:
        import minigrad as mg
        import minigrad.functional as F

        self.library, self.functional, self.mg = Minigrad(settings), F, mg

    def tensor(self, a: np.ndarray) -> Any:
        return self.mg.Tensor(self.library.array(a), requires_grad=True)

    def grad(self, y: Any, inputs: list[Any], g: Any) -> Any:
        return self.mg.grad(y, inputs, g)


class Theirs(Small):
    library: PyTorch

    def __init__(self, settings: Settings) -> None:
        import torch.nn.functional as F

        self.library, self.functional = PyTorch(settings), F

    def tensor(self, a: np.ndarray) -> Any:
        return self.library.array(a).requires_grad_()

    def grad(self, y: Any, inputs: list[Any], g: Any) -> Any:
        return self.library.torch.autograd.grad(y, inputs, g)


def time_small(settings: Settings) -> list[dict[str, Any]]:
    """A row for each operation: microseconds of the forward, and of forward and backward, for both sides."""
    rows = []
    with (
        Worker("benchmarks.measure.overhead:Ours", settings) as ours,
        Worker("benchmarks.measure.overhead:Theirs", settings) as theirs,
    ):
        for operation in OPERATIONS:
            turns = [[worker.ask("time", operation=operation) for worker in (ours, theirs)] for _ in range(TURNS)]
            best = 1e6 * np.array(turns).min(axis=0)  # (side, direction)
            rows.append({"operation": operation, "ours": best[0].tolist(), "theirs": best[1].tolist()})
    return rows
