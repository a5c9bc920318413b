"""Convolutions whose results fill tiles with channels: products of tiles that find their numbers in the images where they are.

With N targets (pixels of all results), P positions, and kernels between C and O channels:

    gather    conv2d (N, O) = patches of x (N, taps C)  weights (taps C, O), and conv_transpose2d the same with x and g, C and O
              exchanged: each target is a sum over the taps that meet it
    weight    at each tap (O, C) = g^T (O, P)  x (P, C) at the pixels that the tap meets

The patches are as large as kernel height x kernel width images. They are never written down: a tile of the product takes a
table of where its rows begin, and a list of runs to sum over. Images lie channels-last, so that a pixel, or a row of the
kernel, is one run. `taps` says which taps meet which pixels; padding costs nothing, but for a few images it is quicker to sum
over zeros around them.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from minigrad.kernels.cpu.gemm import BLOCK, CACHE, pack_columns, pack_rows
from minigrad.kernels.cpu.patches import add_frame
from minigrad.kernels.cpu.vectors import ROWS, TILE_BYTES, copy_row, multiply_tile

Array = Any

LEAST = 256  # positions that a gradient by the weights is summed over before it is written down
TILES = 16  # that use a piece of the weights one after the other


@numba.njit(parallel=True, cache=True)
def gather(
    x: Array, w: Array, bias: Array, y: Array, sizes: Any, classes: Array, runs: Array, transposed: bool, threads: int
) -> None:
    """y = bias + sums over the taps, class by class; each thread does its share of the tiles, counted by their taps."""
    n, depth, out, taps, height, breadth, down, across, target = sizes
    packed = _packed(w, depth, out, taps, transposed)
    framed = add_frame(x, n, depth, height, breadth, down, across)
    framed_sizes = n, depth, out, (height + 2 * down) * (breadth + 2 * across), target
    tiles, costs = np.empty(len(classes), np.int64), np.empty(len(classes), np.int64)
    for c in range(len(classes)):
        tiles[c] = (n * classes[c].down * classes[c].across + ROWS - 1) // ROWS
        costs[c] = classes[c].runs * classes[c].length + 1
    total = (tiles * costs).sum()
    for t in numba.prange(threads):
        begin, end, before = total * t // threads, total * (t + 1) // threads, 0
        for c in range(len(classes)):
            first, last = _tiles_before(begin - before, costs[c], tiles[c]), _tiles_before(end - before, costs[c], tiles[c])
            before += tiles[c] * costs[c]
            if first < last:
                _gather_class(framed, packed, bias, y, framed_sizes, classes[c], runs, first, last)


@numba.njit(cache=True)
def _tiles_before(cost: int, of_each: int, tiles: int) -> int:
    """How many tiles begin before so much work is done."""
    return min(tiles, max(0, (cost + of_each - 1) // of_each))


@numba.njit(parallel=True, cache=True)
def _packed(w: Array, depth: int, out: int, taps: int, transposed: bool) -> Array:
    """The weights (taps depth, out) as panels; they are stored as (out, taps, depth), transposed as (depth, taps, out)."""
    width = TILE_BYTES // w.itemsize
    panels, k = (out + width - 1) // width, taps * depth
    packed = np.empty((panels, k, width), w.dtype)
    to = packed.reshape(-1)
    if not transposed:
        for panel in numba.prange(panels):
            pack_columns(w[panel * width * k :], k, min(width, out - panel * width), packed[panel])
        return packed
    for piece in numba.prange(panels * taps):
        panel, tap = piece // taps, piece % taps
        for p in range(depth):
            start = (p * taps + tap) * out + panel * width
            copy_row(w, w.ctypes, start, min(width, out - panel * width), to.ctypes, (piece * depth + p) * width, width)
    return packed


@numba.njit(cache=True)
def _gather_class(
    x: Array, packed: Array, bias: Array, y: Array, sizes: Any, one: Any, runs: Array, first: int, last: int
) -> None:
    """Tiles first .. last - 1 of the targets of one class."""
    _, depth, out, _, _ = sizes
    panels, _, width = packed.shape
    k = one.length * depth
    offsets = runs[one.run : one.run + one.runs] * np.array([depth, depth * width])
    piece = max(1, BLOCK // max(1, k))  # runs that are summed before it is the next tile's turn
    group = max(1, CACHE // (max(1, min(one.runs, piece) * k) * width))  # panels of weights that stay in the cache
    x_rows, y_rows = np.empty((TILES, ROWS), np.int64), np.empty((TILES, ROWS), np.int64)
    first_row = np.zeros(ROWS, np.int64)
    for first_tile in range(first, last, TILES):
        rows = _place(one, sizes, first_tile * ROWS, x_rows, y_rows)
        for run in range(0, max(1, one.runs), piece):
            for first_panel in range(0, panels, group):
                for i in range(min(TILES, last - first_tile)):
                    for panel in range(first_panel, min(first_panel + group, panels)):
                        place = y[panel * width :].ctypes
                        init, init_rows = (bias[panel * width :].ctypes, first_row) if run == 0 else (place, y_rows[i])
                        multiply_tile(
                            x, x.ctypes, x_rows[i].ctypes, 1, packed[panel].ctypes, width,
                            offsets[run:].ctypes, min(piece, one.runs - run), k,
                            init, init_rows.ctypes, place, y_rows[i].ctypes, rows - i * ROWS, out - panel * width,
                        )  # fmt: skip


@numba.njit(cache=True)
def _place(one: Any, sizes: Any, first: int, x_rows: Array, y_rows: Array) -> int:
    """Fill in where targets of a class, from number `first` on, begin in y, and what they see in x; gives how many."""
    n, depth, out, source, target = sizes
    image, place = first // (one.down * one.across), first % (one.down * one.across)
    i, j = place // one.across, place % one.across
    x_places, y_places = x_rows.reshape(-1), y_rows.reshape(-1)
    count = min(len(x_places), n * one.down * one.across - first)
    for row in range(count):
        x_places[row] = (image * source + i * one.source_down + j * one.source_across) * depth
        y_places[row] = (image * target + one.first + i * one.target_down + j * one.target_across) * out
        j += 1
        if j == one.across:
            i, j = i + 1, 0
            if i == one.down:
                image, i = image + 1, 0
    return count


@numba.njit(parallel=True, cache=True)
def weight(x: Array, g: Array, w: Array, n: int, out: int, geometry: Any, threads: int) -> None:
    """(O, C) at each tap = g^T (O, P) x (P, C) at the pixels that it meets: each thread some of the tiles, in order."""
    channels, _, breadth, rows, columns, kh, kw, sh, sw, _, _, _, _ = geometry
    width = TILE_BYTES // x.itemsize
    taps, panels, strips = kh * kw, channels // width, (out + ROWS - 1) // ROWS
    of_a_line = columns * out + sh * breadth * channels  # numbers of g and x that belong to a line of positions
    blocks = max(1, min(n * rows * of_a_line // CACHE, n * rows * columns // LEAST))
    lines = (n * rows + blocks - 1) // blocks
    zeros, first_row = np.zeros(width, x.dtype), np.zeros(ROWS, np.int64)
    for t in numba.prange(threads):
        first, last = strips * taps * panels * t // threads, strips * taps * panels * (t + 1) // threads
        if first == last:
            continue
        top = first // (taps * panels)  # the first strip
        count = -(-last // (taps * panels)) - top
        runs, counts, lengths = np.empty((taps, lines, 2), np.int64), np.empty(taps, np.int64), np.empty(taps, np.int64)
        g_rows, w_rows = np.arange(ROWS), np.arange(ROWS) * (taps * channels)
        room = np.empty(count * lines * columns * ROWS, g.dtype)
        for first_line in range(0, n * rows, lines):
            height = min(lines, n * rows - first_line)
            packed = room[: count * height * columns * ROWS].reshape(count, height * columns, ROWS)
            pack_rows(g[first_line * columns * out :], out, top, packed)
            for tap in range(taps):
                counts[tap], lengths[tap] = _weight_runs(geometry, tap, first_line, height, runs[tap])
            for tile in range(first, last):
                strip, tap, column = tile // (taps * panels), tile // panels % taps, tile % panels * width
                place = w[(strip * ROWS * taps + tap) * channels + column :].ctypes
                init, init_rows = (zeros.ctypes, first_row) if first_line == 0 else (place, w_rows)
                multiply_tile(
                    x, packed[strip - top].ctypes, g_rows.ctypes, ROWS, x[column:].ctypes, sw * channels,
                    runs[tap].ctypes, counts[tap], lengths[tap],
                    init, init_rows.ctypes, place, w_rows.ctypes, out - strip * ROWS, width,
                )  # fmt: skip


@numba.njit(cache=True)
def _weight_runs(geometry: Any, tap: int, first: int, lines: int, runs: Array) -> tuple[int, int]:
    """Where a tap meets pixels: a run of positions, in strips of g, and of pixels for each line; how many, and how long."""
    channels, height, breadth, rows, columns, _, kw, sh, sw, ph, pw, dh, dw = geometry
    a, b = tap // kw * dh - ph, tap % kw * dw - pw
    left = max(0, -(b // sw))
    right = max(left, min(columns, (breadth - 1 - b) // sw + 1))
    count = 0
    for line in range(lines):
        image, y = (first + line) // rows, (first + line) % rows * sh + a
        if 0 <= y < height:
            runs[count, 0] = (line * columns + left) * ROWS
            runs[count, 1] = ((image * height + y) * breadth + left * sw + b) * channels
            count += 1
    return count, right - left
