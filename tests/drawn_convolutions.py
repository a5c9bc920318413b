"""Hypothesis strategies for the geometry of convolutions, and random arrays for their tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minigrad.kernels.geometry import Geometry, Size


@st.composite
def geometries(draw: st.DrawFn, largest_kernel: int = 5, most_free: int = 6, leave_some_out: bool = False) -> Geometry:
    """Geometries with odd and even kernels that fit into their images, with up to `most_free` spare pixels along each axis.

    All settings may differ between the two axes. With `leave_some_out`, there may be fewer output positions than would fit.
    """

    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    kernel, stride, padding, dilation = pair(1, largest_kernel), pair(1, 3), pair(0, 2), pair(1, 2)
    least = [dilation[i] * (kernel[i] - 1) + 1 - 2 * padding[i] for i in (0, 1)]
    height, width = (max(1, size) + free for size, free in zip(least, pair(0, most_free), strict=True))
    all_places = Geometry(Size(height, width), kernel, stride, padding, dilation)
    if not leave_some_out:
        return all_places
    positions = Size(*(draw(st.integers(max(1, n - 2), n)) for n in all_places.positions))
    return replace(all_places, positions=positions)


def normal(seed: int, *shape: int, dtype: Any = np.float64) -> np.ndarray:
    """Random images or weights (n, channels, height, width) in channels-last memory; other shapes in C order."""
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    if len(shape) == 4:
        return np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return values
