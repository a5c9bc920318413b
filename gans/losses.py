"""What the losses of several trainers share."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import minigrad as mg


@functools.lru_cache(maxsize=8)
def real_then_fake(n: int, backend: str, dtype: Any) -> mg.Tensor:
    """The labels of n real images followed by n generated ones: n ones, then n zeros, (2n, 1)."""
    return mg.Tensor(np.repeat([[1.0], [0.0]], n, axis=0).astype(dtype)).to(backend)
