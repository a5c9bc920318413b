"""Products with a vector on the CPU, such as those of a critic's last layer, which has one output.

They read each number of the matrix once, so that memory limits them, and tiles gain nothing: with one column, 31 of a
tile's 32 would be empty. Each number of the result is summed in an order that does not depend on the threads.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from minigrad.kernels.cpu.gemm import memory_of
from minigrad.kernels.cpu.loops import PARALLEL_FROM, Loop, elements, in_c_order
from minigrad.kernels.cpu.threads import get_num_threads
from minigrad.kernels.cpu.units import inner, options

Array = Any

COLUMNS = 512  # numbers of a result that are summed together, row by row of the matrix, while they are in the first-level cache


def vector_product(a: Array, b: Array, bias: Array | None = None) -> Array:
    """a @ b + bias, C-contiguous, where m, k or n is 1: (m, k), (k, n) and (n,) of one dtype, float32 or float64, to (m, n)."""
    (m, k), n = a.shape, b.shape[1]
    c = np.empty((m, n), a.dtype, like=a)
    if k == 1:
        _share(_outer_product, c, m, in_c_order(a[:, 0]), in_c_order(b[0]), c)
    else:
        c[...] = 0
        matrix, vector = (a, in_c_order(b[:, 0])) if n == 1 else (b.T, in_c_order(a[0]))  # c is matrix @ vector
        memory, by_columns = memory_of(matrix)
        if by_columns:
            _share(_sums_of_rows, matrix, -(-len(matrix) // COLUMNS), memory, vector, c)
        else:
            _share(_sums, matrix, len(matrix), memory, vector, c)
    if bias is not None:
        c += bias
    return c


def _share(loop: Loop, largest: Array, count: int, x: Array, v: Array, c: Array) -> None:
    loop.share(count, 1 if largest.size < PARALLEL_FROM else get_num_threads(), x, v, c.reshape(-1))


@Loop
def _outer_product(first: int, last: int, x: Array, v: Array, c: Array) -> None:
    """c[i, j] = x[i] v[j]"""
    n = len(v)
    for i in range(first, last):
        row, factor = c[i * n : (i + 1) * n], x[i]
        for j in elements(0, n):
            row[j] = factor * v[j]


@Loop
def _sums(first: int, last: int, x: Array, v: Array, c: Array) -> None:
    """c[i] += sum over p of x[i, p] v[p]"""
    k = len(v)
    for i in range(first, last):
        c[i] += _dot(x[i * k : (i + 1) * k], v)


@Loop
def _sums_of_rows(first: int, last: int, x: Array, v: Array, c: Array) -> None:
    """c[i] += sum over p of x[p, i] v[p], for COLUMNS of them at a time"""
    n = len(c)
    for left in range(first * COLUMNS, min(last * COLUMNS, n), COLUMNS):
        right = min(left + COLUMNS, n)
        for p in range(len(v)):
            _add_multiple(c[left:right], v[p], x[p * n + left : p * n + right])


@numba.njit(fastmath={"reassoc", "contract"}, no_cpython_wrapper=True, **options)  # LLVM may sum several parts at a time
def _dot(x: Array, y: Array) -> Any:
    total = x.dtype.type(0)
    for p in elements(0, len(x)):
        total += x[p] * y[p]
    return total


@inner
def _add_multiple(x: Array, s: Any, y: Array) -> None:
    """x += s y"""
    for j in elements(0, len(x)):
        x[j] += s * y[j]
