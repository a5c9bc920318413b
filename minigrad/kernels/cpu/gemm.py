"""Matrix products on the CPU, near the processor's peak. README.md has a drawing.

A product of (m, k) and (k, n) matrices takes m n k multiplications but has only m k + k n + m n
numbers, so the aim is to fetch each number once and use it many times. The result is cut into
tiles, ROWS rows high and VECTORS vector registers wide, small enough to be summed in registers: for
each p, the micro-kernel multiplies ROWS elements of column p of the left matrix by a tile's width
of row p of the right one. The right matrix is packed into panels of that width first, as many as
the cache holds, so that the micro-kernel reads them from front to back.

Why not NumPy's BLAS: its thread pool and numba's delay each other at every step, and for matrices
as small as a layer's it is seldom faster. Besides, here each element is summed in the same order
for any number of threads, so results are bit-identical.

Source: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34 (2008).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from minigrad.arrays.hooks import launch
from minigrad.kernels.cpu.loops import as_input, in_c_order
from minigrad.kernels.cpu.vectors import ROWS, TILE_BYTES, VECTOR_BYTES, copy_row, multiply_tile, transpose_square

Array = Any

BLOCK = 1024  # rows of a panel at most: k is cut into blocks
CACHE = 1 << 17  # numbers in a group of panels: half a megabyte of float32 stays in the second-level cache
PARALLEL_FROM = 1 << 20  # multiplications from which threads share a product; waking a thread costs about as much


def product(a: Array, b: Array, bias: Array | None = None) -> Array:
    """a @ b + bias, C-contiguous: (m, k), (k, n) and (n,) of one dtype, float32 or float64, to (m, n)."""
    (m, k), n = a.shape, b.shape[1]
    c = np.empty((m, n), a.dtype, like=a)
    row = np.zeros(n, a.dtype, like=a) if bias is None else in_c_order(bias)
    matrices = *_flat(a), *_flat(b), row, c.reshape(-1), m, n, k
    if m * n * k < PARALLEL_FROM:
        launch(_whole, *matrices)
    else:
        launch(_product, *matrices, numba.get_num_threads())
    return c


def _flat(x: Array) -> tuple[Array, bool]:
    """The matrix as flat memory, and whether it is stored by columns.

    A non-contiguous matrix is copied.
    """
    x = as_input(x)
    if x.flags.c_contiguous:
        return x.reshape(-1), False
    if x.flags.f_contiguous:
        return x.T.reshape(-1), True
    return x.ravel(), False


@numba.njit(cache=True)
def _columns_of_grid(threads: int, across: int, down: int, a_by_columns: bool) -> int:
    """How many columns of rectangles to cut a result of across x down tiles into, one rectangle a thread.

    The best cut minimises the work of the largest rectangle. Packing a panel, or a strip of a
    matrix stored by columns, counts about as much as a tile.
    """
    best, least = 1, -1
    for columns in range(1, threads + 1):
        if threads % columns == 0:
            rows = threads // columns
            wide, high = (across + columns - 1) // columns, (down + rows - 1) // rows
            work = wide * high + wide + (high if a_by_columns else 0)
            if least < 0 or work < least:
                best, least = columns, work
    return best


@numba.njit(cache=True)
def _whole(a: Array, a_by_columns: bool, b: Array, b_by_columns: bool, bias: Array, c: Array, m: int, n: int, k: int) -> None:
    """`_product` on one thread."""
    width = TILE_BYTES // a.itemsize
    across, down = (n + width - 1) // width, (m + ROWS - 1) // ROWS
    _rectangle(a, a_by_columns, b, b_by_columns, bias, c, m, n, k, 0, down, 0, across)


@numba.njit(parallel=True, cache=True)
def _product(
    a: Array, a_by_columns: bool, b: Array, b_by_columns: bool, bias: Array, c: Array, m: int, n: int, k: int, threads: int
) -> None:
    """c = bias + a b on the flat memory of the matrices; `bias` is added to each row.

    Each thread has one rectangle.
    """
    width = TILE_BYTES // a.itemsize
    across, down = (n + width - 1) // width, (m + ROWS - 1) // ROWS
    columns = _columns_of_grid(threads, across, down, a_by_columns)
    rows = threads // columns
    for t in numba.prange(threads):
        column, row = t % columns, t // columns
        left, last = across * column // columns, across * (column + 1) // columns
        top, bottom = down * row // rows, down * (row + 1) // rows
        _rectangle(a, a_by_columns, b, b_by_columns, bias, c, m, n, k, top, bottom, left, last)


@numba.njit(cache=True)
def _rectangle(
    a: Array, a_by_columns: bool, b: Array, b_by_columns: bool, bias: Array, c: Array, m: int, n: int, k: int,
    top: int, bottom: int, left: int, right: int,
) -> None:  # fmt: skip
    """One thread's work: rows top .. bottom - 1 and columns left .. right - 1 of tiles of c."""
    width = TILE_BYTES // a.itemsize
    a_col = ROWS if a_by_columns else 1
    a_rows, c_rows = np.arange(ROWS) * (1 if a_by_columns else k), np.arange(ROWS) * n
    first_row, one_run = np.zeros(ROWS, np.int64), np.zeros(2, np.int64)
    strips = np.empty((bottom - top if a_by_columns else 0, k, ROWS), a.dtype)
    if a_by_columns:
        pack_rows(a, m, top, strips)
    group = max(1, min(right - left, CACHE // (max(1, min(BLOCK, k)) * width)))  # panels that are packed together
    buffer = np.empty(group * min(BLOCK, k) * width, a.dtype)
    for p in range(0, max(k, 1), BLOCK):
        depth = min(BLOCK, k - p)
        for first in range(left, right, group):
            count = min(group, right - first)
            panels = buffer[: count * depth * width].reshape(count, depth, width)
            if b_by_columns:
                for j in range(count):
                    start = (first + j) * width
                    pack_columns(b[start * k + p :], k, min(width, n - start), panels[j])
            else:
                pack_rows(b[p * n :], n, first, panels)
            for i in range(top, bottom):
                for j in range(count):
                    column = (first + j) * width
                    place = c[i * ROWS * n + column :].ctypes
                    init, init_rows = (bias[column:].ctypes, first_row) if p == 0 else (place, c_rows)
                    strip = strips[i - top, p:].reshape(-1) if a_by_columns else a[i * ROWS * k + p :]
                    multiply_tile(
                        a, strip.ctypes, a_rows.ctypes, a_col, panels[j].ctypes, width, one_run.ctypes, 1, depth,
                        init, init_rows.ctypes, place, c_rows.ctypes, m - i * ROWS, n - column,
                    )  # fmt: skip


@numba.njit(cache=True)
def pack_rows(x: Array, n: int, first: int, panels: Array) -> None:
    """Pack x, stored by rows of n, into panels (count, k, width), from panel number `first` on.

    Zeros fill the last panel beyond column n.
    """
    count, k, width = panels.shape
    to = panels.reshape(-1)
    for p in range(k):
        for panel in range(count):
            start = (first + panel) * width
            copy_row(x, x.ctypes, p * n + start, min(width, n - start), to.ctypes, (panel * k + p) * width, width)


@numba.njit(cache=True)
def pack_columns(x: Array, k: int, columns: int, panel: Array) -> None:
    """Pack columns of x, stored k apart, into one panel (depth, width); zeros beyond the last column."""
    depth, width = panel.shape
    lanes = VECTOR_BYTES // x.itemsize
    squares, whole = depth // lanes * lanes, columns // lanes * lanes
    for j in range(0, whole, lanes):
        for p in range(0, squares, lanes):
            transpose_square(x, x[j * k + p :].ctypes, k, panel[p, j:].ctypes, width)
    for p in range(depth):
        for j in range(0 if p >= squares else whole, width):
            panel[p, j] = x[j * k + p] if j < columns else 0
