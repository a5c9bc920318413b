"""Convolution and its two gradients, by im2col and a matrix product. This is the file to read to see how a convolution works.

At each position the window sees kernel height x kernel width x channels numbers of the image, zeros
beyond the border. `im2col` copies them out, all positions one after another: they are the rows of a
matrix. A convolution is the product of this matrix with the weights. `col2im` is the transpose of
`im2col`: it adds each row back to the pixels it was copied from. So the three functions are the
three partial derivatives of one number,

    sum over n, o, i, j, a, b, c of  im2col(x)[n, i, j, a, b, c]  weight[o, c, a, b]  g[n, o, i, j],

with n the image, o and c the output and input channel, (i, j) the position and (a, b) the tap, one
place in the kernel. Images are (n, channels, height, width), weights (out, in, kernel height,
kernel width).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigrad.kernels.geometry import Geometry

Array = Any


def conv2d(x: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    """Images (n, in, h, w), weights (out, in, kh, kw) and a bias (out,) to (n, out, rows, columns)."""
    y = np.einsum("nijabc,ocab->noij", im2col(x, geometry), weight)
    return y if bias is None else y + bias[:, None, None]


def conv_transpose2d(g: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    """(n, out, rows, columns), weights (out, in, kh, kw) and a bias (in,) to images (n, in, h, w)."""
    x = col2im(np.einsum("noij,ocab->nijabc", g, weight), geometry)
    return x if bias is None else x + bias[:, None, None]


def conv2d_weight(x: Array, g: Array, geometry: Geometry) -> Array:
    """Images (n, in, h, w) and (n, out, rows, columns) to weights (out, in, kh, kw)."""
    return np.einsum("nijabc,noij->ocab", im2col(x, geometry), g)


def im2col(x: Array, geometry: Geometry) -> Array:
    """What the window sees at each position: (n, rows, columns, kh, kw, channels)."""
    out = np.zeros((len(x), *geometry.positions, *geometry.kernel, x.shape[1]), x.dtype)
    for i, j, a, b, y, z in _taps_on_pixels(geometry):
        out[:, i, j, a, b] = x[:, :, y, z]
    return out


def col2im(columns: Array, geometry: Geometry) -> Array:
    """Add what the window sees at each position back to the images: the transpose of `im2col`."""
    out = np.zeros((len(columns), columns.shape[-1], *geometry.image), columns.dtype)
    for i, j, a, b, y, z in _taps_on_pixels(geometry):
        out[:, :, y, z] += columns[:, i, j, a, b]
    return out


def _taps_on_pixels(geometry: Geometry) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Every (i, j, a, b, y, z) for which tap (a, b) at position (i, j) is on pixel (y, z) of the image."""
    for i, j, a, b in np.ndindex(*geometry.positions, *geometry.kernel):
        y = i * geometry.stride[0] - geometry.padding[0] + a * geometry.dilation[0]
        z = j * geometry.stride[1] - geometry.padding[1] + b * geometry.dilation[1]
        if 0 <= y < geometry.image.height and 0 <= z < geometry.image.width:
            yield i, j, a, b, y, z
