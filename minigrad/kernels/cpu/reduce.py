"""Sums on the CPU."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from minigrad.arrays.hooks import launch
from minigrad.kernels.cpu.loops import PARALLEL_FROM, REAL, in_c_order

Array = Any

ROWS = 256  # of a block; threads sum blocks, and the blocks' sums are added in order, for any number of threads


def sum_rows(x: Array) -> Array:
    if x.dtype not in REAL or x.size < PARALLEL_FROM:
        return x.sum(axis=0)
    sums = np.zeros((-(-len(x) // ROWS), x.shape[1]), x.dtype, like=x)
    launch(_sum_blocks, in_c_order(x), sums)
    return sums.sum(axis=0)


@numba.njit(cache=True, parallel=True)
def _sum_blocks(x: Array, sums: Array) -> None:
    for block in numba.prange(len(sums)):
        for row in range(block * ROWS, min((block + 1) * ROWS, len(x))):
            for column in range(x.shape[1]):
                sums[block, column] += x[row, column]
