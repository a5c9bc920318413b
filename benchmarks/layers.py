"""One kernel at a time: every product, normalisation, activation and update of a training step, beside PyTorch's.

What is timed are the calls that `watch` has seen, on arrays of the same shapes in the same order in memory; those that several
cases share once. On the CPU Python's own time, some microseconds a call, is part of the small ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.libraries import Library, Minigrad, PyTorch
from benchmarks.process import Worker, WorkerError
from benchmarks.settings import Settings
from benchmarks.steps import PAUSE
from benchmarks.watch import Call, flops, make

TURN = 0.03  # seconds
TURNS = 2  # of each side; the faster one counts
KINDS = {  # what a kernel does for a layer of this kind, where that can be told from the weights
    ("conv2d", "Conv2d"): "forward",
    ("conv_transpose2d", "Conv2d"): "input gradient",
    ("conv2d", "ConvTranspose2d"): "input gradient",
    ("conv_transpose2d", "ConvTranspose2d"): "forward",
    ("linear", "Linear"): "forward",
}
OTHERS = ("normalize", "normalize_backward", "leaky_relu", "leaky_relu_backward", "tanh_backward", "max_pool_pick")
TIMED = ("conv2d", "conv_transpose2d", "conv2d_weight", "linear", "matmul", *OTHERS, "max_pool_place", "adam", "rmsprop")


class Kernels:
    """One side: prepares a call, then times it as often as it is asked to."""

    about = ""
    library: Library
    action: Callable[[], Any]

    def prepare(self, call: Call) -> None:
        rng = np.random.default_rng(0)
        self.action = self.action_of(call["kernel"], [self.on_device(make(x, rng)) for x in call["arguments"]])
        for _ in range(2):
            self.action()

    def time(self) -> float:
        once = self.library.seconds(self.action, 1)
        return self.library.seconds(self.action, max(1, math.ceil(TURN / once)))

    def on_device(self, x: Any) -> Any:
        if isinstance(x, list):
            return [self.on_device(each) for each in x]
        return self.library.array(x) if isinstance(x, np.ndarray) else x

    def action_of(self, kernel: str, arguments: list[Any]) -> Callable[[], Any]:
        raise NotImplementedError


class Ours(Kernels):
    def __init__(self, settings: Settings) -> None:
        self.library = Minigrad(settings)

    def action_of(self, kernel: str, arguments: list[Any]) -> Callable[[], Any]:
        from minigrad.kernels.geometry import Geometry, Size

        if arguments and isinstance(arguments[-1], dict):
            image, kernel_size, stride, padding, dilation, positions = map(tuple, arguments[-1].values())
            geometry = Geometry(Size(*image), kernel_size, stride, padding, dilation, Size(*positions))
            arguments = [*arguments[:-1], geometry]
        kernels = self.library.kernels  # type: ignore[attr-defined]
        if kernel == "max_pool_pick":  # of x itself, as in the forward
            arguments[0] = arguments[1]
        if kernel == "normalize_backward":  # with the sums that it needs, and that are the other gradients
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
        from benchmarks import torch_kernels

        return torch_kernels.action(kernel, arguments)


def time_kernels(results: Sequence[Mapping[str, Any]], settings: Settings) -> list[dict[str, Any]]:
    """A row for each different call of the cases' steps, given what `steps.compare` saw of each case."""
    rows: dict[str, dict[str, Any]] = {}
    with (
        Worker("benchmarks.layers:Ours", settings) as ours,
        Worker("benchmarks.layers:Theirs", settings) as theirs,
    ):
        for result in results:
            for call, count in result["calls"]:
                if call["kernel"] not in TIMED:
                    continue
                key = repr((call["kernel"], [x for x in call["arguments"] if not isinstance(x, float | int)]))
                if key not in rows:
                    rows[key] = {**told(call, result["layers"]), **_times(call, ours, theirs), "cases": {}}
                rows[key]["cases"][result["case"]] = count
    return list(rows.values())


def _times(call: Call, ours: Worker, theirs: Worker) -> dict[str, Any]:
    """Seconds of both sides, in turn; None where a side has no answer."""
    best: dict[str, Any] = {}
    sides = {"ours": ours, "theirs": theirs}
    for turn in range(-1, TURNS):
        for side, worker in sides.items():
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


def told(call: Call, layers: Mapping[str, str]) -> dict[str, Any]:
    """A call in words: the kernel, for which layer it does what, on what shapes."""
    arrays = [x["shape"] for x in call["arguments"] if isinstance(x, dict) and "shape" in x]
    layer, task = "", ""
    if call["kernel"] == "conv2d_weight":
        layer = layers.get(_key([arrays[1][1], arrays[0][1], *call["arguments"][-1]["kernel"]]), "")
        task = "weight gradient"
    elif call["kernel"] == "matmul":
        layer, task = _told_product(call, arrays, layers)
    elif call["kernel"] in ("conv2d", "conv_transpose2d", "linear"):
        layer = layers.get(_key(arrays[1]), "")
        kinds = {name.rpartition(" ")[2] for name in layer.split(" or ")}
        task = KINDS.get((call["kernel"], kinds.pop()), "") if len(kinds) == 1 else ""
    if call["kernel"] in ("adam", "rmsprop"):
        arrays = [[sum(math.prod(p["shape"]) for p in call["arguments"][0])]]
    shapes = ", ".join("x".join(map(str, shape)) for shape in arrays[:2])
    return {"kernel": call["kernel"], "layer": layer, "task": task, "shapes": shapes, "flops": flops(call)}


def _told_product(call: Call, arrays: list[list[int]], layers: Mapping[str, str]) -> tuple[str, str]:
    """Of a dense layer: the weights' gradient is g^T x, and g^T lies transposed; that of its input is g W."""
    of_weight, of_input = layers.get(_key([arrays[0][0], arrays[1][-1]])), layers.get(_key(arrays[1]))
    transposed = call["arguments"][0]["axes"] == [1, 0] or arrays[0][0] == 1
    if of_weight and (transposed or not of_input):
        return of_weight, "weight gradient"
    return (of_input, "input gradient") if of_input else ("", "")


def layer_names(trainer: Any) -> dict[str, str]:
    """The shape of each weight matrix or kernel -> "network.layer Kind"; several layers of one shape are joined by "or"."""
    names: dict[str, list[str]] = {}
    for network, module in trainer.networks().items():
        for name, layer in module.named_modules().items():
            weight = vars(layer).get("weight")
            if weight is not None and weight.ndim in (2, 4):
                names.setdefault(_key(weight.shape), []).append(f"{network}.{name} {type(layer).__name__}")
    return {shape: " or ".join(each) for shape, each in names.items()}


def _key(shape: Any) -> str:
    return "x".join(map(str, shape))
