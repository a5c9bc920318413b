"""Activations and their backward."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def leaky_relu(x: Array, slope: float) -> Array:
    """slope * x where x <= 0 (for slope 0 that is 0, also for -inf), else x (NaN stays NaN)."""
    return np.where(x <= 0, x * slope if slope else 0, x)


def leaky_relu_backward(g: Array, y: Array, slope: float) -> Array:
    """g where the output y > 0, else slope * g (for slope 0 that is 0, also for infinite g)."""
    return np.where(y > 0, g, g * slope if slope else 0)


def tanh_backward(g: Array, y: Array) -> Array:
    """g (1 - y^2) for y = tanh(x)."""
    return g * (1 - y * y)
