"""Products with a vector on the CPU, such as those of a critic's last layer, which has one output.

They read each number of the matrix once, so that memory limits them, and tiles gain nothing: with one column, 31 of a
tile's 32 would be empty. Each number of the result is summed in an order that does not depend on the threads.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from minigrad.arrays.hooks import launch
from minigrad.kernels.cpu.loops import PARALLEL_FROM, SHARES_PER_THREAD, as_input, elements, in_c_order
from minigrad.kernels.cpu.threads import get_num_threads, share
from minigrad.kernels.cpu.units import compiled, inner, options, unit

Array = Any

COLUMNS = 512  # numbers of a result that are summed together, row by row of the matrix, while they are in the first-level cache


def vector_product(a: Array, b: Array, bias: Array | None = None) -> Array:
    """a @ b + bias, C-contiguous, where m, k or n is 1: (m, k), (k, n) and (n,) of one dtype, float32 or float64, to (m, n)."""
    (m, k), n = a.shape, b.shape[1]
    c = np.empty((m, n), a.dtype, like=a)
    if k == 1:
        _launch(_outer_product, c, in_c_order(a[:, 0]), in_c_order(b[0]), c.reshape(-1), m)
    else:
        c[...] = 0
        matrix, vector = (a, in_c_order(b[:, 0])) if n == 1 else (b.T, in_c_order(a[0]))  # c is matrix @ vector
        if matrix.flags.f_contiguous and len(matrix) > 1:
            _launch(_sums_of_rows, matrix, as_input(matrix.T.reshape(-1)), vector, c.reshape(-1), -(-len(matrix) // COLUMNS))
        else:
            _launch(_sums, matrix, in_c_order(matrix).reshape(-1), vector, c.reshape(-1), len(matrix))
    if bias is not None:
        c += bias
    return c


def _launch(kernel: Any, largest: Array, x: Array, v: Array, c: Array, count: int) -> None:
    threads = 1 if largest.size < PARALLEL_FROM else get_num_threads()
    launch(kernel, x, v, c, count, min(count, SHARES_PER_THREAD * threads), threads)


@compiled
def _outer_product(x: Array, v: Array, c: Array, count: int, shares: int, threads: int) -> None:
    """c[i, j] = x[i] v[j]"""
    share(threads, shares, count, _outer_rows, (x, v, c))


@unit
def _outer_rows(first: int, last: int, x: Array, v: Array, c: Array) -> None:
    n = len(v)
    for i in range(first, last):
        row, factor = c[i * n : (i + 1) * n], x[i]
        for j in elements(0, n):
            row[j] = factor * v[j]


@compiled
def _sums(x: Array, v: Array, c: Array, count: int, shares: int, threads: int) -> None:
    """c[i] += sum over p of x[i, p] v[p]"""
    share(threads, shares, count, _sum_rows, (x, v, c))


@unit
def _sum_rows(first: int, last: int, x: Array, v: Array, c: Array) -> None:
    k = len(v)
    for i in range(first, last):
        c[i] += _dot(x[i * k : (i + 1) * k], v)


@compiled
def _sums_of_rows(x: Array, v: Array, c: Array, count: int, shares: int, threads: int) -> None:
    """c[i] += sum over p of x[p, i] v[p]"""
    share(threads, shares, count, _sum_columns, (x, v, c))


@unit
def _sum_columns(first: int, last: int, x: Array, v: Array, c: Array) -> None:
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
