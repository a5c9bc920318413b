"""Normalisation on the CPU.

The rows of a group are cut into blocks. One thread sums a block, and the blocks' sums are added in
order. The cut depends on the shape alone, so results are bit-identical for any number of threads.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.arrays.hooks import launch
from minigrad.kernels import reference
from minigrad.kernels.cpu.loops import REAL, Loop, in_c_order
from minigrad.kernels.cpu.reduce import sum_axes
from minigrad.kernels.cpu.units import compiled

Array = Any

BLOCK = 64  # rows; few enough to sum in float32, and for a block to stay in the cache


def normalize(x: Array, weight: Array | None, bias: Array | None, eps: float) -> tuple[Array, Array, Array]:
    if not _are_alike(x, weight, bias):
        return reference.normalize(x, weight, bias, eps)
    x = in_c_order(x)
    mean, var = _moments(x)
    scale = _inverse_std(var, eps, weight)
    return _affine(x, mean, scale, _or_zeros(bias, x)), mean, var


def normalize_sums(g: Array, x: Array, mean: Array, var: Array, eps: float) -> tuple[Array, Array]:
    if not _are_alike(x, g, mean):
        return reference.normalize_sums(g, x, mean, var, eps)
    parts = np.zeros((2, *_blocks(x)), x.dtype, like=x)
    _sum_products([in_c_order(g), in_c_order(x), mean, *parts], count=math.prod(parts.shape[1:3]))
    sum_g, sum_g_deviation = sum_axes(parts, (2,))
    return sum_g, sum_g_deviation * _inverse_std(var, eps)


def normalize_backward(
    g: Array, x: Array, weight: Array | None, mean: Array, var: Array, eps: float, sum_g: Array, sum_g_xhat: Array
) -> Array:
    if not _are_alike(x, g, weight, mean):
        return reference.normalize_backward(g, x, weight, mean, var, eps, sum_g, sum_g_xhat)
    rows = x.dtype.type(x.shape[1])
    scale = _inverse_std(var, eps, weight)
    slope = sum_g_xhat / rows * _inverse_std(var, eps)
    dx = np.empty(x.shape, x.dtype, like=x)
    _combine([in_c_order(g), in_c_order(x), mean, scale, sum_g / rows, slope, dx], count=x.shape[0] * x.shape[1])
    return dx


def affine(x: Array, scale: Array, shift: Array) -> Array:
    if not _are_alike(x, scale, shift):
        return reference.affine(x, scale, shift)
    groups, rows, channels = x.shape
    as_one = in_c_order(x).reshape(1, groups * rows, channels)
    return _affine(as_one, np.zeros_like(scale)[None], scale[None], shift).reshape(x.shape)


def _are_alike(*arrays: Array | None) -> bool:
    """Whether all arrays that are not None have one dtype, float32 or float64."""
    dtypes = {a.dtype for a in arrays if a is not None}
    return len(dtypes) == 1 and dtypes <= set(REAL)


def _blocks(x: Array) -> tuple[int, int, int]:
    """(groups, blocks, channels)"""
    groups, rows, channels = x.shape
    return groups, -(-rows // BLOCK), channels


def _inverse_std(var: Array, eps: float, weight: Array | None = None) -> Array:
    """1 / sqrt(var + eps), times the weight: (groups, channels)."""
    inverse = 1 / np.sqrt(var + eps)
    return inverse if weight is None else inverse * weight


def _or_zeros(bias: Array | None, x: Array) -> Array:
    return np.zeros(x.shape[-1], x.dtype, like=x) if bias is None else bias


def _affine(x: Array, mean: Array, scale: Array, shift: Array) -> Array:
    """(x - mean) * scale + shift: mean and scale (groups, channels), shift (channels,)."""
    y = np.empty(x.shape, x.dtype, like=x)
    _scale([x, mean, scale, in_c_order(shift), y], count=x.shape[0] * x.shape[1])
    return y


def _moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of the rows, (groups, channels).

    Each block sums the distances from its first row, and their squares: small numbers even if the
    data are far from zero.
    """
    groups, _, channels = x.shape
    sums = np.zeros((2, *_blocks(x)), x.dtype, like=x)
    _sum_distances([x, *sums], count=math.prod(sums.shape[1:3]))
    mean, var = np.zeros((2, groups, channels), like=x)
    launch(_merge, x, *sums, mean, var)
    return mean.astype(x.dtype), var.astype(x.dtype)


