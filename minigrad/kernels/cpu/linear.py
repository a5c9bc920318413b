"""Matrix products on the CPU: large ones by `gemm`, or by `vector` if a matrix has one row or column; the others by NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.kernels.cpu.gemm import product
from minigrad.kernels.cpu.loops import REAL
from minigrad.kernels.cpu.vector import vector_product

Array = Any

PRODUCT_FROM = 1 << 13  # multiplications from which NumPy's BLAS would wake its own threads


def matmul(a: Array, b: Array) -> Array:
    if _is_large(a, b):
        return _product(a, b)
    return np.matmul(a, b)


def linear(x: Array, weight: Array, bias: Array | None) -> Array:
    if _is_large(x, weight.T) and (bias is None or bias.dtype == x.dtype):
        return _product(x, weight.T, bias)
    y = np.matmul(x, weight.T)
    return y if bias is None else y + bias


def _product(a: Array, b: Array, bias: Array | None = None) -> Array:
    return vector_product(a, b, bias) if 1 in (*a.shape, b.shape[1]) else product(a, b, bias)


def _is_large(a: Array, b: Array) -> bool:
    """Whether the kernels here compute the product: of two matrices of one dtype, and not tiny."""
    return a.ndim == b.ndim == 2 and a.dtype == b.dtype and a.dtype in REAL and a.size * b.shape[1] >= PRODUCT_FROM
