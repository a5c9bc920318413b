"""Watch a training step: which kernels it calls, on arrays of which shapes, and for which layers.

The calls give the number of multiplications and additions of a step, so that nothing is counted by
hand, and the list of kernels that `layers` times. The engine needs no support for this: while a
step is watched, the functions of its kernel module are replaced by functions that note each call.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

Call = dict[str, Any]  # {"kernel": name, "arguments": [...]}, as JSON: see `describe`

GEOMETRY = ("image", "kernel", "stride", "padding", "dilation", "positions")
KINDS = {  # (kernel, layer) -> what the kernel computes for a layer of this class
    ("conv2d", "Conv2d"): "forward",
    ("conv_transpose2d", "Conv2d"): "input gradient",
    ("conv2d", "ConvTranspose2d"): "input gradient",
    ("conv_transpose2d", "ConvTranspose2d"): "forward",
    ("linear", "Linear"): "forward",
}


@contextmanager
def watching(kernels: ModuleType) -> Iterator[list[Call]]:
    """Context in which every call of a function of the kernel module is appended to the list."""
    calls: list[Call] = []
    originals = {name: getattr(kernels, name) for name in kernels.__all__ if name != "from_host"}  # which computes nothing

    def watched(name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            calls.append({"kernel": name, "arguments": [describe(x) for x in arguments]})
            return originals[name](*arguments)

        return call

    for name in originals:
        setattr(kernels, name, watched(name))
    try:
        yield calls
    finally:
        for name, function in originals.items():
            setattr(kernels, name, function)


def describe(x: Any) -> Any:
    """An argument as JSON: an array as shape, memory order and dtype; a geometry as its sizes; a function as None."""
    from minigrad.arrays.layout import axes_in_memory
    from minigrad.kernels.geometry import Geometry

    if hasattr(x, "strides"):
        return {"shape": list(x.shape), "axes": list(axes_in_memory(x) or range(x.ndim)), "dtype": str(x.dtype)}
    if isinstance(x, Geometry):
        return {name: list(getattr(x, name)) for name in GEOMETRY}
    if callable(x):
        return None
    return [describe(each) for each in x] if isinstance(x, list | tuple) else x


def make(description: Any, rng: np.random.Generator) -> Any:
    """An argument made from its description: arrays hold random numbers in [0, 1); a geometry stays a dict."""
    if isinstance(description, list):
        return [make(each, rng) for each in description]
    if not isinstance(description, dict) or "axes" not in description:
        return description
    shape, axes = description["shape"], description["axes"]
    stored = rng.random([shape[i] for i in axes]).astype(description["dtype"])
    return stored.transpose(np.argsort(axes))


def flops(call: Mapping[str, Any]) -> int:
    """Multiplications and additions of a product; 0 for any other kernel, which memory bandwidth
    limits, not arithmetic.

    A product of (m, k) and (k, n) has m n k of each. A convolution counts as the product of its
    im2col matrix with the weights, including the taps that fall on padding, as is usual.
    """
    kernel, arguments = call["kernel"], call["arguments"]
    if kernel in ("conv2d", "conv_transpose2d", "conv2d_weight"):
        geometry = arguments[-1]
        images, other = arguments[0]["shape"], arguments[1]["shape"]
        pairs = images[1] * other[1] if kernel == "conv2d_weight" else other[0] * other[1]  # input times output channels
        return 2 * images[0] * pairs * math.prod(geometry["positions"]) * math.prod(geometry["kernel"])
    if kernel == "linear":
        return 2 * math.prod(arguments[0]["shape"]) * arguments[1]["shape"][0]
    if kernel == "matmul":
        a, b = arguments[0]["shape"], arguments[1]["shape"]
        return 2 * math.prod(np.broadcast_shapes(a[:-2], b[:-2])) * a[-2] * a[-1] * b[-1]
    return 0


def count_calls(calls: list[Call]) -> list[tuple[Call, int]]:
    """The distinct calls, in order of first appearance, and how often each was made.

    Numbers do not tell calls apart.
    """
    first: dict[str, Call] = {}
    count: Counter[str] = Counter()
    for call in calls:
        key = repr((call["kernel"], [x if isinstance(x, dict | list) else type(x) for x in call["arguments"]]))
        first.setdefault(key, call)
        count[key] += 1
    return [(call, count[key]) for key, call in first.items()]


def layer_names(trainer: Any) -> dict[str, str]:
    """Shape of each weight matrix or kernel -> "network.layer Class".

    Layers of equal shape are joined by "or".
    """
    names: dict[str, list[str]] = {}
    for network, module in trainer.networks().items():
        for name, layer in module.named_modules():
            weight = vars(layer).get("weight")
            if weight is not None and weight.ndim in (2, 4):
                names.setdefault(_key(weight.shape), []).append(f"{network}.{name} {type(layer).__name__}")
    return {shape: " or ".join(each) for shape, each in names.items()}


def explain(call: Call, layers: Mapping[str, str]) -> dict[str, Any]:
    """A row about a call: the kernel, the layer, what it computes for that layer, shapes, and its
    arithmetic.

    Layers are found by the shapes of their weights, given the names from `layer_names`.
    """
    arrays = [x["shape"] for x in call["arguments"] if isinstance(x, dict) and "shape" in x]
    layer, task = "", ""
    if call["kernel"] == "conv2d_weight":
        layer = layers.get(_key([arrays[1][1], arrays[0][1], *call["arguments"][-1]["kernel"]]), "")
        task = "weight gradient"
    elif call["kernel"] == "matmul":
        layer, task = _explain_matmul(call, arrays, layers)
    elif call["kernel"] in ("conv2d", "conv_transpose2d", "linear"):
        layer = layers.get(_key(arrays[1]), "")
        kinds = {name.rpartition(" ")[2] for name in layer.split(" or ")}
        task = KINDS.get((call["kernel"], kinds.pop()), "") if len(kinds) == 1 else ""
    if call["kernel"] in ("adam", "rmsprop"):
        arrays = [[sum(math.prod(p["shape"]) for p in call["arguments"][0])]]
    shapes = ", ".join("x".join(map(str, shape)) for shape in arrays[:2])
    return {"kernel": call["kernel"], "layer": layer, "task": task, "shapes": shapes, "flops": flops(call)}


def _explain_matmul(call: Call, arrays: list[list[int]], layers: Mapping[str, str]) -> tuple[str, str]:
    """Layer and task of a dense layer's product: g^T x, with g^T a transposed view, or g W."""
    of_weight, of_input = layers.get(_key([arrays[0][0], arrays[1][-1]])), layers.get(_key(arrays[1]))
    transposed = call["arguments"][0]["axes"] == [1, 0] or arrays[0][0] == 1
    if of_weight and (transposed or not of_input):
        return of_weight, "weight gradient"
    return (of_input, "input gradient") if of_input else ("", "")


def _key(shape: Any) -> str:
    return "x".join(map(str, shape))
