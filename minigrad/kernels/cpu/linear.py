"""Matrix products on the CPU: large ones by `gemm`, the others by NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.kernels.cpu.gemm import product
from minigrad.kernels.cpu.loops import REAL

Array = Any

PRODUCT_FROM = 1 << 13  # multiplications from which NumPy's BLAS would wake its own threads


def matmul(a: Array, b: Array) -> Array:
    if _is_large(a, b):
        return product(a, b)
    return np.matmul(a, b)


def linear(x: Array, weight: Array, bias: Array | None) -> Array:
    if _is_large(x, weight.T) and (bias is None or bias.dtype == x.dtype):
        return product(x, weight.T, bias)
    y = np.matmul(x, weight.T)
    return y if bias is None else y + bias


def _is_large(a: Array, b: Array) -> bool:
    """Whether `gemm` computes the product: of two matrices of one dtype, and not tiny."""
    return a.ndim == b.ndim == 2 and a.dtype == b.dtype and a.dtype in REAL and a.size * b.shape[1] >= PRODUCT_FROM
