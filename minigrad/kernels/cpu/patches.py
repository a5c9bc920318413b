"""Convolutions whose tiles the channels do not fill: products with patches, cut out or put together piece by piece.

Where an image has one channel or three, the channels of a pixel fill a small part of a tile of `gemm`; those of a whole patch,
K = kernel height x kernel width x channels, fill it better. With P positions (of all images), and O channels there:

    fold_product      image = fold of (P, K) = g (P, O)  weights (O, K)
    weight            (O, K) = g^T (O, P)  patches (P, K)

The patches of all positions are much larger than the image, so they never exist at once: a thread has a block of them that
fits its cache. A row of the kernel, kernel width x channels numbers, is one run in an image that lies channels-last. Where
there is padding, the image is first copied into a frame of zeros, so that at every position the same runs are copied.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from minigrad.kernels.cpu.gemm import BLOCK, CACHE, pack_rows
from minigrad.kernels.cpu.vectors import ROWS, TILE_BYTES, add_row, copy_row, multiply_tile

Array = Any

SHARES = 16  # of the positions, at most, for which the gradient by the weights is summed up by itself,
SHARE = 512  # and the fewest positions of one


@numba.njit(parallel=True, cache=True)
def fold_product(g: Array, w: Array, bias: Array, x: Array, n: int, out: int, geometry: Any, threads: int) -> None:
    """Image = bias + fold of (P, K) = g weights: each thread some groups of images."""
    channels, height, breadth, rows, columns, kh, kw, _, _, ph, pw, _, _ = geometry
    width = TILE_BYTES // x.itemsize
    positions, frame_size = rows * columns, (height + 2 * ph) * (breadth + 2 * pw) * channels
    groups = min(n, max(1, n * positions // (8 * ROWS)))  # of images, so that a block has some strips of positions
    k = kh * kw * channels
    panels = (k + width - 1) // width
    packed = np.empty((panels, out, width), g.dtype)
    pack_rows(w, k, 0, packed)
    batch = min(panels, BLOCK // width)  # panels of a block
    most = ROWS * max(1, min(16, CACHE // (batch * width * ROWS)))  # positions of a block
    for t in numba.prange(threads):
        block = np.empty(most * batch * width, g.dtype)
        frames = np.empty(((n + groups - 1) // groups) * frame_size, g.dtype)
        for group in range(groups * t // threads, groups * (t + 1) // threads):
            first, last = n * group // groups, n * (group + 1) // groups
            frames[:] = 0
            for p in range(0, (last - first) * positions, most):
                count = min(most, (last - first) * positions - p)
                for left in range(0, panels, batch):
                    wide = min(batch, panels - left) * width
                    _product(g, first * positions + p, packed[left : left + batch], block, wide, out, count)
                    runs = _runs(geometry, left * width, min(left * width + wide, k), wide, most, width)
                    _fold(block, geometry, p, count, runs, wide, frames)
            for image in range(first, last):
                _unframe(frames[(image - first) * frame_size :], bias, x, image, channels, height, breadth, ph, pw)


@numba.njit(cache=True)
def _product(g: Array, first: int, panels: Array, block: Array, wide: int, out: int, count: int) -> None:
    """block (count, wide) = g (count, out), from row `first` on, times panels (panels, out, a panel's width)."""
    width = panels.shape[2]
    zeros, first_row, one_run = np.zeros(width, g.dtype), np.zeros(ROWS, np.int64), np.zeros(2, np.int64)
    g_rows, rows = np.arange(ROWS) * out, np.arange(ROWS) * wide
    for panel in range(len(panels)):
        for i in range(0, count, ROWS):
            place = block[i * wide + panel * width :].ctypes
            for o in range(0, out, BLOCK):
                init, init_rows = (zeros.ctypes, first_row) if o == 0 else (place, rows)
                multiply_tile(
                    g, g[(first + i) * out + o :].ctypes, g_rows.ctypes, 1, panels[panel, o:].ctypes, width,
                    one_run.ctypes, 1, min(BLOCK, out - o),
                    init, init_rows.ctypes, place, rows.ctypes, count - i, width,
                )  # fmt: skip


@numba.njit(parallel=True, cache=True)
def weight(x: Array, g: Array, w: Array, n: int, out: int, geometry: Any, threads: int) -> None:
    """(O, K) = g^T patches: each thread some columns of the patches or, where K is small, shares of the positions.

    Shares are summed up in their order; where they are few, each is worked on strip by strip of g^T.
    """
    channels, height, breadth, rows, columns, kh, kw, _, _, ph, pw, _, _ = geometry
    k, positions = kh * kw * channels, n * rows * columns
    width = TILE_BYTES // x.itemsize
    panels, strips = (k + width - 1) // width, (out + ROWS - 1) // ROWS
    framed = add_frame(x, n, channels, height, breadth, ph, pw)
    if panels >= SHARES:
        for t in numba.prange(threads):
            left, right = panels * t // threads, panels * (t + 1) // threads
            if left < right:
                _weight_part(framed, g, w, out, geometry, 0, positions, left, right, 0, strips)
        return
    shares = max(1, min(SHARES, positions // SHARE))
    pieces = min(strips, (SHARES // 2 + shares - 1) // shares)  # of the strips
    sums = np.empty((shares, out * k), x.dtype) if shares > 1 else w.reshape(1, out * k)
    for piece in numba.prange(shares * pieces):
        share, part = piece // pieces, piece % pieces
        first, last = positions * share // shares, positions * (share + 1) // shares
        top, bottom = strips * part // pieces, strips * (part + 1) // pieces
        _weight_part(framed, g, sums[share], out, geometry, first, last, 0, panels, top, bottom)
    if shares > 1:
        w[:] = sums[0]
        for share in range(1, shares):
            w += sums[share]


@numba.njit(cache=True)
def _weight_part(
    framed: Array, g: Array, w: Array, out: int, geometry: Any,
    first: int, last: int, left_panel: int, right_panel: int, top: int, bottom: int,
) -> None:  # fmt: skip
    """Strips top .. bottom - 1 of some panels of w = g^T patches, summed over positions first .. last - 1."""
    channels, _, _, _, _, kh, kw, _, _, _, _, _, _ = geometry
    k, width, strips = kh * kw * channels, TILE_BYTES // g.itemsize, bottom - top
    group = min(right_panel - left_panel, max(1, BLOCK // width))  # panels of a block
    most = min(last - first, CACHE // (group * width))  # positions of a block
    block = np.zeros(group * width * most, g.dtype)  # so that in columns beyond the last no odd number slows the processor
    room = np.empty(strips * most * ROWS, g.dtype)
    zeros, first_row, one_run = np.zeros(width, g.dtype), np.zeros(ROWS, np.int64), np.zeros(2, np.int64)
    strip_rows, w_rows = np.arange(ROWS), np.arange(ROWS) * k
    for left in range(left_panel, right_panel, group):
        right = min(left + group, right_panel)
        runs = _runs(geometry, left * width, min(right * width, k), width, most, width)
        for p in range(first, last, most):
            count = min(most, last - p)
            _cut(framed, geometry, p, count, runs, width, block)
            packed = room[: strips * count * ROWS].reshape(strips, count, ROWS)
            pack_rows(g[p * out :], out, top, packed)
            for i in range(top, bottom):
                for panel in range(left, right):
                    place = w[i * ROWS * k + panel * width :].ctypes
                    init, init_rows = (zeros.ctypes, first_row) if p == first else (place, w_rows)
                    cut = block[(panel - left) * most * width :].ctypes
                    multiply_tile(
                        g, packed[i - top].ctypes, strip_rows.ctypes, ROWS, cut, width,
                        one_run.ctypes, 1, count,
                        init, init_rows.ctypes, place, w_rows.ctypes, out - i * ROWS, k - panel * width,
                    )  # fmt: skip


@numba.njit(parallel=True, cache=True)
def add_frame(x: Array, n: int, channels: int, height: int, breadth: int, ph: int, pw: int) -> Array:
    """Images with ph rows and pw columns of zeros around them; x itself if there are none."""
    if ph == 0 and pw == 0:
        return x
    line, framed_line = breadth * channels, (breadth + 2 * pw) * channels
    framed = np.empty(n * (height + 2 * ph) * framed_line, x.dtype)
    for row in numba.prange(n * (height + 2 * ph)):
        image, y = row // (height + 2 * ph), row % (height + 2 * ph) - ph
        target = framed[row * framed_line : (row + 1) * framed_line]
        target[:] = 0
        if 0 <= y < height:
            target[pw * channels : pw * channels + line] = x[(image * height + y) * line : (image * height + y + 1) * line]
    return framed


@numba.njit(cache=True)
def _unframe(
    frame: Array, bias: Array, x: Array, image: int, channels: int, height: int, breadth: int, ph: int, pw: int
) -> None:
    """Write what is inside a frame, plus the bias, to an image of x."""
    for y in range(height):
        for z in range(breadth):
            source = ((y + ph) * (breadth + 2 * pw) + z + pw) * channels
            target = ((image * height + y) * breadth + z) * channels
            for c in range(channels):
                x[target + c] = frame[source + c] + bias[c]


@numba.njit(cache=True)
def _runs(geometry: Any, left: int, right: int, width: int, rows: int, longest: int) -> Array:
    """How columns left .. right - 1 of a patch are copied: (offset in the framed image, place in the block, count) each.

    The block has panels of `width` columns for `rows` positions. No run is longer than `longest`.
    """
    channels, _, breadth, _, _, _, kw, _, _, _, pw, dh, dw = geometry
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
def _cut(x: Array, geometry: Any, first: int, count: int, runs: Array, width: int, block: Array) -> None:
    """Copy columns of the patches at `count` positions, from number `first` on, from framed images to a block."""
    for row in range(count):
        start = _corner(geometry, first + row)
        for r in range(len(runs)):
            copy_row(x, x.ctypes, start + runs[r, 0], runs[r, 2], block.ctypes, row * width + runs[r, 1], runs[r, 2])


@numba.njit(cache=True)
def _fold(block: Array, geometry: Any, first: int, count: int, runs: Array, width: int, x: Array) -> None:
    """Add columns of patches in a block to the framed image that they were cut from: the transpose of `_cut`."""
    for row in range(count):
        start = _corner(geometry, first + row)
        for r in range(len(runs)):
            add_row(x, block.ctypes, row * width + runs[r, 1], x.ctypes, start + runs[r, 0], runs[r, 2])


@numba.njit(cache=True)
def _corner(geometry: Any, position: int) -> int:
    """Where in the framed images the patch at a position begins."""
    channels, height, breadth, rows, columns, _, _, sh, sw, ph, pw, _, _ = geometry
    image, place = position // (rows * columns), position % (rows * columns)
    i, j = place // columns, place % columns
    return ((image * (height + 2 * ph) + i * sh) * (breadth + 2 * pw) + j * sw) * channels
