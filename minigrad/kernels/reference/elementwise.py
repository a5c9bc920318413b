"""Activations and their gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = Any


def erf(x: Array) -> Array:
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


def leaky_relu(x: Array, slope: float) -> Array:
    """slope * x where x <= 0, else x. With slope 0 that is 0 even for -inf; NaN stays NaN."""
    return np.where(x <= 0, x * slope if slope else 0, x)


def leaky_relu_backward(g: Array, y: Array, slope: float) -> Array:
    """The gradient of x, from the output y: g where y > 0, else slope * g.

    With slope 0 that is 0 even for infinite g.
    """
    return np.where(y > 0, g, g * slope if slope else 0)


def tanh_backward(g: Array, y: Array) -> Array:
    """The gradient of x for y = tanh(x): g (1 - y^2)."""
    return g * (1 - y * y)
