"""Convolution and its gradients on the CPU: matrix products with patches, cut out piece by piece.

With P positions (of all images), K numbers in a patch, and weights for O channels:

    conv2d            (P, O) = patches (P, K)  weights^T (K, O)
    conv_transpose2d  fold of (P, K) = g (P, O)  weights (O, K)
    conv2d_weight     (O, K) = g^T (O, P)  patches (P, K)

The patches of all positions are as large as kernel height x kernel width images, so they never exist at once: a thread cuts
out a block of them that fits its cache, multiplies it by the tiles of `gemm`, and goes on to the next. Images and weights lie
channels-last, so that a row of the kernel, kernel width x channels numbers, is one run in the image. Where there is padding,
the image is first copied into a frame of zeros, so that at every position the same runs are copied from one place to another.
Every number is summed in an order that does not depend on how many threads there are.

A tile of the product is many channels wide, and would be nearly empty where a network ends in an image of three, or in a
single logit. But if the kernel moves by one pixel at a time, what x is to g in a convolution is what g is to x in another one,
with the kernel turned round: the images change places and the few channels become part of a patch. See `_turn`.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from minigrad.kernels import reference
from minigrad.kernels.cpu.gemm import BLOCK, pack_columns, pack_rows
from minigrad.kernels.cpu.launch import launch
from minigrad.kernels.cpu.loops import REAL, in_c_order
from minigrad.kernels.cpu.vectors import ROWS, VECTOR_BYTES, VECTORS, add_row, copy_row, multiply_tile
from minigrad.kernels.geometry import Geometry
from minigrad.layout import by_pixel, channels_last

Array = Any

CACHE = 1 << 17  # numbers in a block of patches: half a megabyte of float32 stays in the second-level cache
FEW = 16  # output channels: with fewer, half of a tile's width would be empty
UNITS = 8  # of work that a transposed convolution is cut into, at least, where it can be


def conv2d(x: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    x, weight, bias = _of_one_type(x, weight, bias)
    if not _is_real(x, weight):
        return channels_last(reference.conv2d(x, weight, bias, geometry))
    if _has_few(weight.shape, geometry):
        return conv_transpose2d(x, _turn(weight), bias, _turned(geometry))
    n, out = len(x), len(weight)
    y = np.empty((n, *geometry.positions, out), x.dtype, like=x)
    row, numbers, threads = _row(bias, out, x), _numbers(x, geometry), numba.get_num_threads()
    launch(_conv, _pixels(x), _pixels(weight), row, y.reshape(-1), n, out, numbers, threads)
    return y.transpose(0, 3, 1, 2)


def conv_transpose2d(g: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    g, weight, bias = _of_one_type(g, weight, bias)
    if not _is_real(g, weight):
        return channels_last(reference.conv_transpose2d(g, weight, bias, geometry))
    if _has_few(weight.shape, geometry):
        return conv2d(g, _turn(weight), bias, _turned(geometry))
    n, (out, channels) = len(g), weight.shape[:2]
    x = np.empty((n, *geometry.image, channels), g.dtype, like=g)
    row, numbers, threads = _row(bias, channels, g), _numbers(weight, geometry), numba.get_num_threads()
    launch(_transpose, _pixels(g), _pixels(weight), row, x.reshape(-1), n, out, numbers, threads)
    return x.transpose(0, 3, 1, 2)


def conv2d_weight(x: Array, g: Array, geometry: Geometry) -> Array:
    x, g, _ = _of_one_type(x, g, None)
    if not _is_real(x, g):
        return channels_last(reference.conv2d_weight(x, g, geometry))
    out, channels = g.shape[1], x.shape[1]
    if _has_few((out, channels), geometry):
        return channels_last(_turn(conv2d_weight(g, x, _turned(geometry))))
    w = np.empty((out, *geometry.kernel, channels), x.dtype, like=x)
    numbers, threads = _numbers(x, geometry), numba.get_num_threads()
    launch(_weight, _pixels(x), _pixels(g), w.reshape(-1), len(x), out, numbers, threads)
    return w.transpose(0, 3, 1, 2)


def _has_few(shape: tuple[int, ...], geometry: Geometry) -> bool:
    """Whether weights of this shape, (out, channels, ...), have few output channels, and turning the kernel round helps."""
    out, channels, *_ = shape
    if out >= min(FEW, channels) or geometry.stride != (1, 1):
        return False
    turned = zip(geometry.image, geometry.positions, geometry.padding, _spans(geometry), strict=True)
    return all(p <= span and positions == image + 2 * p - span for image, positions, p, span in turned)


def _turn(weight: Array) -> Array:
    """(out, channels, kh, kw) to (channels, out, kh, kw), each kernel turned by half a turn."""
    return weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]


def _turned(geometry: Geometry) -> Geometry:
    """The geometry in which the image and the positions of a kernel that moves by one pixel have changed places.

    With y[q] = sum over t of x[q + d t - p] w[t], x[i] meets y[i + d (k - 1 - t) - (d (k - 1) - p)].
    """
    spans, (ph, pw) = _spans(geometry), geometry.padding
    padding = spans[0] - ph, spans[1] - pw
    return Geometry(geometry.positions, geometry.kernel, geometry.stride, padding, geometry.dilation)


def _spans(geometry: Geometry) -> tuple[int, int]:
    """Pixels from the first to the last tap of a kernel."""
    (kh, kw), (dh, dw) = geometry.kernel, geometry.dilation
    return dh * (kh - 1), dw * (kw - 1)


def _of_one_type(x: Array, y: Array, bias: Array | None) -> tuple[Array, Array, Array | None]:
    """All in the type that NumPy gives their product."""
    dtype = np.result_type(x, y) if bias is None else np.result_type(x, y, bias)
    return x.astype(dtype, copy=False), y.astype(dtype, copy=False), None if bias is None else bias.astype(dtype, copy=False)


def _is_real(x: Array, y: Array) -> bool:
    """Whether the fast loops can run: on float32 or float64, and on something."""
    return x.dtype in REAL and x.size > 0 and y.size > 0


def _pixels(x: Array) -> Array:
    """The flat memory of images or weights, channels-last."""
    return by_pixel(x).reshape(-1)


def _row(bias: Array | None, size: int, like: Array) -> Array:
    return np.zeros(size, like.dtype, like=like) if bias is None else in_c_order(bias)


def _numbers(x: Array, geometry: Geometry) -> tuple[int, ...]:
    """The geometry as the loops take it: channels, then pairs."""
    g = geometry
    return (x.shape[1], *g.image, *g.positions, *g.kernel, *g.stride, *g.padding, *g.dilation)


@numba.njit(parallel=True, cache=True)
def _conv(x: Array, w: Array, bias: Array, y: Array, n: int, out: int, geometry: Any, threads: int) -> None:
    """(P, O) = patches weights^T: each thread some of the positions."""
    channels, height, breadth, rows, columns, kh, kw, _, _, ph, pw, _, _ = geometry
    k, run = kh * kw * channels, kw * channels
    width = VECTORS * (VECTOR_BYTES // x.itemsize)
    panels = (out + width - 1) // width
    packed = np.empty((panels, k, width), x.dtype)
    for panel in numba.prange(panels):
        pack_columns(w[panel * width * k :], k, min(width, out - panel * width), packed[panel])
    framed = _frame(x, n, channels, height, breadth, ph, pw)
    depth = min(k, max(1, BLOCK // run) * run)  # columns of a block: whole rows of the kernel
    most = ROWS * max(1, min(16, CACHE // (depth * ROWS)))  # positions of a block
    group = max(1, CACHE // (depth * width))  # panels of weights that stay in the cache beside it
    tiles = (n * rows * columns + ROWS - 1) // ROWS
    for t in numba.prange(threads):
        block = np.empty(most * depth, x.dtype)
        first, last = tiles * t // threads * ROWS, min(tiles * (t + 1) // threads * ROWS, n * rows * columns)
        for p in range(first, last, most):
            count = min(most, last - p)
            for left in range(0, k, depth):
                wide = min(depth, k - left)
                runs = _runs(geometry, channels, left, left + wide, wide, most, width)
                _cut(framed, geometry, channels, p, count, runs, wide, block)
                for some in range(0, panels, group):
                    for i in range(0, count, ROWS):
                        for panel in range(some, min(some + group, panels)):
                            place = y[(p + i) * out + panel * width :].ctypes
                            init, init_row = (bias[panel * width :].ctypes, 0) if left == 0 else (place, out)
                            multiply_tile(
                                x, block[i * wide :].ctypes, wide, 1, packed[panel, left:].ctypes, width, wide,
                                init, init_row, place, out, count - i, out - panel * width,
                            )  # fmt: skip


@numba.njit(parallel=True, cache=True)
def _transpose(g: Array, w: Array, bias: Array, x: Array, n: int, out: int, geometry: Any, threads: int) -> None:
    """Fold of (P, K) = g weights: each thread some groups of images and, where these are few, some of the channels."""
    channels, height, breadth, rows, columns, kh, kw, _, _, ph, pw, _, _ = geometry
    width = VECTORS * (VECTOR_BYTES // x.itemsize)
    positions, frame_size = rows * columns, (height + 2 * ph) * (breadth + 2 * pw)
    groups = min(n, max(1, n * positions // (8 * ROWS)))  # of images, so that a block has some strips of positions
    part = channels  # those of one unit of work
    while groups * (channels // part) < UNITS and part % (2 * width) == 0:
        part //= 2
    parts, k = channels // part, kh * kw * part
    panels = (k + width - 1) // width  # of one part
    packed = np.empty((parts * panels, out, width), g.dtype)
    for p in numba.prange(parts * panels):
        _pack_part(w, channels, part, p // panels, p % panels, kh * kw, packed[p])
    batch = min(panels, BLOCK // width)  # panels of a block
    most = ROWS * max(1, min(16, CACHE // (batch * width * ROWS)))  # positions of a block
    for t in numba.prange(threads):
        block = np.empty(most * batch * width, g.dtype)
        frames = np.empty(((n + groups - 1) // groups) * frame_size * part, g.dtype)
        for unit in range(groups * parts * t // threads, groups * parts * (t + 1) // threads):
            group, which = unit // parts, unit % parts
            first, last = n * group // groups, n * (group + 1) // groups
            frames[:] = 0
            for p in range(0, (last - first) * positions, most):
                count = min(most, (last - first) * positions - p)
                for left in range(0, panels, batch):
                    wide = min(batch, panels - left) * width
                    for panel in range(left, min(left + batch, panels)):
                        for i in range(0, count, ROWS):
                            _product_tile(
                                g, (first * positions + p + i) * out, packed[which * panels + panel],
                                block, i * wide + (panel - left) * width, wide, out, count - i,
                            )  # fmt: skip
                    runs = _runs(geometry, part, left * width, min(left * width + wide, k), wide, most, width)
                    _fold(block, geometry, part, p, count, runs, wide, frames)
            for image in range(first, last):
                frame = frames[(image - first) * frame_size * part :]
                _unframe(frame, bias, x, image, channels, part, which * part, height, breadth, ph, pw)


@numba.njit(cache=True)
def _product_tile(g: Array, start: int, panel: Array, block: Array, place: int, wide: int, out: int, rows: int) -> None:
    """block (rows, a panel's width) = g (rows, out) panel (out, a panel's width), in pieces of BLOCK rows of the panel."""
    width = panel.shape[1]
    zeros = np.zeros(width, g.dtype)
    target = block[place:].ctypes
    for o in range(0, out, BLOCK):
        init, init_row = (zeros.ctypes, 0) if o == 0 else (target, wide)
        depth = min(BLOCK, out - o)
        multiply_tile(
            g, g[start + o :].ctypes, out, 1, panel[o:].ctypes, width, depth, init, init_row, target, wide, rows, width
        )


@numba.njit(parallel=True, cache=True)
def _weight(x: Array, g: Array, w: Array, n: int, out: int, geometry: Any, threads: int) -> None:
    """(O, K) = g^T patches: each thread some columns of the patches, or, where there are too few, some rows of g^T."""
    channels, height, breadth, rows, columns, kh, kw, _, _, ph, pw, _, _ = geometry
    k, positions = kh * kw * channels, n * rows * columns
    width = VECTORS * (VECTOR_BYTES // x.itemsize)
    panels, tiles = (k + width - 1) // width, (out + ROWS - 1) // ROWS
    by_columns = panels >= 2 * threads
    framed = _frame(x, n, channels, height, breadth, ph, pw)
    zeros = np.zeros(width, x.dtype)
    for t in numba.prange(threads):
        top, bottom = (0, tiles) if by_columns else (tiles * t // threads, tiles * (t + 1) // threads)
        first, last = (panels * t // threads, panels * (t + 1) // threads) if by_columns else (0, panels)
        if top == bottom:
            continue
        group = max(1, min(last - first, BLOCK // width))  # panels of a block
        most = CACHE // (group * width)  # positions of a block
        block = np.zeros(group * width * most, x.dtype)  # so that in columns beyond the last no odd number slows the processor
        room = np.empty((bottom - top) * most * ROWS, x.dtype)
        for left in range(first, last, group):
            right = min(left + group, last)
            runs = _runs(geometry, channels, left * width, min(right * width, k), width, most, width)
            for p in range(0, positions, most):
                count = min(most, positions - p)
                _cut(framed, geometry, channels, p, count, runs, width, block)
                strips = room[: (bottom - top) * count * ROWS].reshape(bottom - top, count, ROWS)
                pack_rows(g[p * out :], out, top, strips)
                for i in range(top, bottom):
                    for panel in range(left, right):
                        place = w[i * ROWS * k + panel * width :].ctypes
                        init, init_row = (zeros.ctypes, 0) if p == 0 else (place, k)
                        cut = block[(panel - left) * most * width :].ctypes
                        multiply_tile(
                            x, strips[i - top].ctypes, 1, ROWS, cut, width, count,
                            init, init_row, place, k, out - i * ROWS, k - panel * width,
                        )  # fmt: skip


@numba.njit(cache=True)
def _pack_part(w: Array, channels: int, part: int, which: int, panel: int, taps: int, packed: Array) -> None:
    """One panel of the weights (out, taps, channels) of one part of the channels; zeros beyond the last column."""
    out, width = packed.shape
    column = panel * width
    # A part of all channels is one run through taps and channels; a smaller one has whole panels at each tap.
    start = column if part == channels else column // part * channels + which * part + column % part
    count = min(width, taps * part - column)
    to = packed.reshape(-1)
    for o in range(out):
        copy_row(w, w.ctypes, o * taps * channels + start, count, to.ctypes, o * width, width)


@numba.njit(parallel=True, cache=True)
def _frame(x: Array, n: int, channels: int, height: int, breadth: int, ph: int, pw: int) -> Array:
    """The images with ph rows and pw columns of zeros around them; x itself if there are none."""
    if ph == 0 and pw == 0:
        return x
    line, framed_line = breadth * channels, (breadth + 2 * pw) * channels
    framed = np.empty(n * (height + 2 * ph) * framed_line, x.dtype)
    for row in numba.prange(n * (height + 2 * ph)):
        image, y = row // (height + 2 * ph), row % (height + 2 * ph) - ph
        target = framed[row * framed_line : (row + 1) * framed_line]
        if 0 <= y < height:
            target[: pw * channels] = 0
            target[pw * channels : pw * channels + line] = x[(image * height + y) * line : (image * height + y + 1) * line]
            target[pw * channels + line :] = 0
        else:
            target[:] = 0
    return framed


@numba.njit(cache=True)
def _unframe(
    frame: Array, bias: Array, x: Array, image: int, channels: int, part: int, first: int,
    height: int, breadth: int, ph: int, pw: int,
) -> None:  # fmt: skip
    """Write what is inside a frame, plus the bias, to channels first .. first + part - 1 of an image of x."""
    for y in range(height):
        for z in range(breadth):
            source = ((y + ph) * (breadth + 2 * pw) + z + pw) * part
            target = ((image * height + y) * breadth + z) * channels + first
            for c in range(part):
                x[target + c] = frame[source + c] + bias[first + c]


@numba.njit(cache=True)
def _runs(geometry: Any, channels: int, left: int, right: int, width: int, rows: int, longest: int) -> Array:
    """How columns left .. right - 1 of a patch are copied: (offset in the framed image, place in the block, count) each.

    The block has panels of `width` columns for `rows` positions. No run is longer than `longest`.
    """
    _, _, breadth, _, _, _, kw, _, _, _, pw, dh, dw = geometry
    span = kw if dw == 1 else 1  # taps whose pixels are neighbours in memory
    stretch, stretches = span * channels, kw // span
    runs = np.empty((right - left, 3), np.int64)
    count, column = 0, left
    while column < right:
        q, panel, within = column // stretch, (column - left) // width, (column - left) % width
        end = min(right, (q + 1) * stretch, column + width - within, column + longest)
        pixel = q // stretches * dh * (breadth + 2 * pw) + q % stretches * dw
        runs[count, 0] = pixel * channels + column - q * stretch
        runs[count, 1] = panel * rows * width + within
        runs[count, 2] = end - column
        count, column = count + 1, end
    return runs[:count]


@numba.njit(cache=True)
def _cut(x: Array, geometry: Any, channels: int, first: int, count: int, runs: Array, width: int, block: Array) -> None:
    """Copy columns of the patches at `count` positions, from number `first` on, from framed images to a block."""
    for row in range(count):
        start = _corner(geometry, channels, first + row)
        for r in range(len(runs)):
            copy_row(x, x.ctypes, start + runs[r, 0], runs[r, 2], block.ctypes, row * width + runs[r, 1], runs[r, 2])


@numba.njit(cache=True)
def _fold(block: Array, geometry: Any, channels: int, first: int, count: int, runs: Array, width: int, x: Array) -> None:
    """Add columns of patches in a block to the framed image that they were cut from: the transpose of `_cut`."""
    for row in range(count):
        start = _corner(geometry, channels, first + row)
        for r in range(len(runs)):
            add_row(x, block.ctypes, row * width + runs[r, 1], x.ctypes, start + runs[r, 0], runs[r, 2])


@numba.njit(cache=True)
def _corner(geometry: Any, channels: int, position: int) -> int:
    """Where in the framed images the patch at a position begins."""
    _, height, breadth, rows, columns, _, _, sh, sw, ph, pw, _, _ = geometry
    image, place = position // (rows * columns), position % (rows * columns)
    i, j = place // columns, place % columns
    return ((image * (height + 2 * ph) + i * sh) * (breadth + 2 * pw) + j * sw) * channels
