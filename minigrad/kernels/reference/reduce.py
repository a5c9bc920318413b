"""Sums."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def sum_axes(x: Array, axes: tuple[int, ...]) -> Array:
    """The sum over some axes, all different and 0 or more. Its error grows no faster than the logarithm of their size."""
    if x.dtype.kind != "f":
        return x.sum(axis=axes)
    return x.sum(axis=axes, dtype=np.float64).astype(x.dtype)
