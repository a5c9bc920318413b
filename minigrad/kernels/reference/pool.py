"""Max-pooling as two linear functions, given the image x whose maxima they use.

`max_pool_pick` reads another image at the places of the maxima of x; of x itself, that is
max-pooling. `max_pool_place` adds numbers at these places: its transpose, and so the gradient.

Of equal pixels the first is the maximum, row by row; if a window has a NaN, the last NaN is, as in
PyTorch. Padding is never the maximum. There is no dilation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigrad.kernels.geometry import Geometry

Array = Any
Index = tuple[int, int, int, int]  # image, channel, row, column


def max_pool_pick(h: Array, x: Array, geometry: Geometry) -> Array:
    """h at the place of the largest x in each window: two images (n, c, h, w) to (n, c, rows, columns)."""
    y = np.empty((len(x), *geometry.positions, x.shape[1]), h.dtype).transpose(0, 3, 1, 2)
    for window, maximum in _maxima(x, geometry):
        y[window] = h[maximum]
    return y


def max_pool_place(g: Array, x: Array, geometry: Geometry) -> Array:
    """Zeros, plus each window's g at the place of its largest x: the transpose of `max_pool_pick`."""
    y = np.zeros((len(x), *geometry.image, x.shape[1]), g.dtype).transpose(0, 3, 1, 2)
    for window, maximum in _maxima(x, geometry):
        y[maximum] += g[window]
    return y


def _maxima(x: Array, geometry: Geometry) -> Iterator[tuple[Index, Index]]:
    """For each window its index among the positions, and the index of its maximum in x."""
    positions = geometry.positions
    for n, c, i, j in np.ndindex(len(x), x.shape[1], *positions):
        best = None
        for row in _pixels(geometry, 0, i):
            for column in _pixels(geometry, 1, j):
                value = x[n, c, row, column]
                if best is None or value > x[best] or value != value:
                    best = n, c, row, column
        assert best is not None, "padding is at most half the kernel, so each window sees a pixel"
        yield (n, c, i, j), best


def _pixels(geometry: Geometry, axis: int, position: int) -> range:
    """The rows (axis 0) or columns (axis 1) of the image in a window."""
    start = position * geometry.stride[axis] - geometry.padding[axis]
    return range(max(start, 0), min(start + geometry.kernel[axis], geometry.image[axis]))
