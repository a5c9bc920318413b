"""Elementwise kernels on the GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cupy
import numpy as np

from minigrad.kernels.gpu.launch import C_TYPES, THREADS, blocks, in_one_layout, kernel, of_one_type

Array = Any


def erf(x: Array) -> Array:
    return _elementwise("erf_of", [x])


def leaky_relu(x: Array, slope: float) -> Array:
    return _elementwise("leaky_relu", [x], slope)


def leaky_relu_backward(g: Array, y: Array, slope: float) -> Array:
    return _elementwise("leaky_relu_backward", [g, y], slope)


def tanh_backward(g: Array, y: Array) -> Array:
    return _elementwise("tanh_backward", [g, y])


def _elementwise(name: str, arrays: Sequence[Array], *numbers: float) -> Array:
    """Broadcast the arrays and run an elementwise kernel over them as flat memory.

    The result has their layout.
    """
    arrays = in_one_layout(of_one_type(arrays))
    out = cupy.empty_like(arrays[0])
    if out.size:
        run = kernel("elementwise", f"{name}<{C_TYPES[out.dtype]}>")
        exact = [out.dtype.type(number) for number in numbers]
        run((blocks(out.size, THREADS),), (THREADS,), (*arrays, out, np.int64(out.size), *exact))
    return out
