"""Sums on the GPU: CuPy's, accumulated in float64.

A thread of CuPy's kernel adds its share of the terms one after the other, in float32 with an error
that grows with their number. Sums wait for memory, so that float64 costs no time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def sum_axes(x: Array, axes: tuple[int, ...]) -> Array:
    if x.dtype != np.float32:
        return x.sum(axis=axes)
    return x.sum(axis=axes, dtype=np.float64).astype(x.dtype)
