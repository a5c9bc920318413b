"""Convolution and its gradients on the GPU: cuBLAS multiplies matrices of patches, conv.cu cuts them out and adds them up.

With P positions (of all images), K numbers in a patch, and weights for O channels:

    conv2d            (P, O) = patches (P, K)  weights^T (K, O)
    conv_transpose2d  fold of (P, K) = g (P, O)  weights (O, K)
    conv2d_weight     (O, K) = g^T (O, P)  patches (P, K)

The patches are as large as kernel height x kernel width images. To bound their memory, some images are done at a time.
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

PATCH_BYTES = 256 << 20  # of patches that exist at a time (more if those of one image are larger)


def conv2d(x: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    x, weight, *biases = _prepared(x, weight, bias)
    y = cupy.empty((len(x), *geometry.positions, len(weight)), x.dtype)
    for piece in _pieces(x, geometry):
        gemm(_patches(x[piece], geometry), _kernels(weight).T, _pixels(y[piece]))
    for row in biases:
        y += row
    return y.transpose(0, 3, 1, 2)


def conv_transpose2d(g: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    g, weight, *biases = _prepared(g, weight, bias)
    x = cupy.empty((len(g), *geometry.image, weight.shape[-1]), g.dtype)
    for piece in _pieces(x, geometry):
        patches = _room_for_patches(x[piece], geometry)
        gemm(_pixels(g[piece]), _kernels(weight), patches)
        if not _is_plain(geometry):
            _launch("fold", x[piece], patches, geometry, geometry.image, x.shape[-1])
    for row in biases:
        x += row
    return x.transpose(0, 3, 1, 2)


def conv2d_weight(x: Array, g: Array, geometry: Geometry) -> Array:
    x, g = _prepared(x, g)
    weight = cupy.zeros((g.shape[-1], *geometry.kernel, x.shape[-1]), x.dtype)
    for piece in _pieces(x, geometry):
        gemm(_pixels(g[piece]).T, _patches(x[piece], geometry), _kernels(weight), add=True)
    return weight.transpose(0, 3, 1, 2)


def _prepared(*arrays: Array | None) -> list[Array]:
    """The arrays that are not None in one type; those with four axes as (n, height, width, channels), in C order."""
    one_type = of_one_type([a for a in arrays if a is not None])
    return [by_pixel(a) if a.ndim == 4 else a for a in one_type]


def _pixels(x: Array) -> Array:
    """Images as a matrix: a row for each pixel."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _kernels(weight: Array) -> Array:
    """Weights as a matrix: a row for each kernel."""
    return weight.reshape(len(weight), math.prod(weight.shape[1:]))


def _pieces(x: Array, geometry: Geometry) -> Iterator[slice]:
    """Cut the images into pieces whose patches take at most PATCH_BYTES."""
    bytes_of_one = math.prod((*geometry.positions, *geometry.kernel, x.shape[-1])) * x.itemsize
    count = max(1, PATCH_BYTES // max(1, bytes_of_one))
    for first in range(0, len(x), count):
        yield slice(first, first + count)


def _is_plain(geometry: Geometry) -> bool:
    """Whether each patch is just a pixel, so that the matrix of patches is that of the pixels."""
    return geometry.kernel == geometry.stride == (1, 1) and geometry.padding == (0, 0)


def _patches(x: Array, geometry: Geometry) -> Array:
    """What the window sees at each position: a row for each."""
    patches = _room_for_patches(x, geometry)
    if not _is_plain(geometry):
        _launch("patches", x, patches, geometry, geometry.positions, patches.shape[-1])
    return patches


def _room_for_patches(x: Array, geometry: Geometry) -> Array:
    """A matrix for the patches of these images; that of their own pixels where patches are pixels."""
    if _is_plain(geometry):
        return _pixels(x)
    rows, columns = math.prod((len(x), *geometry.positions)), math.prod((*geometry.kernel, x.shape[-1]))
    return cupy.empty((rows, columns), x.dtype)


def _launch(name: str, x: Array, patches: Array, geometry: Geometry, places: Size, numbers: int) -> None:
    """Run a kernel between images and their patches that makes so many numbers at each of `places` in each image."""
    if x.size:
        lanes = min(THREADS, 1 << (numbers - 1).bit_length())
        grid = blocks(places.height * places.width, THREADS // lanes), blocks(len(x), 1)
        g = geometry
        sizes = (x.shape[-1], *g.image, *g.positions, *g.kernel, *g.stride, *g.padding, *g.dilation)
        run = kernel("conv", f"{name}<{C_TYPES[x.dtype]}>")
        run(grid, (lanes, THREADS // lanes), (x, patches, np.int64(len(x)), *map(np.int32, sizes)))
