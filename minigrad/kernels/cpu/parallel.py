"""Two of NumPy's functions on several threads, for captured steps.

NumPy adds on one thread, and takes images from one order of the axes to another number by number. A
captured step knows its arrays beforehand: where they are large, it runs these loops instead. Their
results have the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minigrad.arrays.layout import axes_in_memory, in_one_order
from minigrad.kernels.cpu.loops import PARALLEL_FROM, REAL, Loop, elements, flat
from minigrad.kernels.cpu.vectors import VECTOR_BYTES, transpose_square

Array = Any
Run = Callable[[], None]


def add(x: Any, y: Any, out: Array) -> Run | None:
    """A call that computes out = x + y, if they are large and have one shape, dtype and order; else None: NumPy is to do it."""
    if not _is_large(out) or any(not isinstance(a, np.ndarray) or a.dtype != out.dtype or a.shape != out.shape for a in (x, y)):
        return None
    return partial(_add, flat((x, y, out))) if in_one_order(x, y) and in_one_order(x, out) else None


def copy(x: Array, out: Array) -> Run | None:
    """A call that copies x to out, if that means to transpose matrices in memory, such as (channels, pixels) of each image."""
    if not _is_large(out) or x.dtype != out.dtype or (order := axes_in_memory(out)) is None:
        return None
    x, out = x.transpose(order).squeeze(), out.transpose(order).squeeze()  # out is in C order
    there = axes_in_memory(x)
    if there is None or there == tuple(range(x.ndim)):
        return None
    same = next(i for i in range(x.ndim) if there[i] != i)  # leading axes that are in the same order
    middle = there[same]
    if there != (*range(same), *range(middle, x.ndim), *range(same, middle)):
        return None
    count, rows, columns = (math.prod(x.shape[i:j]) for i, j in ((0, same), (same, middle), (middle, x.ndim)))
    if min(rows, columns) < VECTOR_BYTES // x.itemsize:
        return None
    return partial(_transpose, [x.transpose(there).reshape(count, columns, rows), out.reshape(count, rows, columns)])


def _is_large(out: Array) -> bool:
    return out.dtype in REAL and out.size >= PARALLEL_FROM


@Loop
def _add(first: int, last: int, x: Array, y: Array, out: Array) -> None:
    for i in elements(first, last):
        out[i] = x[i] + y[i]


@Loop
def _transpose(first: int, last: int, x: Array, out: Array) -> None:
    """Each matrix of `out` is one of x transposed, in squares as wide as a vector; the last ones overlap those before."""
    rows, columns = out.shape[1:]
    lanes = VECTOR_BYTES // x.itemsize
    x_flat, out_flat = x.reshape(-1), out.reshape(-1)
    for n in range(first, last):
        matrix = n * rows * columns
        for square in range(0, columns, lanes):
            j = min(square, columns - lanes)
            for band in range(0, rows, lanes):
                i = min(band, rows - lanes)
                transpose_square(x_flat, matrix + j * rows + i, rows, out_flat, matrix + i * columns + j, columns)
