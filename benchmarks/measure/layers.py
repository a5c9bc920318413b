"""One kernel at a time: every product, normalization, activation and update of a training step,
compared with PyTorch's.

The timed calls are those that `watch` saw in the steps, on arrays of the same shapes and memory
order. A call that several cases share is timed once. On the CPU, Python's own time of some
microseconds per call is a visible part of the small ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.measure.libraries import Library, Minigrad, PyTorch
from benchmarks.measure.process import PAUSE, Worker, WorkerError
from benchmarks.measure.watch import Call, explain, make
from benchmarks.settings import Settings

TURN = 0.03  # seconds
TURNS = 2  # of each side; the faster one counts
PRODUCTS = ("conv2d", "conv_transpose2d", "conv2d_weight", "linear", "matmul")
OTHERS = ("normalize", "normalize_backward", "leaky_relu", "leaky_relu_backward", "tanh_backward", "max_pool_pick")
TIMED = (*PRODUCTS, *OTHERS, "max_pool_place", "adam", "rmsprop")


class Kernels:
    """One side: prepares a call, then times it on request."""

    about = ""
    library: Library
    action: Callable[[], Any]

    def prepare(self, call: Call) -> None:
        rng = np.random.default_rng(0)
        self.action = self.action_of(call["kernel"], [self.to_device(make(x, rng)) for x in call["arguments"]])
        for _ in range(2):
            self.action()

    def time(self) -> float:
        once = self.library.seconds(self.action, 1)
        return self.library.seconds(self.action, max(1, math.ceil(TURN / once)))

    def to_device(self, x: Any) -> Any:
        if isinstance(x, list):
            return [self.to_device(each) for each in x]
        return self.library.array(x) if isinstance(x, np.ndarray) else x

    def action_of(self, kernel: str, arguments: list[Any]) -> Callable[[], Any]:
        """A function that makes the call."""
        raise NotImplementedError


class Ours(Kernels):
    library: Minigrad

    def __init__(self, settings: Settings) -> None:
        self.library = Minigrad(settings)

    def action_of(self, kernel: str, arguments: list[Any]) -> Callable[[], Any]:
        from minigrad.kernels.geometry import Geometry, Size
        from minigrad.kernels.interface import AdamNumbers, RMSpropNumbers

        if arguments and isinstance(arguments[-1], dict):
            image, kernel_size, stride, padding, dilation, positions = map(tuple, arguments[-1].values())
            geometry = Geometry(Size(*image), kernel_size, stride, padding, dilation, Size(*positions))
            arguments = [*arguments[:-1], geometry]
        if kernel in ("adam", "rmsprop"):  # the function that reads the numbers is not among the described arguments
            numbers = AdamNumbers(1e-3, 0.9, 0.999, 1e-8, 1) if kernel == "adam" else RMSpropNumbers(1e-3, 0.99, 1e-8)
            arguments = [(lambda: numbers) if x is None else x for x in arguments]
        kernels = self.library.kernels
        if kernel == "max_pool_pick":  # pick from x itself, as the forward does
            arguments[0] = arguments[1]
        if kernel == "normalize_backward":  # with the sums that it needs, which are the gradients of weight and bias
            g, x, weight, mean, var, eps, *_ = arguments
            return lambda: kernels.normalize_backward(
                g, x, weight, mean, var, eps, *kernels.normalize_sums(g, x, mean, var, eps)
            )
        function = getattr(kernels, kernel)
        return lambda: function(*arguments)


class Theirs(Kernels):
    def __init__(self, settings: Settings) -> None:
        self.library = PyTorch(settings)

    def action_of(self, kernel: str, arguments: list[Any]) -> Callable[[], Any]:
        from benchmarks.pytorch import kernels

        return kernels.action(kernel, arguments)


class KernelTimer:
    """Both sides, and a row for each distinct call of the cases timed so far."""

    def __init__(self, sides: Mapping[str, Worker]) -> None:
        self.sides = sides
        self.rows: dict[str, dict[str, Any]] = {}

    def add(self, result: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Time the calls of a case that are new, given what `steps.compare` saw; all rows so far."""
        for call, count in result["calls"]:
            if call["kernel"] in TIMED:
                key = repr((call["kernel"], [x for x in call["arguments"] if not isinstance(x, float | int)]))
                if key not in self.rows:
                    self.rows[key] = {**explain(call, result["layers"]), **self._time(call), "cases": {}}
                self.rows[key]["cases"][result["case"]] = count
        return list(self.rows.values())

    def _time(self, call: Call) -> dict[str, Any]:
        """Seconds of both sides, in turn.

        None for a side that fails, and for one that was not asked because of that.
        """
        best: dict[str, Any] = {}
        for turn in range(-1, TURNS):
            for side, worker in self.sides.items():
                try:
                    if turn < 0:
                        worker.ask("prepare", call=call)
                    else:
                        time.sleep(PAUSE / 2)
                        best[side] = min(worker.ask("time"), best.get(side, math.inf))
                except WorkerError:
                    best[side] = None
                    return {"ours": None, "theirs": None, **best}
        return best


@contextmanager
def kernel_timer(settings: Settings) -> Iterator[KernelTimer]:
    """Context with both sides' processes."""
    with (
        Worker("benchmarks.measure.layers:Ours", settings) as ours,
        Worker("benchmarks.measure.layers:Theirs", settings) as theirs,
    ):
        yield KernelTimer({"ours": ours, "theirs": theirs})
