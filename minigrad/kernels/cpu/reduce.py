"""Sums on the CPU, with rounding errors that grow like the logarithm of the number of terms.

NumPy sums pairwise along contiguous memory only; along any other axis it adds one term after the
other, and a float32 sum stops growing once a term is less than half a unit in its last place. So an
array is summed in memory order: its innermost axes by NumPy, the others in blocks, whose sums are
summed in the same way.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from minigrad.arrays.layout import axes_in_memory
from minigrad.kernels.cpu.loops import REAL, Loop, as_input

Array = Any

ROWS = 256  # of a block; threads sum blocks, and the blocks' sums are added in order, for any number of threads


def sum_axes(x: Array, axes: tuple[int, ...]) -> Array:
    if x.dtype not in REAL or not x.size or math.prod(x.shape[axis] for axis in axes) <= ROWS:
        return x.sum(axis=axes)
    order = axes_in_memory(x)
    if order is None:
        x = x.copy(order="K")
        order = axes_in_memory(x)
        assert order is not None
    order = tuple(axis for axis in order if x.shape[axis] != 1)
    runs = [  # of neighbours in memory that are all summed, or all kept
        (is_summed, math.prod(x.shape[axis] for axis in run))
        for is_summed, run in itertools.groupby(order, key=lambda axis: axis in axes)
    ]
    left = x.transpose(*[axis for axis in range(x.ndim) if axis not in order], *order).reshape([n for _, n in runs])
    for i, (is_summed, n) in reversed(list(enumerate(runs))):
        if is_summed:
            outer, inner = left.shape[:i], left.shape[i + 1 :]
            left = _sum_rows(left.reshape(math.prod(outer), n, math.prod(inner))).reshape((*outer, *inner))
    return _in_order(left, x, axes, order)


def _in_order(sums: Array, x: Array, axes: tuple[int, ...], order: tuple[int, ...]) -> Array:
    """The kept axes, which `sums` has in memory order without those of length 1, in the order of x."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    in_memory = [axis for axis in kept if x.shape[axis] == 1] + [axis for axis in order if axis in kept]
    return sums.reshape([x.shape[axis] for axis in in_memory]).transpose([in_memory.index(axis) for axis in kept])


def _sum_rows(x: Array) -> Array:
    """(outer, rows, inner) to (outer, inner)."""
    outer, rows, inner = x.shape
    if inner == 1:
        return x.reshape(outer, rows).sum(axis=1)
    if rows <= ROWS:
        return x.sum(axis=1)
    sums = np.zeros((outer, -(-rows // ROWS), inner), x.dtype, like=x)
    _sum_blocks([as_input(x), sums], count=sums.shape[0] * sums.shape[1])
    return _sum_rows(sums)


@Loop
def _sum_blocks(first: int, last: int, x: Array, sums: Array) -> None:
    """sums (outer, blocks, inner) += the sum of each block of rows of x (outer, rows, inner)."""
    blocks = sums.shape[1]
    for i in range(first, last):
        n, block = i // blocks, i % blocks
        for row in range(block * ROWS, min((block + 1) * ROWS, x.shape[1])):
            for column in range(x.shape[2]):
                sums[n, block, column] += x[n, row, column]
