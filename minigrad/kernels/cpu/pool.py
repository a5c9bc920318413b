"""Max-pooling on the CPU.

Threads share the images; the inner loops run over the channels, contiguous in memory.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from minigrad.arrays.hooks import launch
from minigrad.kernels import reference
from minigrad.kernels.cpu.loops import REAL, pixels
from minigrad.kernels.geometry import Geometry, Pair

Array = Any


def max_pool_pick(h: Array, x: Array, geometry: Geometry) -> Array:
    if h.dtype not in REAL or x.dtype not in REAL:
        return reference.max_pool_pick(h, x, geometry)
    y = np.empty((len(x), *geometry.positions, x.shape[1]), h.dtype, like=h)
    window = geometry.kernel, geometry.stride, geometry.padding
    if h is x:
        launch(_maximum, pixels(x), y, *window)
    else:
        launch(_pick, pixels(h), pixels(x), y, *window)
    return y.transpose(0, 3, 1, 2)


def max_pool_place(g: Array, x: Array, geometry: Geometry) -> Array:
    if g.dtype not in REAL or x.dtype not in REAL:
        return reference.max_pool_place(g, x, geometry)
    y = np.empty((len(x), *geometry.image, x.shape[1]), g.dtype, like=g)
    launch(_place, pixels(g), pixels(x), y, geometry.kernel, geometry.stride, geometry.padding)
    return y.transpose(0, 3, 1, 2)


@numba.njit(cache=True, error_model="numpy", parallel=True)
def _maximum(x: Array, y: Array, kernel: Pair, stride: Pair, padding: Pair) -> None:
    """`_pick` with h = x: the largest x of each window, without keeping track of its place."""
    for n in numba.prange(len(x)):
        for i in range(y.shape[1]):
            top, bottom = _span(i, kernel[0], stride[0], padding[0], x.shape[1])
            for j in range(y.shape[2]):
                left, right = _span(j, kernel[1], stride[1], padding[1], x.shape[2])
                y[n, i, j] = x[n, top, left]
                for row in range(top, bottom):
                    for column in range(left, right):
                        _raise(y[n, i, j], x[n, row, column])


@numba.njit(cache=True, error_model="numpy", parallel=True)
def _pick(h: Array, x: Array, y: Array, kernel: Pair, stride: Pair, padding: Pair) -> None:
    channels = x.shape[3]
    for n in numba.prange(len(x)):
        best, place = np.empty(channels, x.dtype), np.empty(channels, np.int32)
        for i in range(y.shape[1]):
            top, bottom = _span(i, kernel[0], stride[0], padding[0], x.shape[1])
            for j in range(y.shape[2]):
                left, right = _span(j, kernel[1], stride[1], padding[1], x.shape[2])
                _find(x[n], top, bottom, left, right, best, place)
                for row in range(top, bottom):
                    for column in range(left, right):
                        _copy_where(place, np.int32(row * x.shape[2] + column), h[n, row, column], y[n, i, j])


@numba.njit(cache=True, error_model="numpy", parallel=True)
def _place(g: Array, x: Array, y: Array, kernel: Pair, stride: Pair, padding: Pair) -> None:
    """Image by image, so that the zeros are still in the cache when numbers are added."""
    channels = x.shape[3]
    for n in numba.prange(len(x)):
        best, place = np.empty(channels, x.dtype), np.empty(channels, np.int32)
        y[n] = 0
        for i in range(g.shape[1]):
            top, bottom = _span(i, kernel[0], stride[0], padding[0], x.shape[1])
            for j in range(g.shape[2]):
                left, right = _span(j, kernel[1], stride[1], padding[1], x.shape[2])
                _find(x[n], top, bottom, left, right, best, place)
                for row in range(top, bottom):
                    for column in range(left, right):
                        _add_where(place, np.int32(row * x.shape[2] + column), g[n, i, j], y[n, row, column])


@numba.njit(cache=True, error_model="numpy")
def _find(x: Array, top: int, bottom: int, left: int, right: int, best: Array, place: Array) -> None:
    """For each channel of one image, the largest value in a window and its place, row * width + column."""
    width = x.shape[1]
    best[:] = x[top, left]
    place[:] = top * width + left
    for row in range(top, bottom):
        for column in range(left, right):
            _raise_and_note(best, x[row, column], place, np.int32(row * width + column))


@numba.njit(cache=True, error_model="numpy")
def _span(position: int, kernel: int, stride: int, padding: int, size: int) -> Pair:
    """The first pixel of a window along one axis, and the pixel after its last."""
    start = position * stride - padding
    return max(start, 0), min(start + kernel, size)


# The loops over channels. They load both values before they choose one, so that the compiler can
# vectorise them.


@numba.njit(cache=True, error_model="numpy")
def _raise(best: Array, x: Array) -> None:
    for c in range(len(best)):
        new, old = x[c], best[c]
        best[c] = new if (new > old) | (new != new) else old


@numba.njit(cache=True, error_model="numpy")
def _raise_and_note(best: Array, x: Array, place: Array, pixel: Any) -> None:
    for c in range(len(best)):
        new, old, before = x[c], best[c], place[c]
        wins = (new > old) | (new != new)
        best[c] = new if wins else old
        place[c] = pixel if wins else before


@numba.njit(cache=True, error_model="numpy")
def _copy_where(place: Array, pixel: Any, h: Array, y: Array) -> None:
    for c in range(len(place)):
        new, old = h[c], y[c]
        y[c] = new if place[c] == pixel else old


@numba.njit(cache=True, error_model="numpy")
def _add_where(place: Array, pixel: Any, g: Array, y: Array) -> None:
    for c in range(len(place)):
        new, old = g[c], y[c]
        y[c] = old + new if place[c] == pixel else old
