"""Max-pooling on the CPU, a vector register of channels at a time. Threads share the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigrad.kernels import reference
from minigrad.kernels.cpu.loops import REAL, Loop, pixels
from minigrad.kernels.cpu.threads import get_num_threads
from minigrad.kernels.cpu.units import inner
from minigrad.kernels.cpu.vectors import I64, OFFSET, Vectors, addresses
from minigrad.kernels.geometry import Geometry, Pair

Array = Any


def max_pool_pick(h: Array, x: Array, geometry: Geometry) -> Array:
    if h.dtype not in REAL or x.dtype != h.dtype:
        return reference.max_pool_pick(h, x, geometry)
    y = np.empty((len(x), *geometry.positions, x.shape[1]), h.dtype, like=h)
    _pick.share(len(x), get_num_threads(), pixels(h), pixels(x), y, geometry.kernel, geometry.stride, geometry.padding)
    return y.transpose(0, 3, 1, 2)


def max_pool_place(g: Array, x: Array, geometry: Geometry) -> Array:
    if g.dtype not in REAL or x.dtype != g.dtype:
        return reference.max_pool_place(g, x, geometry)
    y = np.empty((len(x), *geometry.image, x.shape[1]), g.dtype, like=g)
    _place.share(len(x), get_num_threads(), pixels(g), pixels(x), y, geometry.kernel, geometry.stride, geometry.padding)
    return y.transpose(0, 3, 1, 2)


@Loop
def _pick(first: int, last: int, h: Array, x: Array, y: Array, kernel: Pair, stride: Pair, padding: Pair) -> None:
    """y = h where x is largest in each window."""
    height, width, channels = x.shape[1:]
    h_flat, x_flat, y_flat = h.reshape(-1), x.reshape(-1), y.reshape(-1)
    for n in range(first, last):
        for i in range(y.shape[1]):
            top, bottom = _span(i, kernel[0], stride[0], padding[0], height)
            for j in range(y.shape[2]):
                left, right = _span(j, kernel[1], stride[1], padding[1], width)
                corner = ((n * height + top) * width + left) * channels
                position = ((n * y.shape[1] + i) * y.shape[2] + j) * channels
                _pick_window(x_flat, h_flat, corner, bottom - top, right - left, width, channels, y_flat, position)


@Loop
def _place(first: int, last: int, g: Array, x: Array, y: Array, kernel: Pair, stride: Pair, padding: Pair) -> None:
    """y = g where x is largest in each window, summed over the windows of a pixel; 0 elsewhere.

    Windows that overlap are added to zeros, image by image, so that these are still in the cache.
    """
    height, width, channels = x.shape[1:]
    g_flat, x_flat, y_flat = g.reshape(-1), x.reshape(-1), y.reshape(-1)
    overlap = stride[0] < kernel[0] or stride[1] < kernel[1]
    cover = kernel == stride and padding == (0, 0) and (g.shape[1] * stride[0], g.shape[2] * stride[1]) == (height, width)
    for n in range(first, last):
        if not cover:
            y[n] = 0
        for i in range(g.shape[1]):
            top, bottom = _span(i, kernel[0], stride[0], padding[0], height)
            for j in range(g.shape[2]):
                left, right = _span(j, kernel[1], stride[1], padding[1], width)
                corner = ((n * height + top) * width + left) * channels
                position = ((n * g.shape[1] + i) * g.shape[2] + j) * channels
                _place_window(x_flat, g_flat, corner, bottom - top, right - left, width, channels, y_flat, position, overlap)


@inner
def _span(position: int, kernel: int, stride: int, padding: int, size: int) -> Pair:
    """The first pixel of a window along one axis, and the pixel after its last."""
    start = position * stride - padding
    return max(start, 0), min(start + kernel, size)


@intrinsic
def _pick_window(
    typingctx: Any, x: Any, h: Any, corner: Any, rows: Any, columns: Any, width: Any, channels: Any, y: Any, position: Any
) -> Any:
    """For each channel c: y[position + c] = h where x is largest in a window of rows x columns pixels, from `corner` on."""
    kinds = x, h, y
    signature = types.void(x, h, OFFSET, OFFSET, OFFSET, OFFSET, OFFSET, y, OFFSET)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, h, corner, rows, columns, width, channels, y, position = args
        x, h, y = addresses(context, builder, kinds, (x, h, y))
        v = Vectors(builder, kinds[0].dtype)

        def pick(window: _Window, c: Any, mask: Any) -> None:
            value = cgutils.alloca_once_value(builder, v.load(v.at(h, builder.add(corner, c)), mask))

            def note(pixel: Any, wins: Any) -> None:
                builder.store(builder.select(wins, v.load(v.at(h, pixel), mask), builder.load(value)), value)

            window.find(c, mask, note)
            v.store(builder.load(value), v.at(y, builder.add(position, c)), mask)

        _for_channels(v, x, corner, rows, columns, width, channels, pick)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _place_window(
    typingctx: Any, x: Any, g: Any, corner: Any, rows: Any, columns: Any, width: Any, channels: Any, y: Any, position: Any,
    add: Any,
) -> Any:  # fmt: skip
    """For each channel c: y = g[position + c] at the pixel of the window where x is largest, and 0 at the others.

    If `add`, they are added to y.
    """
    kinds = x, g, y
    signature = types.void(x, g, OFFSET, OFFSET, OFFSET, OFFSET, OFFSET, y, OFFSET, types.boolean)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, g, corner, rows, columns, width, channels, y, position, add = args
        x, g, y = addresses(context, builder, kinds, (x, g, y))
        v = Vectors(builder, kinds[0].dtype)
        number = ir.IntType(8 * v.bytes)  # as wide as the elements, so that one mask serves both

        def spread(offset: Any) -> Any:
            offset = offset if number == offset.type else builder.trunc(offset, number)
            return v.spread(offset, ir.VectorType(number, v.lanes))

        def place(window: _Window, c: Any, mask: Any) -> None:
            largest = cgutils.alloca_once_value(builder, spread(corner))  # the offset of each lane's largest pixel

            def note(pixel: Any, wins: Any) -> None:
                builder.store(builder.select(wins, spread(builder.sub(pixel, c)), builder.load(largest)), largest)

            window.find(c, mask, note)
            gradient = v.load(v.at(g, builder.add(position, c)), mask)

            def write(pixel: Any) -> None:
                chosen = builder.icmp_signed("==", builder.load(largest), spread(builder.sub(pixel, c)))
                value, at = builder.select(chosen, gradient, v.zero), v.at(y, pixel)
                with builder.if_else(add) as (then, otherwise):
                    with then:
                        v.store(builder.fadd(v.load(at, mask), value), at, mask)
                    with otherwise:
                        v.store(value, at, mask)

            window.for_pixels(c, write)

        _for_channels(v, x, corner, rows, columns, width, channels, place)
        return context.get_dummy_value()

    return signature, generate


Body = Callable[["_Window", Any, Any], None]


def _for_channels(v: Vectors, x: Any, corner: Any, rows: Any, columns: Any, width: Any, channels: Any, body: Body) -> None:
    """body(window, c, mask) for each vector of channels: c is its first, the mask says which lanes are channels (None: all).

    The usual windows, of 2 x 2 pixels, have code of their own, without loops over the pixels.
    """
    builder, lanes = v.builder, I64(v.lanes)
    line = builder.mul(width, channels)
    whole = builder.sdiv(channels, lanes)
    done = builder.mul(whole, lanes)
    left = builder.sub(channels, done)
    is_small = builder.and_(*(builder.icmp_signed("==", size, I64(2)) for size in (rows, columns)))
    with builder.if_else(is_small) as cases:
        for case, sizes in zip(cases, ((2, 2), (rows, columns)), strict=True):
            with case:
                window = _Window(v, x, corner, *sizes, line, channels)
                with cgutils.for_range(builder, whole) as loop:
                    body(window, builder.mul(loop.index, lanes), None)
                with builder.if_then(builder.icmp_signed(">", left, I64(0))):
                    body(window, done, v.below(left, 0))


def _counted(builder: Any, count: Any) -> Iterator[Any]:
    """0, 1, ..., count - 1: as a loop, or one after the other if it is a Python number."""
    if isinstance(count, int):
        yield from map(I64, range(count))
    else:
        with cgutils.for_range(builder, count) as loop:
            yield loop.index


class _Window:
    """Loops over a window of images (rows, width, channels)."""

    def __init__(self, v: Vectors, x: Any, corner: Any, rows: Any, columns: Any, line: Any, channels: Any) -> None:
        self.v, self.builder, self.x, self.corner = v, v.builder, x, corner
        self.rows, self.columns, self.line, self.channels = rows, columns, line, channels

    def for_pixels(self, c: Any, body: Callable[[Any], None]) -> None:
        """body(offset of channel c) for each pixel of the window, row by row."""
        first = self.builder.add(self.corner, c)
        for row in _counted(self.builder, self.rows):
            start = self.builder.add(first, self.builder.mul(row, self.line))
            for column in _counted(self.builder, self.columns):
                body(self.builder.add(start, self.builder.mul(column, self.channels)))

    def find(self, c: Any, mask: Any, note: Callable[[Any, Any], None]) -> None:
        """Find the largest x of each channel, the first of equal ones; NaN counts as larger.

        note(offset of the pixel, mask of the lanes in which it is larger than those before) is told
        of each pixel.
        """
        v, builder = self.v, self.builder
        best = cgutils.alloca_once_value(builder, v.load(v.at(self.x, builder.add(self.corner, c)), mask))

        def compare(pixel: Any) -> None:
            new, old = v.load(v.at(self.x, pixel), mask), builder.load(best)
            wins = builder.or_(builder.fcmp_ordered(">", new, old), builder.fcmp_unordered("uno", new, new))
            builder.store(builder.select(wins, new, old), best)
            note(pixel, wins)

        self.for_pixels(c, compare)
