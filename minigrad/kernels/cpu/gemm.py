"""Matrix products on the CPU, near the processor's peak. README.md has a drawing.

A product of (m, k) and (k, n) matrices takes m n k multiplications but has only m k + k n + m n
numbers, so the aim is to fetch each number once and use it many times. The result is cut into
tiles, ROWS rows high and VECTORS vector registers wide, small enough to be summed in registers: for
each p, the micro-kernel multiplies ROWS elements of column p of the left matrix by a tile's width
of row p of the right one. The right matrix is packed into panels of that width first, as many as
the cache holds, so that the micro-kernel reads them from front to back.

Why not NumPy's BLAS: its threads and ours delay each other at every step, and for matrices
as small as a layer's it is seldom faster. Besides, here each element is summed in the same order
for any number of threads, so results are bit-identical.

Source: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34 (2008).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from minigrad.arrays.hooks import launch
from minigrad.kernels.cpu.loops import as_input, in_c_order
from minigrad.kernels.cpu.threads import get_num_threads, share
from minigrad.kernels.cpu.tile import BLOCK, aligned, multiples, multiply_tile
from minigrad.kernels.cpu.units import call, compiled, unit
from minigrad.kernels.cpu.vectors import (
    AVX512,
    L2_BYTES,
    LINE_BYTES,
    ROWS,
    TILE_BYTES,
    VECTOR_BYTES,
    copy_vectors,
    prefetch,
    transpose_square,
)

Array = Any

CACHE = L2_BYTES // 8  # float32 in a group of panels: half of the second-level cache
STRIPS = 2 if AVX512 else 8  # of the left matrix that share a panel: 26 or 48 rows of the result, often as many pages
SHARES_PER_THREAD = 2  # of a large product: a thread that has lost its processor leaves the rest to the others
LEAST = 1 << 21  # multiplications in a share
FEW = 8  # panels that are packed at a time: many places to write to would not stay in the cache
AHEAD = 8  # rows that are asked for before they are packed, as each may be on another page
PARALLEL_FROM = 1 << 20  # multiplications from which threads share a product; waking a thread costs about as much


def product(a: Array, b: Array, bias: Array | None = None) -> Array:
    """a @ b + bias, C-contiguous: (m, k), (k, n) and (n,) of one dtype, float32 or float64, to (m, n)."""
    (m, k), n = a.shape, b.shape[1]
    c = np.empty((m, n), a.dtype, like=a)
    row = np.zeros(n, a.dtype, like=a) if bias is None else in_c_order(bias)
    threads = 1 if m * n * k < PARALLEL_FROM else get_num_threads()
    down, across = (m + ROWS - 1) // ROWS, -(-n * a.itemsize // TILE_BYTES)  # tiles
    shares = 1 if threads == 1 else max(threads, min(SHARES_PER_THREAD * threads, m * n * k // LEAST))
    left, right = memory_of(a), memory_of(b)
    columns = _columns_of_grid(shares, across, down, right[1], left[1])
    launch(_product, *left, *right, row, c.reshape(-1), m, n, k, down, across, columns, shares // columns, threads)
    return c


def memory_of(x: Array) -> tuple[Array, bool]:
    """The matrix as flat memory, and whether it is stored by columns.

    A non-contiguous matrix is copied.
    """
    x = as_input(x)
    if x.flags.c_contiguous:
        return x.reshape(-1), False
    if x.flags.f_contiguous:
        return x.T.reshape(-1), True
    return x.ravel(), False


@lru_cache(maxsize=1024)
def _columns_of_grid(shares: int, across: int, down: int, b_by_columns: bool, a_by_columns: bool) -> int:
    """How many columns of rectangles to cut a result of across x down tiles into, one rectangle a share.

    The best cut minimises the work of the largest rectangle, which packs its panels, and its strips
    if the left matrix is stored by columns. The weights were measured, in times of a tile.
    """
    panel, strip = 2.5 if b_by_columns else 1.5, 1.0 if a_by_columns else 0.3
    best, least = 1, math.inf
    for columns in range(1, shares + 1):
        if shares % columns == 0:
            rows = shares // columns
            wide, high = (across + columns - 1) // columns, (down + rows - 1) // rows
            work = wide * high + panel * wide + strip * high
            if work < least:
                best, least = columns, work
    return best


@compiled
def _product(
    a: Array, a_by_columns: bool, b: Array, b_by_columns: bool, bias: Array, c: Array, m: int, n: int, k: int,
    down: int, across: int, columns: int, rows: int, threads: int,
) -> None:  # fmt: skip
    """c = bias + a b on the flat memory of the matrices; `bias` is added to each row.

    Its down x across tiles are cut into rectangles, columns x rows of them, and threads share these.
    """
    given = a, a_by_columns, b, b_by_columns, bias, c, m, n, k, down, across, columns, rows
    share(threads, columns * rows, columns * rows, _rectangle, given)


@unit
def _rectangle(
    number: int, _: int, a: Array, a_by_columns: bool, b: Array, b_by_columns: bool, bias: Array, c: Array,
    m: int, n: int, k: int, down: int, across: int, columns: int, rows: int,
) -> None:  # fmt: skip
    """Rectangle `number` of a product, on one thread."""
    column, row = number % columns, number // columns
    left, right = across * column // columns, across * (column + 1) // columns
    top, bottom = down * row // rows, down * (row + 1) // rows
    width = TILE_BYTES // a.itemsize
    a_rows, a_col = (multiples(1, ROWS), ROWS) if a_by_columns else (multiples(k, ROWS), 1)
    c_rows, one_run = multiples(n, ROWS), multiples(0, 2)
    pieces = max(1, (k + BLOCK // 2) // BLOCK)
    block = max(1, (k + pieces - 1) // pieces)  # terms, some BLOCK; a short last block would cost as many loads and stores
    group = max(1, min(right - left, CACHE // (block * width)))  # panels that are packed together
    panels = aligned(group * block * width, a.dtype)
    strips = aligned(STRIPS * block * ROWS if a_by_columns else 0, a.dtype)
    for p in range(0, max(k, 1), block):
        depth = min(block, k - p)
        for first in range(left, right, group):
            count = min(group, right - first)
            if b_by_columns:
                for j in range(count):
                    start = (first + j) * width
                    call(pack_columns, (b, start * k + p, k, min(width, n - start), panels, j * depth * width, depth, width))
            else:
                call(pack_rows, (b, p * n, n, depth, first * width, n, width, count, panels, 0, depth * width))
            for upper in range(top, bottom, STRIPS):
                lower = min(upper + STRIPS, bottom)
                if a_by_columns:
                    call(pack_rows, (a, p * m, m, depth, upper * ROWS, m, ROWS, lower - upper, strips, 0, depth * ROWS))
                for j in range(count):
                    column = (first + j) * width
                    for i in range(upper, lower):
                        start = (i - upper) * depth * ROWS if a_by_columns else i * ROWS * k + p
                        multiply_tile(
                            strips if a_by_columns else a, start, a_rows, a_col,
                            panels, j * depth * width, width, one_run, 0, 1, depth, bias, column, p == 0,
                            c, i * ROWS * n + column, c_rows, 0, m - i * ROWS, n - column,
                        )  # fmt: skip


@unit
def pack_rows(
    x: Array, start: int, row: int, k: int, column: int, columns: int, width: int, count: int,
    panels: Array, place: int, apart: int,
) -> None:  # fmt: skip
    """Pack k rows of x, stored `row` apart, into `count` panels (k, width), from a column on.

    What stands beyond the last of `columns` means nothing: it is what follows in memory, or zero. `start` is the offset of the
    rows in x, `place` that of the first panel in `panels`; each panel begins `apart` after the one before.
    """
    lanes, line = VECTOR_BYTES // x.itemsize, LINE_BYTES // x.itemsize
    reach = (width + lanes - 1) // lanes * lanes  # numbers that `copy_vectors` reads and writes
    last = start + column + (count - 1) * width + reach  # what row 0 reads
    rows = max(0, min(k if width == reach else k - 1, (len(x) - last) // row + 1))  # that may be copied in whole vectors
    for left in range(0, count, FEW):
        for p in range(rows):
            for i in range(0, min(FEW, count - left) * width + line - 1, line):
                prefetch(x, start + (p + AHEAD) * row + column + left * width + i)
            for panel in range(left, min(left + FEW, count)):
                copy_vectors(x, start + p * row + column + panel * width, panels, place + panel * apart + p * width, width)
    for panel in range(count):
        first = column + panel * width
        for p in range(rows, k):
            for i in range(width):
                panels[place + panel * apart + p * width + i] = x[start + p * row + first + i] if first + i < columns else 0


@unit
def pack_columns(x: Array, start: int, k: int, columns: int, panels: Array, place: int, depth: int, width: int) -> None:
    """Pack columns of x, stored k apart, into one panel (depth, width); zeros beyond the last column."""
    lanes = VECTOR_BYTES // x.itemsize
    squares, whole = depth // lanes * lanes, columns // lanes * lanes
    for j in range(0, whole, lanes):
        for p in range(0, squares, lanes):
            transpose_square(x, start + j * k + p, k, panels, place + p * width + j, width)
    for p in range(depth):
        for j in range(0 if p >= squares else whole, width):
            panels[place + p * width + j] = x[start + j * k + p] if j < columns else 0
