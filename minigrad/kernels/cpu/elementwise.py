"""Elementwise kernels on the CPU. They run over flat memory, whatever the order of the axes in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.kernels import reference
from minigrad.kernels.cpu.loops import REAL, Loop, elements, flat

Array = Any


def erf(x: Array) -> Array:
    if x.dtype not in REAL:
        return reference.erf(x)
    return _elementwise(_erf, (x,))


def leaky_relu(x: Array, slope: float) -> Array:
    if x.dtype not in REAL:
        return reference.leaky_relu(x, slope)
    return _elementwise(_leaky_relu, (x,), (slope,))


def leaky_relu_backward(g: Array, y: Array, slope: float) -> Array:
    if y.dtype not in REAL:
        return reference.leaky_relu_backward(g, y, slope)
    return _elementwise(_leaky_relu_backward, (y, g), (slope,))


def tanh_backward(g: Array, y: Array) -> Array:
    if y.dtype not in REAL:
        return reference.tanh_backward(g, y)
    return _elementwise(_tanh_backward, (y, g))


def _elementwise(loop: Loop, inputs: Sequence[Array], numbers: Sequence[float] = ()) -> Array:
    """Run a loop whose last array is the output.

    The output has the first input's memory order, such as channels-last.
    """
    out = np.empty_like(inputs[0])
    to, *sources = flat((out, *inputs))
    loop([*sources, to], numbers)
    return out


@Loop
def _erf(first: int, last: int, x: Array, out: Array) -> None:
    for i in elements(first, last):
        out[i] = math.erf(x[i])


@Loop
def _leaky_relu(first: int, last: int, x: Array, out: Array, slope: Any) -> None:
    for i in elements(first, last):
        out[i] = x[i] if not x[i] <= 0 else x[i] * slope if slope != 0 else slope


@Loop
def _leaky_relu_backward(first: int, last: int, y: Array, g: Array, out: Array, slope: Any) -> None:
    for i in elements(first, last):
        out[i] = g[i] if y[i] > 0 else g[i] * slope if slope != 0 else slope


@Loop
def _tanh_backward(first: int, last: int, y: Array, g: Array, out: Array) -> None:
    for i in elements(first, last):
        out[i] = g[i] * (1 - y[i] * y[i])
