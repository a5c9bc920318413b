"""Normalisation on the GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cupy
import numpy as np

from minigrad.kernels.gpu.launch import C_TYPES, kernel, of_one_type

Array = Any

_TILE, _LANES, _BLOCK = 32, 8, 64  # norm.cu has the same numbers


def normalize(x: Array, weight: Array | None, bias: Array | None, eps: float) -> tuple[Array, Array, Array]:
    x, weight, bias = _prepared(x, _or(1, weight, x), _or(0, bias, x))
    parts = cupy.empty((_blocks(x), x.shape[2], 3), np.float64)
    mean, var, y = _per_channel(x), _per_channel(x), cupy.empty(x.shape, x.dtype)
    _launch("block_moments", x, _blocks(x), (x, parts))
    _launch("moments", x, len(x), (parts, mean, var))
    _launch("normalize", x, _blocks(x), (x, mean, var, weight, bias, y), eps)
    return y, mean, var


def normalize_sums(g: Array, x: Array, mean: Array, var: Array, eps: float) -> tuple[Array, Array]:
    g, x, mean, var = _prepared(g, x, mean, var)
    parts = cupy.empty((_blocks(x), x.shape[2], 2), np.float64)
    sum_g, sum_g_xhat = _per_channel(x), _per_channel(x)
    _launch("block_sums", x, _blocks(x), (g, x, mean, parts))
    _launch("sums", x, len(x), (parts, var, sum_g, sum_g_xhat), eps)
    return sum_g, sum_g_xhat


def normalize_backward(
    g: Array, x: Array, weight: Array | None, mean: Array, var: Array, eps: float, sum_g: Array, sum_g_xhat: Array
) -> Array:
    arrays = _prepared(g, x, _or(1, weight, x), mean, var, sum_g, sum_g_xhat)
    dx = cupy.empty(x.shape, arrays[0].dtype)
    _launch("normalize_backward", dx, _blocks(x), (*arrays, dx), eps)
    return dx


def affine(x: Array, scale: Array, shift: Array) -> Array:
    x, scale, shift = _prepared(x, scale, shift)
    y = cupy.empty(x.shape, x.dtype)
    _launch("affine", x, _blocks(x), (x, scale, shift, y))
    return y


def _prepared(*arrays: Array) -> list[Array]:
    """The arrays in one dtype, C-contiguous."""
    return [cupy.ascontiguousarray(a) for a in of_one_type(arrays)]


def _or(value: float, a: Array | None, x: Array) -> Array:
    return cupy.full(x.shape[2], value, x.dtype) if a is None else a


def _per_channel(x: Array) -> Array:
    groups, _, channels = x.shape
    return cupy.empty((groups, channels), x.dtype)


def _blocks(x: Array) -> int:
    """The number of blocks of rows in all groups."""
    groups, rows, _ = x.shape
    return groups * -(-rows // _BLOCK)


def _launch(name: str, x: Array, blocks: int, arrays: Sequence[Array], *numbers: float) -> None:
    _, rows, channels = x.shape
    if x.size:
        grid = blocks, -(-channels // _TILE)
        exact = [x.dtype.type(number) for number in numbers]
        run = kernel("norm", f"{name}<{C_TYPES[x.dtype]}>")
        run(grid, (_TILE, _LANES), (*arrays, np.int64(rows), np.int64(channels), *exact))
