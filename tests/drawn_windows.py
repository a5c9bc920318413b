"""Hypothesis strategies for pooling windows, and random images for their tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minigrad.kernels.geometry import Geometry, Size

# Values with many ties, and those that compare in special ways: -0, infinities and NaN.
TIES = np.array([0.0, 1.0, 1.0, 2.0, -0.0, -1.0, np.inf, -np.inf, np.nan])


@st.composite
def windows(draw: st.DrawFn) -> Geometry:
    """Windows that overlap, touch or leave gaps, on images that they need not cover."""
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    padding = draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2))
    stride = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    image = [draw(st.integers(max(1, k - 2 * p), 9)) for k, p in zip(kernel, padding, strict=True)]
    return Geometry(Size(*image), kernel, stride, padding)


def images(n: int, channels: int, size: Size, dtype: Any, seed: int = 0, ties: bool = False) -> np.ndarray:
    """Random images in channels-last memory: normally distributed, or with ties and special values."""
    rng = np.random.default_rng(seed)
    shape = n, *size, channels
    values = rng.choice(TIES, shape) if ties else rng.standard_normal(shape)
    return values.astype(dtype).transpose(0, 3, 1, 2)
