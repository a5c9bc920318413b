"""Matrix products by cuBLAS, called through ctypes.

CuPy has wrappers for cuBLAS, but they refuse to run while a stream captures a CUDA graph. cuBLAS
itself can be captured if its stream and workspace were set before. So each stream has its own
handle and workspace, made at its first product: a step must run once on a stream before it is
captured there.

cuBLAS reads matrices by columns. To it, a matrix stored by rows is the transposed matrix, so
C = A B is computed as C^T = B^T A^T, and nothing is copied.

Source: NVIDIA, cuBLAS library documentation: cublasGemmEx, cublasGemmStridedBatchedEx, cublasSetWorkspace.
"""

from __future__ import annotations

import ctypes
import functools
from ctypes import POINTER, byref, c_char_p, c_double, c_float, c_int, c_longlong, c_size_t, c_void_p
from typing import Any, NamedTuple

import cupy
import numpy as np

from minigrad.arrays import backend

Array = Any

_WORKSPACE_BYTES = 32 << 20  # what NVIDIA recommends for its large GPUs


class _Type(NamedTuple):
    """How cuBLAS names a dtype."""

    scalar: Any
    storage: int  # cudaDataType
    compute: int  # cublasComputeType_t


_TYPES = {np.dtype(np.float32): _Type(c_float, 0, 68), np.dtype(np.float64): _Type(c_double, 1, 70)}
_TF32 = 77  # cublasComputeType_t
_AS_STORED, _TRANSPOSED = 0, 1  # cublasOperation_t
_ALGORITHM = -1  # the default: cuBLAS chooses

_START = [c_void_p, *[c_int] * 5, c_void_p]  # handle, two operations, three sizes, alpha
_MATRIX = [c_void_p, c_int, c_int]  # address, dtype, leading dimension; in a stack also the stride between matrices
_STACK = [*_MATRIX, c_longlong]
_PARAMETERS = {
    "cublasCreate_v2": [POINTER(c_void_p)],
    "cublasSetStream_v2": [c_void_p, c_void_p],
    "cublasSetWorkspace_v2": [c_void_p, c_void_p, c_size_t],
    "cublasGemmEx": [*_START, *_MATRIX, *_MATRIX, c_void_p, *_MATRIX, c_int, c_int],
    "cublasGemmStridedBatchedEx": [*_START, *_STACK, *_STACK, c_void_p, *_STACK, c_int, c_int, c_int],
}


class CublasError(RuntimeError):
    """cuBLAS returned an error; the message names the function and the error."""


def gemm(a: Array, b: Array, out: Array, add: bool = False) -> None:
    """out = a b, or out += a b: matrices (m, k), (k, n) and (m, n), or stacks (count, m, k) and so on, of equal counts.

    All three have one dtype, float32 or float64; `out` is C-contiguous. Transposed matrices, slices
    of larger ones, and a matrix broadcast along the stack are read in place; others are copied
    first.
    """
    (m, n), k = out.shape[-2:], a.shape[-1]
    if not out.size or not k:
        if not add:
            out.fill(0)
        return
    left, right, kind = _operand(a), _operand(b), _TYPES[out.dtype]
    matrices = [(x.array.data.ptr, kind.storage, x.leading) for x in (right, left, _Operand(out, _AS_STORED, n))]
    alpha, beta = byref(kind.scalar(1)), byref(kind.scalar(add))
    how = _TF32 if backend.tf32 and kind.scalar is c_float else kind.compute, _ALGORITHM
    handle, _ = _handle(cupy.cuda.runtime.getDevice(), cupy.cuda.get_current_stream().ptr)
    start = handle, right.operation, left.operation, n, m, k, alpha
    if out.ndim == 2:
        _call("cublasGemmEx", *start, *matrices[0], *matrices[1], beta, *matrices[2], *how)
    else:
        steps = [x.strides[0] // out.itemsize for x in (right.array, left.array, out)]
        stacks = [(*matrix, step) for matrix, step in zip(matrices, steps, strict=True)]
        _call("cublasGemmStridedBatchedEx", *start, *stacks[0], *stacks[1], beta, *stacks[2], len(out), *how)


class _Operand(NamedTuple):
    """A matrix, or a stack of them, as cuBLAS reads it."""

    array: Array
    operation: int
    leading: int  # leading dimension: elements from one row to the next, or, if stored by columns, from one column to the next


def _operand(x: Array) -> _Operand:
    """x itself if stored by rows or by columns, else a copy.

    The stride of an axis of length 1 does not matter.
    """
    rows, columns = x.shape[-2:]
    down, across = (step // x.itemsize for step in x.strides[-2:])
    if (columns == 1 or across == 1) and (rows == 1 or down >= columns):
        return _Operand(x, _AS_STORED, down if rows > 1 else columns)
    if (rows == 1 or down == 1) and across >= rows:
        return _Operand(x, _TRANSPOSED, across)
    return _Operand(cupy.ascontiguousarray(x), _AS_STORED, columns)


@functools.cache
def _handle(device: int, stream: int) -> tuple[c_void_p, Array]:
    """A cuBLAS handle for this stream, and its workspace. Both are kept until the process ends.

    Streams run concurrently, and a captured graph contains the workspace's address, so no two
    streams share one.
    """
    handle, workspace = c_void_p(), cupy.empty(_WORKSPACE_BYTES, np.uint8)
    _call("cublasCreate_v2", byref(handle))
    _call("cublasSetStream_v2", handle, stream)  # this resets the workspace, so set that afterwards
    _call("cublasSetWorkspace_v2", handle, workspace.data.ptr, workspace.nbytes)
    return handle, workspace


def _call(name: str, *arguments: Any) -> None:
    """Call a function of cuBLAS; CublasError if it fails."""
    status = getattr(_library(), name)(*arguments)
    if status:
        raise CublasError(f"{name}: {_library().cublasGetStatusName(status).decode()} (error {status} of cuBLAS)")


@functools.cache
def _library() -> Any:
    """The cuBLAS library that CuPy loads as well."""
    from cuda.pathfinder import load_nvidia_dynamic_lib

    library = ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)
    for name, parameters in _PARAMETERS.items():
        getattr(library, name).argtypes = parameters
    library.cublasGetStatusName.restype = c_char_p
    return library
