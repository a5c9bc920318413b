"""Matrix products on the GPU: cuBLAS."""

from __future__ import annotations

import math
from typing import Any

import cupy
import numpy as np

from minigrad.kernels.gpu.cublas import gemm
from minigrad.kernels.gpu.launch import C_TYPES, of_one_type

Array = Any


def matmul(a: Array, b: Array) -> Array:
    if a.dtype not in C_TYPES or b.dtype not in C_TYPES:
        return cupy.matmul(a, b)
    a, b = of_one_type([a, b])
    stacks = np.broadcast_shapes(a.shape[:-2], b.shape[:-2]) if a.ndim > 2 or b.ndim > 2 else ()
    out = cupy.empty((*stacks, a.shape[-2], b.shape[-1]), a.dtype)
    if stacks:
        repeated = [cupy.broadcast_to(x, (*stacks, *x.shape[-2:])) for x in (a, b)]
        gemm(*(x.reshape(math.prod(stacks), *x.shape[-2:]) for x in (*repeated, out)))
    else:
        gemm(a, b, out)
    return out


def linear(x: Array, weight: Array, bias: Array | None) -> Array:
    y = matmul(x, weight.T)
    if bias is not None:
        y = y.astype(np.result_type(y.dtype, bias.dtype), copy=False)
        y += bias
    return y
