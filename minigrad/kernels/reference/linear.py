"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def matmul(a: Array, b: Array) -> Array:
    """a @ b for matrices or stacks of matrices, whose leading axes are broadcast."""
    return np.einsum("...ik,...kj->...ij", a, b)


def linear(x: Array, weight: Array, bias: Array | None) -> Array:
    """x weight^T + bias: (n, in), (out, in) and (out,) to (n, out)."""
    y = np.einsum("ni,oi->no", x, weight)
    return y if bias is None else y + bias
