"""Normalisation over the rows of a (groups, rows, channels) array.

Batch norm has one group of N * H * W rows, instance norm N groups of H * W rows. The gradient
kernels take x, the cotangent g of y, and the forward's mean and biased variance, both (groups,
channels).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.kernels.reference.reduce import sum_axes

Array = Any


def normalize(x: Array, weight: Array | None, bias: Array | None, eps: float) -> tuple[Array, Array, Array]:
    """y = xhat * weight + bias with xhat = (x - mean) / sqrt(var + eps).

    Returns y, mean, var; None is weight 1, bias 0.
    """
    exact = x.astype(np.float64)  # NumPy adds rows one after the other
    mean, var = exact.mean(axis=1).astype(x.dtype), exact.var(axis=1).astype(x.dtype)
    y = standardized(x, mean, var, eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias, mean, var


def standardized(x: Array, mean: Array, var: Array, eps: float) -> Array:
    """xhat, see `normalize`."""
    return (x - mean[:, None]) / np.sqrt(var[:, None] + eps)


def normalize_sums(g: Array, x: Array, mean: Array, var: Array, eps: float) -> tuple[Array, Array]:
    """The sums over the rows of g and g * xhat, (groups, channels): the gradients of bias and weight."""
    return sum_axes(g, (1,)), sum_axes(g * standardized(x, mean, var, eps), (1,))


def normalize_backward(
    g: Array, x: Array, weight: Array | None, mean: Array, var: Array, eps: float, sum_g: Array, sum_g_xhat: Array
) -> Array:
    """The gradient of x: weight / std (g - mean(g) - xhat mean(g xhat)), means over the rows."""
    rows = x.shape[1]
    xhat = standardized(x, mean, var, eps)
    dx = (g - sum_g[:, None] / rows - xhat * sum_g_xhat[:, None] / rows) / np.sqrt(var[:, None] + eps)
    return dx if weight is None else dx * weight


def affine(x: Array, scale: Array, shift: Array) -> Array:
    """x * scale + shift, both (channels,): normalisation by running statistics."""
    return x * scale + shift
