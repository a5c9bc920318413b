"""Convolution, and its two gradients, as sums over patches.

The patch at a position is what the window sees there: kernel height x kernel width x channels numbers, zero beyond the border.
A convolution is the matrix product of all patches with the weights; adding patches back to where they were cut from (`fold`) is
the transpose of cutting them out. So the three functions here are the three partial derivatives of one number,

    sum over n, o, i, j, a, b, c of  patches(x)[n, i, j, a, b, c]  weight[o, c, a, b]  g[n, o, i, j].

Images are (n, channels, height, width), weights (out, in, kernel height, kernel width).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigrad.kernels.geometry import Geometry

Array = Any


def conv2d(x: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    """Images (n, in, h, w), weights (out, in, kh, kw) and bias (out,) to (n, out, positions)."""
    y = np.einsum("nijabc,ocab->noij", patches(x, geometry), weight)
    return y if bias is None else y + bias[:, None, None]


def conv_transpose2d(g: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    """(n, out, positions) and weights (out, in, kh, kw) to images (n, in, h, w); a bias (in,) is added."""
    x = fold(np.einsum("noij,ocab->nijabc", g, weight), geometry)
    return x if bias is None else x + bias[:, None, None]


def conv2d_weight(x: Array, g: Array, geometry: Geometry) -> Array:
    """Images (n, in, h, w) and (n, out, positions) to weights (out, in, kh, kw)."""
    return np.einsum("nijabc,noij->ocab", patches(x, geometry), g)


def patches(x: Array, geometry: Geometry) -> Array:
    """What the window sees at each position: (n, positions, kernel, channels)."""
    out = np.zeros((len(x), *geometry.positions, *geometry.kernel, x.shape[1]), x.dtype)
    for i, j, a, b, y, z in _meetings(geometry):
        out[:, i, j, a, b] = x[:, :, y, z]
    return out


def fold(patches: Array, geometry: Geometry) -> Array:
    """Images in which every pixel is the sum of what the patches hold at its place: the transpose of `patches`."""
    out = np.zeros((len(patches), patches.shape[-1], *geometry.image), patches.dtype)
    for i, j, a, b, y, z in _meetings(geometry):
        out[:, :, y, z] += patches[:, i, j, a, b]
    return out


def _meetings(geometry: Geometry) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Every (i, j, a, b, y, z) where, at position (i, j), tap (a, b) of the window meets pixel (y, z)."""
    for i, j, a, b in np.ndindex(*geometry.positions, *geometry.kernel):
        y = i * geometry.stride[0] - geometry.padding[0] + a * geometry.dilation[0]
        z = j * geometry.stride[1] - geometry.padding[1] + b * geometry.dilation[1]
        if 0 <= y < geometry.image.height and 0 <= z < geometry.image.width:
            yield i, j, a, b, y, z
