"""Launching CUDA kernels: the .cu files of this folder, compiled by CuPy on first use.

A raw kernel takes addresses and numbers. It does not know shapes and strides, and it reads an
integer argument of the wrong size as garbage. So callers bring the arrays to one layout before a
launch, and pass NumPy scalars of the exact types.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Sequence
from typing import Any

import cupy
import numpy as np

from minigrad.arrays.layout import axes_in_memory

Array = Any

C_TYPES: dict[Any, str] = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
THREADS = 256  # in a block
MOST_BLOCKS = 4096  # more than any GPU runs at once; the kernels loop over the rest

TEMPLATES = {
    "conv": ["im2col", "col2im"],
    "elementwise": ["erf_of", "leaky_relu", "leaky_relu_backward", "tanh_backward"],
    "norm": ["block_moments", "moments", "normalize", "block_sums", "sums", "normalize_backward", "affine"],
    "pool": ["max_pool_pick", "max_pool_place"],
}
KERNELS = {  # file: its kernels; a template counts once for each dtype
    **{file: [f"{name}<{c_type}>" for name in names for c_type in C_TYPES.values()] for file, names in TEMPLATES.items()},
    "numbers": ["store"],
    "optimizer": [f"update<{rule}<{c_type}>>" for rule in ("SGD", "Adam", "RMSprop") for c_type in C_TYPES.values()],
    "random": ["philox"],
}
OPTIONS = ("--std=c++17",)


def source(file: str) -> str:
    """The text of <file>.cu."""
    return importlib.resources.files("minigrad.kernels").joinpath("gpu", f"{file}.cu").read_text(encoding="utf-8")


@functools.cache
def module(file: str) -> Any:
    return cupy.RawModule(code=source(file), options=OPTIONS, name_expressions=KERNELS[file])


@functools.cache
def kernel(file: str, name: str) -> Any:
    """A compiled kernel. The first call for a file compiles it; CuPy caches the result on disk."""
    return module(file).get_function(name)


def blocks(work: int, per_block: int) -> int:
    """The number of blocks to launch."""
    return min(-(-work // per_block), MOST_BLOCKS)


def of_one_type(arrays: Sequence[Array]) -> list[Array]:
    """The arrays as float32 if all are, else as float64.

    TypeError if one is not on the GPU (CuPy would copy it silently).
    """
    if not all(isinstance(a, cupy.ndarray) for a in arrays):
        raise TypeError(f"the arrays must all be on the GPU, and are {', '.join(str(type(a)) for a in arrays)}")
    dtype = np.float32 if all(a.dtype == np.float32 for a in arrays) else np.float64
    return [a.astype(dtype, copy=False) for a in arrays]


def in_one_layout(arrays: Sequence[Array]) -> list[Array]:
    """The arrays broadcast to one shape, in one dense layout, so that offset i in memory is the same element of each.

    The layout is that of the first dense array, C-contiguous or with permuted axes such as
    channels-last, so that often nothing is copied.
    """
    if len({a.shape for a in arrays}) > 1:
        arrays = cupy.broadcast_arrays(*arrays)
    orders = [axes_in_memory(a) for a in arrays]
    dense = [a for a, order in zip(arrays, orders, strict=True) if order is not None]
    pattern = dense[0] if dense else cupy.ascontiguousarray(arrays[0])
    wanted = axes_in_memory(pattern)
    return [a if order == wanted else copy_like(pattern, a) for a, order in zip(arrays, orders, strict=True)]


def copy_like(pattern: Array, values: Array) -> Array:
    out = cupy.empty_like(pattern)
    out[...] = values
    return out
