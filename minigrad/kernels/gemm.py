"""Matrix products on the CPU, nearly as fast as the processor can multiply.

A product of (m, k) and (k, n) matrices takes m n k multiplications but has only m k + k n + m n numbers, so the art is to fetch
each number once and use it often. The result is cut into tiles of ROWS x WIDTH elements, small enough to be summed up in
the processor's vector registers: for each p, ROWS elements of column p of the left matrix meet WIDTH elements of row p of
the right one. Before that the right matrix is copied into panels WIDTH wide, so that a tile reads it from front to back.

Why not the BLAS inside NumPy: its threads and numba's get in each other's way at every step, and on matrices as small as a
layer's it is slower (see benchmarks). And here every element is summed in the same order whatever the number of
threads, so results are the same to the bit.

Source: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34 (2008).
"""

from __future__ import annotations

import threading
from typing import Any

import numba
import numpy as np

from minigrad.kernels.vectors import ROWS, VECTOR_BYTES, VECTORS, copy_row, multiply_tile, transpose_square

Array = Any

POOL = threading.Lock()  # some of numba's thread pools end the process if two Python threads enter at once
BLOCK = 1024  # of k: a panel of the right matrix this long stays in the second-level cache


def product(a: Array, b: Array, bias: Array | None = None) -> Array:
    """a @ b, plus `bias` in each row: (m, k), (k, n), (n,) of one dtype, float32 or float64, to a new C-contiguous (m, n)."""
    a, b = _dense(a), _dense(b)
    (m, k), n = a.shape, b.shape[1]
    c = np.empty((m, n), a.dtype)
    row = np.zeros(n, a.dtype) if bias is None else np.ascontiguousarray(bias)
    with POOL:
        threads = numba.get_num_threads()
        flat_a, flat_b = a.ravel("K"), b.ravel("K")
        _product(flat_a, not a.flags.c_contiguous, flat_b, not b.flags.c_contiguous, row, c.reshape(-1), m, n, k, threads)
    return c


def _dense(x: Array) -> Array:
    """The matrix itself if it is contiguous, by rows or by columns, else a copy."""
    return x if x.flags.c_contiguous or x.flags.f_contiguous else np.ascontiguousarray(x)


@numba.njit(parallel=True, cache=True)
def _product(
    a: Array, a_by_columns: bool, b: Array, b_by_columns: bool, bias: Array, c: Array, m: int, n: int, k: int, threads: int
) -> None:
    """c = bias + a b on the flat memory of the matrices; `bias` is a row, added to each of c's."""
    width = VECTORS * (VECTOR_BYTES // a.itemsize)
    across, down = (n + width - 1) // width, (m + ROWS - 1) // ROWS
    right = np.empty((across, k, width), a.dtype)
    left = np.empty((down if a_by_columns else 0, k, ROWS), a.dtype)
    for t in numba.prange(threads):
        first, last = k * t // threads, k * (t + 1) // threads
        if a_by_columns:
            _pack_rows(a, m, first, last, left)
        if b_by_columns:
            for panel in range(across * t // threads, across * (t + 1) // threads):
                _pack_columns(b[panel * width * k :], k, min(width, n - panel * width), right[panel])
        else:
            _pack_rows(b, n, first, last, right)
    for t in numba.prange(threads):
        for p in range(0, max(k, 1), BLOCK):
            for tile in range(across * down * t // threads, across * down * (t + 1) // threads):
                i, j = tile % down, tile // down
                place = c[i * ROWS * n + j * width :].ctypes
                init, init_row = (bias[j * width :].ctypes, 0) if p == 0 else (place, n)
                strip = left[i, p:].reshape(-1) if a_by_columns else a[i * ROWS * k + p :]
                a_row, a_col = (1, ROWS) if a_by_columns else (k, 1)
                multiply_tile(
                    a, strip.ctypes, a_row, a_col, right[j, p:].ctypes, width, min(BLOCK, k - p),
                    init, init_row, place, n, m - i * ROWS, n - j * width,
                )  # fmt: skip


@numba.njit(cache=True)
def _pack_rows(x: Array, n: int, first: int, last: int, panels: Array) -> None:
    """Copy rows first .. last - 1 of x, stored by rows of n, into panels of some columns each; zeros beyond the last column."""
    count, k, width = panels.shape
    to = panels.reshape(-1)
    for p in range(first, last):
        for panel in range(count):
            columns = min(width, n - panel * width)
            copy_row(x, x[p * n + panel * width :].ctypes, columns, to[(panel * k + p) * width :].ctypes, width)


@numba.njit(cache=True)
def _pack_columns(x: Array, k: int, columns: int, panel: Array) -> None:
    """Copy columns of x, stored by columns of k, into one panel; zeros beyond the last one."""
    width = panel.shape[1]
    lanes = VECTOR_BYTES // x.itemsize
    squares, whole = k // lanes * lanes, columns // lanes * lanes
    for j in range(0, whole, lanes):
        for p in range(0, squares, lanes):
            transpose_square(x, x[j * k + p :].ctypes, k, panel[p, j:].ctypes, width)
    for p in range(k):
        for j in range(0 if p >= squares else whole, width):
            panel[p, j] = x[j * k + p] if j < columns else 0
