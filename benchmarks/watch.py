"""Watching the engine's kernels while a real training step runs: which are called, on arrays of what shapes.

From the calls follow how many multiplications and additions a step has (no table is made by hand), and what `layers` times.
The engine knows nothing of it: for the time of watching, the functions of its kernel module are exchanged for ones that look.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

Call = dict[str, Any]  # {"kernel": name, "arguments": [...]}, as JSON has it; what an argument is says `describe`

GEOMETRY = ("image", "kernel", "stride", "padding", "dilation", "positions")


@contextmanager
def watching(kernels: ModuleType) -> Iterator[list[Call]]:
    """Context in which every call of a function of the kernel module is added to the list."""
    calls: list[Call] = []
    own = {name: getattr(kernels, name) for name in kernels.__all__}

    def watched(name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            calls.append({"kernel": name, "arguments": [describe(x) for x in arguments]})
            return own[name](*arguments)

        return call

    for name in own:
        setattr(kernels, name, watched(name))
    try:
        yield calls
    finally:
        for name, function in own.items():
            setattr(kernels, name, function)


def describe(x: Any) -> Any:
    """An argument as JSON: an array by shape and order in memory, a geometry by its numbers, numbers as they are."""
    from minigrad.arrays.layout import axes_in_memory
    from minigrad.kernels.geometry import Geometry

    if hasattr(x, "strides"):
        return {"shape": list(x.shape), "axes": list(axes_in_memory(x) or range(x.ndim)), "dtype": str(x.dtype)}
    if isinstance(x, Geometry):
        return {name: list(getattr(x, name)) for name in GEOMETRY}
    return [describe(each) for each in x] if isinstance(x, list | tuple) else x


def make(described: Any, rng: np.random.Generator) -> Any:
    """The argument again: arrays of random numbers between 0 and 1, in the same order in memory; a geometry stays a dict."""
    if isinstance(described, list):
        return [make(each, rng) for each in described]
    if not isinstance(described, dict) or "axes" not in described:
        return described
    shape, axes = described["shape"], described["axes"]
    stored = rng.random([shape[i] for i in axes]).astype(described["dtype"])
    return stored.transpose(np.argsort(axes))


def flops(call: Mapping[str, Any]) -> int:
    """Multiplications and additions of a product; 0 for any other kernel: those wait for memory, not for arithmetic.

    A product of (m, k) and (k, n) has m n k of each. A convolution counts as the product of patches and weights that it is,
    with the taps that fall on padding, as is usual.
    """
    kernel, arguments = call["kernel"], call["arguments"]
    if kernel in ("conv2d", "conv_transpose2d", "conv2d_weight"):
        geometry = arguments[-1]
        images, other = arguments[0]["shape"], arguments[1]["shape"]
        pairs = images[1] * other[1] if kernel == "conv2d_weight" else other[0] * other[1]  # of channels: (x, g), or weights
        return 2 * images[0] * pairs * math.prod(geometry["positions"]) * math.prod(geometry["kernel"])
    if kernel == "linear":
        return 2 * math.prod(arguments[0]["shape"]) * arguments[1]["shape"][0]
    if kernel == "matmul":
        a, b = arguments[0]["shape"], arguments[1]["shape"]
        return 2 * math.prod(np.broadcast_shapes(a[:-2], b[:-2])) * a[-2] * a[-1] * b[-1]
    return 0


def counted(calls: list[Call]) -> list[tuple[Call, int]]:
    """The different calls, in the order in which they came, and how often each did. Numbers that change do not count."""
    first: dict[str, Call] = {}
    count: Counter[str] = Counter()
    for call in calls:
        key = repr((call["kernel"], [x if isinstance(x, dict | list) else type(x) for x in call["arguments"]]))
        first.setdefault(key, call)
        count[key] += 1
    return [(call, count[key]) for key, call in first.items()]
