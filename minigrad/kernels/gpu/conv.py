"""Convolution and its gradients on the GPU: im2col and col2im by conv.cu, matrix products by cuBLAS.

With P positions (of all images), K = kernel height x kernel width x channels, and weights for O channels:

    conv2d            (P, O) = im2col(x) (P, K)  weights^T (K, O)
    conv_transpose2d  images = col2im of (P, K) = g (P, O)  weights (O, K)
    conv2d_weight     (O, K) = g^T (O, P)  im2col(x) (P, K)

The (P, K) matrix is kernel height x kernel width times as large as the images. To bound its memory,
the images are processed a few at a time. `reference/conv.py` shows im2col and col2im in a few
lines.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import cupy
import numpy as np

from minigrad.arrays.layout import by_pixel
from minigrad.kernels.geometry import Geometry, Size
from minigrad.kernels.gpu.cublas import gemm
from minigrad.kernels.gpu.launch import C_TYPES, THREADS, blocks, kernel, of_one_type

Array = Any

COLUMN_BYTES = 256 << 20  # of the (P, K) matrix at a time (more if one image alone needs more)


def conv2d(x: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    x, weight, *biases = _prepared(x, weight, bias)
    y = cupy.empty((len(x), *geometry.positions, len(weight)), x.dtype)
    for piece in _pieces(x, geometry):
        gemm(_im2col(x[piece], geometry), _kernels(weight).T, _pixels(y[piece]))
    for row in biases:
        y += row
    return y.transpose(0, 3, 1, 2)


def conv_transpose2d(g: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    g, weight, *biases = _prepared(g, weight, bias)
    x = cupy.empty((len(g), *geometry.image, weight.shape[-1]), g.dtype)
    for piece in _pieces(x, geometry):
        columns = _empty_columns(x[piece], geometry)
        gemm(_pixels(g[piece]), _kernels(weight), columns)
        if not _is_one_by_one(geometry):
            _launch("col2im", x[piece], columns, geometry, geometry.image, x.shape[-1])
    for row in biases:
        x += row
    return x.transpose(0, 3, 1, 2)


def conv2d_weight(x: Array, g: Array, geometry: Geometry) -> Array:
    x, g = _prepared(x, g)
    weight = cupy.zeros((g.shape[-1], *geometry.kernel, x.shape[-1]), x.dtype)
    for piece in _pieces(x, geometry):
        gemm(_pixels(g[piece]).T, _im2col(x[piece], geometry), _kernels(weight), add=True)
    return weight.transpose(0, 3, 1, 2)


def _prepared(*arrays: Array | None) -> list[Array]:
    """The arrays that are not None, in one dtype; 4-d ones as C-contiguous (n, height, width, channels)."""
    one_type = of_one_type([a for a in arrays if a is not None])
    return [by_pixel(a) if a.ndim == 4 else a for a in one_type]


def _pixels(x: Array) -> Array:
    """Images as a matrix: a row for each pixel."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _kernels(weight: Array) -> Array:
    """Weights as a matrix: a row for each kernel."""
    return weight.reshape(len(weight), math.prod(weight.shape[1:]))


def _pieces(x: Array, geometry: Geometry) -> Iterator[slice]:
    """Slices of the images whose (P, K) matrices take at most COLUMN_BYTES each."""
    bytes_of_one = math.prod((*geometry.positions, *geometry.kernel, x.shape[-1])) * x.itemsize
    count = max(1, COLUMN_BYTES // max(1, bytes_of_one))
    for first in range(0, len(x), count):
        yield slice(first, first + count)


def _is_one_by_one(geometry: Geometry) -> bool:
    """Whether the window is one pixel at each position, so that im2col would only copy the image."""
    return geometry.kernel == geometry.stride == (1, 1) and geometry.padding == (0, 0)


def _im2col(x: Array, geometry: Geometry) -> Array:
    """What the window sees at each position, a row each: (P, K)."""
    columns = _empty_columns(x, geometry)
    if not _is_one_by_one(geometry):
        _launch("im2col", x, columns, geometry, geometry.positions, columns.shape[-1])
    return columns


def _empty_columns(x: Array, geometry: Geometry) -> Array:
    """Memory for the (P, K) matrix of these images; the images themselves if it equals them."""
    if _is_one_by_one(geometry):
        return _pixels(x)
    rows, columns = math.prod((len(x), *geometry.positions)), math.prod((*geometry.kernel, x.shape[-1]))
    return cupy.empty((rows, columns), x.dtype)


def _launch(name: str, x: Array, columns: Array, geometry: Geometry, places: Size, numbers: int) -> None:
    """Run im2col or col2im: so many numbers at each of `places`, the positions or pixels of an image."""
    if x.size:
        lanes = min(THREADS, 1 << (numbers - 1).bit_length())
        grid = blocks(places.height * places.width, THREADS // lanes), blocks(len(x), 1)
        g = geometry
        sizes = (x.shape[-1], *g.image, *g.positions, *g.kernel, *g.stride, *g.padding, *g.dilation)
        run = kernel("conv", f"{name}<{C_TYPES[x.dtype]}>")
        run(grid, (lanes, THREADS // lanes), (x, columns, np.int64(len(x)), *map(np.int32, sizes)))
