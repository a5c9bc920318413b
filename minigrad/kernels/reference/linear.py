"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def matmul(a: Array, b: Array) -> Array:
    """a @ b for stacks of matrices."""
    return np.einsum("...ik,...kj->...ij", a, b)


def linear(x: Array, weight: Array, bias: Array | None) -> Array:
    """x W^T, plus the bias in each row: (n, in), (out, in), (out,) to (n, out)."""
    y = np.einsum("ni,oi->no", x, weight)
    return y if bias is None else y + bias
