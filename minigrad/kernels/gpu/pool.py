"""Max-pooling on the GPU."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from minigrad.arrays.layout import channels_last
from minigrad.kernels.geometry import Geometry, Size
from minigrad.kernels.gpu.launch import C_TYPES, THREADS, blocks, kernel, of_one_type

Array = Any


def max_pool_pick(h: Array, x: Array, geometry: Geometry) -> Array:
    return _pool("max_pool_pick", h, x, geometry, geometry.positions)


def max_pool_place(g: Array, x: Array, geometry: Geometry) -> Array:
    return _pool("max_pool_place", g, x, geometry, geometry.image)


def _pool(name: str, values: Array, x: Array, geometry: Geometry, size: Size) -> Array:
    """Run a kernel that writes images of this size, of the values' dtype."""
    arrays = [channels_last(a) for a in of_one_type([values, x])]
    n, channels = x.shape[:2]
    y = cupy.empty((n, *size, channels), arrays[0].dtype)
    if y.size:
        sizes = (channels, *geometry.image, *geometry.positions, *geometry.kernel, *geometry.stride, *geometry.padding)
        run = kernel("pool", f"{name}<{C_TYPES[y.dtype]}>")
        grid = blocks(y.size // n, THREADS), blocks(n, 1)
        run(grid, (THREADS,), (*arrays, y, np.int64(n), *map(np.int32, sizes)))
    return y.transpose(0, 3, 1, 2).astype(values.dtype, copy=False)