@compiled
def _merge(x: Array, total: Array, squares: Array, mean: Array, var: Array) -> None:
    """Merge the blocks' sums from `_sum_distances` into mean and var, in float64, which begin at zero.

    Blocks of n rows with means m and summed squared distances s from them have together the mean
    sum(n m) / sum(n) and the variance sum(s + n (m - mean)^2) / sum(n).
    Source: Chan, Golub and LeVeque, "Algorithms for computing the sample variance", Am. Stat. 37 (1983).
    """
    groups, rows, channels = x.shape
    for n in range(groups):
        for b in range(total.shape[1]):
            count = min(BLOCK, rows - b * BLOCK)
            for c in range(channels):
                mean[n, c] += (count * x[n, b * BLOCK, c] + total[n, b, c]) / rows
        for b in range(total.shape[1]):
            count = min(BLOCK, rows - b * BLOCK)
            for c in range(channels):
                offset = total[n, b, c] / count  # of the block's mean from its first row
                distance = x[n, b * BLOCK, c] + offset - mean[n, c]
                var[n, c] += (squares[n, b, c] - total[n, b, c] * offset + count * distance * distance) / rows


@Loop
def _sum_distances(first: int, last: int, x: Array, total: Array, squares: Array) -> None:
    """total, squares (groups, blocks, channels) += sums of d and d^2, d the distance from the block's first row."""
    rows, channels = x.shape[1:]
    blocks = total.shape[1]
    for i in range(first, last):
        n, b = i // blocks, i % blocks
        origin = b * BLOCK
        for r in range(origin + 1, min(origin + BLOCK, rows)):
            for c in range(channels):
                d = x[n, r, c] - x[n, origin, c]
                total[n, b, c] += d
                squares[n, b, c] += d * d


@Loop
def _sum_products(first: int, last: int, g: Array, x: Array, mean: Array, total: Array, products: Array) -> None:
    """total, products (groups, blocks, channels) += each block's sums of g and of g (x - mean)."""
    rows, channels = x.shape[1:]
    blocks = total.shape[1]
    for i in range(first, last):
        n, b = i // blocks, i % blocks
        for r in range(b * BLOCK, min(b * BLOCK + BLOCK, rows)):
            for c in range(channels):
                total[n, b, c] += g[n, r, c]
                products[n, b, c] += g[n, r, c] * (x[n, r, c] - mean[n, c])


@Loop
def _scale(first: int, last: int, x: Array, mean: Array, scale: Array, shift: Array, y: Array) -> None:
    rows, channels = x.shape[1:]
    for i in range(first, last):
        n, r = i // rows, i % rows
        for c in range(channels):
            y[n, r, c] = (x[n, r, c] - mean[n, c]) * scale[n, c] + shift[c]


@Loop
def _combine(
    first: int, last: int, g: Array, x: Array, mean: Array, scale: Array, mean_g: Array, slope: Array, dx: Array
) -> None:
    """dx = scale (g - mean_g - (x - mean) slope); all but g, x and dx are (groups, channels)."""
    rows, channels = x.shape[1:]
    for i in range(first, last):
        n, r = i // rows, i % rows
        for c in range(channels):
            dx[n, r, c] = scale[n, c] * (g[n, r, c] - mean_g[n, c] - (x[n, r, c] - mean[n, c]) * slope[n, c])
