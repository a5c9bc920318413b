"""Convolutions on the CPU by implicit GEMM: the product of im2col, without im2col, for layers whose channels fill a tile.

With N targets (pixels of all results), and kernels between C and O channels:

    conv2d: (N, O) = im2col(x) (N, taps C)  weights (taps C, O). conv_transpose2d is the same with g for x and C and O
    exchanged: each target is a sum over the taps that reach it.

The im2col matrix is kernel height x kernel width times as large as the image. Here it is never
built: the micro-kernel `multiply_tile` gets a table of the addresses where its rows begin, and a
list of runs to sum over, and reads the images where they are. In a channels-last image a pixel is
one run, and so is a row of the kernel. `taps` plans which taps see which pixels. Padding costs
nothing: taps in it are skipped. Only with few images is it faster to pad them with zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.kernels.cpu.gemm import FEW, SHARES_PER_THREAD, pack_columns, pack_rows
from minigrad.kernels.cpu.im2col import pad
from minigrad.kernels.cpu.sizes import ImplicitGemmSizes
from minigrad.kernels.cpu.threads import share
from minigrad.kernels.cpu.tile import BLOCK, aligned, cut, multiply_tile
from minigrad.kernels.cpu.units import call, compiled, inner, unit
from minigrad.kernels.cpu.vectors import ROWS, TILE_BYTES

Array = Any

SHARE = 1 << 12  # products of a tile with a column of its rows, at least, in a share
TILES = 16  # that use a part of a panel while it is in the first-level cache


@compiled
def conv(
    x: Array, w: Array, bias: Array, y: Array, sizes: ImplicitGemmSizes, classes: Array, runs: Array, transposed: bool,
    threads: int,
) -> None:  # fmt: skip
    """y = bias + sums over the taps, class by class (see `taps`).

    Threads take shares of the tiles, weighted by their taps, until none is left: columns of tiles
    if the weights are larger than the images, else rows.
    """
    n, width = sizes.n, TILE_BYTES // x.itemsize
    panels = (sizes.out + width - 1) // width
    packed = _pack_weights(w, sizes.depth, sizes.out, sizes.taps, transposed, threads)
    padded = pad(x, n, sizes.depth, sizes.source_h, sizes.source_w, sizes.margin_h, sizes.margin_w, threads)
    tiles, costs, total = np.empty(len(classes), np.int64), np.empty(len(classes), np.int64), 0
    for c in range(len(classes)):
        tiles[c] = (n * classes[c].down * classes[c].across + ROWS - 1) // ROWS
        costs[c] = classes[c].runs * classes[c].length + 1
        total += tiles[c] * costs[c]
    shares = max(threads, min(SHARES_PER_THREAD * threads, total * sizes.depth * panels // SHARE))
    columns = min(shares, panels) if len(w) > len(x) else 1
    rows = (shares + columns - 1) // columns
    given = padded, packed, bias, y, sizes, classes, runs, tiles, costs, total, panels, columns, rows
    share(threads, rows * columns, rows * columns, _conv_share, given)


@unit
def _conv_share(
    number: int, _: int, x: Array, packed: Array, bias: Array, y: Array, sizes: ImplicitGemmSizes, classes: Array, runs: Array,
    tiles: Array, costs: Array, total: int, panels: int, columns: int, rows: int,
) -> None:  # fmt: skip
    """Share `number` of a convolution's tiles, class by class."""
    row, column, before = number // columns, number % columns, 0
    left, right = panels * column // columns, panels * (column + 1) // columns
    begin, end = total * row // rows, total * (row + 1) // rows
    for c in range(len(classes)):
        first = _tiles_before(begin - before, costs[c], tiles[c])
        last = _tiles_before(end - before, costs[c], tiles[c])
        before += tiles[c] * costs[c]
        if first < last:
            _conv_class(x, packed, bias, y, sizes, classes[c], runs, first, last, left, right)


