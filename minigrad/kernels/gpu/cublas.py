"""Matrix products by cuBLAS, called through ctypes.

CuPy has wrappers for cuBLAS, but they refuse to run while a stream captures a CUDA graph. cuBLAS itself can be captured, if it
was given its stream and its workspace before. So here each stream has a handle and a workspace of its own, made when it first
multiplies: whoever captures a step runs it once before on the same stream.

cuBLAS takes matrices by columns. What is stored by rows is to it the transposed matrix, so for C = A B it is asked for
C^T = B^T A^T, and nothing is copied.

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
    """What cuBLAS has to know of a dtype."""

    scalar: Any
    storage: int  # cudaDataType
    compute: int  # cublasComputeType_t


_TYPES = {np.dtype(np.float32): _Type(c_float, 0, 68), np.dtype(np.float64): _Type(c_double, 1, 70)}
_TF32 = 77  # cublasComputeType_t
_AS_STORED, _TRANSPOSED = 0, 1  # cublasOperation_t
_ALGORITHM = -1  # the default: cuBLAS chooses

_START = [c_void_p, *[c_int] * 5, c_void_p]  # handle, two operations, three sizes, alpha
_MATRIX = [c_void_p, c_int, c_int]  # address, type, leading dimension; in a stack also the step to the next matrix
_STACK = [*_MATRIX, c_longlong]
_PARAMETERS = {
    "cublasCreate_v2": [POINTER(c_void_p)],
    "cublasSetStream_v2": [c_void_p, c_void_p],
    "cublasSetWorkspace_v2": [c_void_p, c_void_p, c_size_t],
    "cublasGemmEx": [*_START, *_MATRIX, *_MATRIX, c_void_p, *_MATRIX, c_int, c_int],
    "cublasGemmStridedBatchedEx": [*_START, *_STACK, *_STACK, c_void_p, *_STACK, c_int, c_int, c_int],
}


class CublasError(RuntimeError):
    """cuBLAS refused; the message has its function and its name of the error."""


def gemm(a: Array, b: Array, out: Array, add: bool = False) -> None:
    """out = a b, or out += a b: matrices (m, k), (k, n) and (m, n), or stacks of as many each, (count, m, k) and so on.

    All three are float32, or all float64; `out` is C-contiguous. Transposed matrices, those cut from a larger one, and one that
    is repeated along the stack are read as they lie; any others are copied first.
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
    """A matrix as cuBLAS reads it, or a stack of them."""

    array: Array
    operation: int
    leading: int  # distance in memory between two rows, or, if it is stored by columns, between two columns


def _operand(x: Array) -> _Operand:
    """x as it lies, if by rows or by columns, else a copy. Along an axis of length 1, steps in memory mean nothing."""
    rows, columns = x.shape[-2:]
    down, across = (step // x.itemsize for step in x.strides[-2:])
    if (columns == 1 or across == 1) and (rows == 1 or down >= columns):
        return _Operand(x, _AS_STORED, down if rows > 1 else columns)
    if (rows == 1 or down == 1) and across >= rows:
        return _Operand(x, _TRANSPOSED, across)
    return _Operand(cupy.ascontiguousarray(x), _AS_STORED, columns)


@functools.cache
def _handle(device: int, stream: int) -> tuple[c_void_p, Array]:
    """A cuBLAS handle that works on this stream, and its workspace, which lives as long as the handle: as the process.

    Streams run at the same time, and a captured graph remembers the workspace's address: so no two streams share one.
    """
    handle, workspace = c_void_p(), cupy.empty(_WORKSPACE_BYTES, np.uint8)
    _call("cublasCreate_v2", byref(handle))
    _call("cublasSetStream_v2", handle, stream)  # takes the handle's workspace away, so that comes after it
    _call("cublasSetWorkspace_v2", handle, workspace.data.ptr, workspace.nbytes)
    return handle, workspace


def _call(name: str, *arguments: Any) -> None:
    """Call a function of cuBLAS; CublasError if it returns an error."""
    status = getattr(_library(), name)(*arguments)
    if status:
        raise CublasError(f"{name}: {_library().cublasGetStatusName(status).decode()} (error {status} of cuBLAS)")


@functools.cache
def _library() -> Any:
    """The cuBLAS that CuPy has loaded, or would load."""
    from cuda.pathfinder import load_nvidia_dynamic_lib

    library = ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)
    for name, parameters in _PARAMETERS.items():
        getattr(library, name).argtypes = parameters
    library.cublasGetStatusName.restype = c_char_p
    return library