@inner
def _tiles_before(cost: int, of_each: int, tiles: int) -> int:
    """How many tiles begin before so much work is done."""
    return min(tiles, max(0, (cost + of_each - 1) // of_each))


@inner
def _pack_weights(w: Array, depth: int, out: int, taps: int, transposed: bool, threads: int) -> Array:
    """The weights (taps depth, out) as panels.

    They are stored as (out, taps, depth), those of a transposed convolution as (depth, taps, out).
    """
    width = TILE_BYTES // w.itemsize
    panels = (out + width - 1) // width
    packed = aligned(panels * taps * depth * width, w.dtype)
    pieces = taps * ((panels + FEW - 1) // FEW)
    share(threads, SHARES_PER_THREAD * threads, pieces, _pack_pieces, (w, depth, out, taps, panels, transposed, packed))
    return packed


@unit
def _pack_pieces(
    first: int, last: int, w: Array, depth: int, out: int, taps: int, panels: int, transposed: bool, packed: Array
) -> None:
    """Taps of a few panels each, from number `first` on."""
    width = TILE_BYTES // w.itemsize
    for piece in range(first, last):
        tap, left = piece % taps, piece // taps * FEW
        count, apart, within = min(FEW, panels - left), taps * depth * width, tap * depth * width
        if transposed:
            place = left * apart + within
            call(pack_rows, (w, tap * out, taps * out, depth, left * width, out, width, count, packed, place, apart))
        else:
            for panel in range(left, left + count):
                start, columns = (panel * width * taps + tap) * depth, min(width, out - panel * width)
                call(pack_columns, (w, start, taps * depth, columns, packed, panel * apart + within, depth, width))


@inner
def _conv_class(
    x: Array, packed: Array, bias: Array, y: Array, sizes: ImplicitGemmSizes, one: Any, runs: Array,
    first: int, last: int, left: int, right: int,
) -> None:  # fmt: skip
    """Tiles first .. last - 1 of the targets of one class, panels left .. right - 1."""
    depth, out = sizes.depth, sizes.out
    width = TILE_BYTES // x.itemsize
    k, of_a_panel = one.length * depth, sizes.taps * depth * width
    offsets = np.empty(2 * one.runs, np.int64)
    for i in range(one.runs):
        offsets[2 * i], offsets[2 * i + 1] = runs[one.run + i, 0] * depth, runs[one.run + i, 1] * depth * width
    offsets, k = cut(offsets, k, 1, width)
    count = len(offsets) // 2
    piece = max(1, BLOCK // max(1, k))  # runs that one tile sums before the next tile's turn
    x_rows, y_rows = np.empty(TILES * ROWS, np.int64), np.empty(TILES * ROWS, np.int64)
    for first_tile in range(first, last, TILES):
        rows = _row_offsets(one, sizes, first_tile * ROWS, x_rows, y_rows)
        for run in range(0, max(1, count), piece):
            for panel in range(left, right):
                for i in range(min(TILES, last - first_tile)):
                    multiply_tile(
                        x, 0, x_rows, 1, packed, panel * of_a_panel, width,
                        offsets, run, min(piece, count - run), k, bias, panel * width, run == 0,
                        y, panel * width, y_rows, i * ROWS, rows - i * ROWS, out - panel * width,
                    )  # fmt: skip


@inner
def _row_offsets(one: Any, sizes: ImplicitGemmSizes, first: int, x_rows: Array, y_rows: Array) -> int:
    """Fill in where targets of a class, from number `first` on, begin in y, and what they see in x.

    Returns their count.
    """
    image, place = first // (one.down * one.across), first % (one.down * one.across)
    i, j = place // one.across, place % one.across
    count = min(len(x_rows), sizes.n * one.down * one.across - first)
    for row in range(count):
        x_rows[row] = (image * sizes.source + i * one.source_down + j * one.source_across) * sizes.depth
        y_rows[row] = (image * sizes.target + one.first + i * one.target_down + j * one.target_across) * sizes.out
        j += 1
        if j == one.across:
            i, j = i + 1, 0
            if i == one.down:
                image, i = image + 1, 0
    return count
