"""Where arrays live and what computes on them: NumPy with numba kernels, or CuPy with CUDA kernels.

Everything above this file is written once. Plain array code asks `array_module(x)` for the module of its
argument, the few heavy loops ask `kernels(x)`. The choice always follows the array's own type; there is no
global switch.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.arrays import hooks
from minigrad.arrays.gpu import BackendError, cupy_module, why_no_gpu
from minigrad.arrays.layout import keeping_layout

if TYPE_CHECKING:
    from minigrad.kernels.interface import Kernels

Array = Any
NAMES = ("numpy", "cupy")
NUMBER_KINDS = "biuf"  # NumPy's letters for booleans, integers, floating-point numbers
DTYPES = frozenset(map(np.dtype, "?bhilqBHILQfd"))  # of tensors; those of another byte order are not among them

tf32 = False  # see allow_tf32


def is_gpu(x: Any) -> bool:
    """Whether `x` is a CuPy array. (CuPy is never imported just to ask.)"""
    if type(x) is np.ndarray:  # the common case, asked many times a step
        return False
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(x, cupy.ndarray)


def array_module(*arrays: Any) -> Any:
    """`cupy` if any of the arguments is a CuPy array, else `numpy`."""
    for a in arrays:
        if is_gpu(a):
            return sys.modules["cupy"]
    return np


def name_of(x: Array) -> str:
    """The name of the backend on which the array lives."""
    return "cupy" if is_gpu(x) else "numpy"


def kernels(x: Array) -> Kernels:
    """The kernel module for the array's type: `minigrad.kernels.cpu` or `minigrad.kernels.gpu`."""
    return kernels_named(name_of(x))


@functools.cache
def kernels_named(name: str) -> Any:
    """The kernel module of a backend, imported on first use: importing numba takes a third of a second.

    With NUMBA_DISABLE_JIT=1, for debugging, the one for NumPy is `minigrad.kernels.reference`, which is slow.
    """
    if name not in NAMES:
        raise BackendError(_unknown(name))
    if name == "numpy" and not compiles():
        return importlib.import_module("minigrad.kernels.reference")
    return importlib.import_module({"numpy": "minigrad.kernels.cpu", "cupy": "minigrad.kernels.gpu"}[name])


def compiles() -> bool:
    """Whether numba compiles the CPU kernels: not with NUMBA_DISABLE_JIT=1."""
    return not importlib.import_module("numba").config.DISABLE_JIT


def from_host(read: Callable[[], Sequence[float]], count: int, dtype: Any, like: Array) -> Array:
    """The `count` numbers that `read` returns, as an array on the backend of `like`; in a captured step those of each replay.

    On the GPU the dtype must have 8 bytes.
    """
    return kernels(like).from_host(read, count, dtype)


def kernels_are_compiled() -> bool:
    """Whether no CPU kernel is left to compile; otherwise the first step takes some seconds longer."""
    return not compiles() or importlib.import_module("minigrad.kernels.cpu.cache").is_filled()


def as_array(x: Any) -> Array:
    """`x` as an array, without a copy if it is one already. Python floats become float32; NumPy scalars keep their dtype."""
    if is_gpu(x) or (isinstance(x, np.ndarray) and hooks.capturing()):  # a captured step traces a subclass of ndarray
        return x
    array = np.asarray(x)
    if array.dtype == np.float64 and not isinstance(x, np.ndarray | np.generic):
        array = array.astype(np.float32)
    if array.dtype.kind not in NUMBER_KINDS:
        raise TypeError(f"a tensor holds numbers, not {array.dtype} ({type(x).__name__})")
    return array


def as_data(x: Any) -> Array:
    """`x` as an array that a tensor can hold, of one of `DTYPES`: as `as_array`, and in the machine's byte order.

    TypeError for float16 and longdouble: sums in float16 are wrong from 2048 on, and no kernel takes longdouble.
    """
    array = as_array(x)
    if array.dtype in DTYPES:
        return array
    native = array.dtype.newbyteorder("=")
    if native in DTYPES:
        return array.astype(native)
    raise TypeError(f"a tensor holds float32 or float64 numbers, integers or booleans, not {native}: convert it with astype")


def to_numpy(x: Array) -> np.ndarray:
    """`x` as a NumPy array in the same memory layout: itself on the CPU, a copy from the GPU."""
    return keeping_layout(lambda a: a.get(), x) if is_gpu(x) else x


def move(x: Array, name: str) -> Array:
    """The array on backend `name`: itself if it is there already, else a copy."""
    if name == "numpy":
        return to_numpy(x)
    if name == "cupy":
        return keeping_layout(cupy_module().asarray, x)
    raise BackendError(_unknown(name))


def _unknown(name: object) -> str:
    return f'there is no backend {name!r}; write "cupy" for the GPU and "numpy" for the CPU'


def allow_tf32(allow: bool) -> None:
    """Whether float32 matrix products and convolutions on the GPU may round their inputs to TF32. Off by default.

    TF32 keeps 10 of the 23 bits of a number's fraction: each input is off by up to 1/2048 of itself, and a
    product of random matrices has about three correct decimals instead of six. Sums are still accumulated
    in float32. GPUs from Ampere (2020) on multiply TF32 many times faster; older ones ignore the setting,
    and float64 is not affected. A CUDA graph keeps the setting it was captured with.
    """
    global tf32
    tf32 = allow


def empty(shape: Sequence[int], like: Array) -> Array:
    """An uninitialised array with the dtype and on the backend of `like`."""
    return array_module(like).empty(shape, like.dtype) if is_gpu(like) else np.empty(shape, like.dtype, like=like)


def zeros(shape: Sequence[int], like: Array) -> Array:
    """Zeros with the dtype and on the backend of `like`."""
    return array_module(like).zeros(shape, like.dtype) if is_gpu(like) else np.zeros(shape, like.dtype, like=like)


def zeros_like(x: Array) -> Array:
    """Zeros with the shape, dtype and layout of `x`, on its backend."""
    return array_module(x).zeros_like(x)


def ones_like(x: Array) -> Array:
    """Ones with the shape, dtype and layout of `x`, on its backend."""
    return array_module(x).ones_like(x)


def may_share_memory(x: Array, y: Array) -> bool:
    """Whether two arrays may overlap in memory, so that changing one in place may change the other."""
    return bool(array_module(x).may_share_memory(x, y))


def all_finite(x: Array) -> bool:
    """Whether `x` holds no NaN and no infinity."""
    return x.dtype.kind != "f" or bool(array_module(x).isfinite(x).all())


def describe_bad_values(x: Array) -> str:
    """Counts of NaN and infinity, in words: "3 NaN and 1 infinite of 128 values"."""
    values = to_numpy(x)
    return f"{np.isnan(values).sum()} NaN and {np.isinf(values).sum()} infinite of {values.size} values"


def resolve(name: str) -> str:
    """The backend that "auto", "numpy" or "cupy" stands for on this machine. BackendError if it cannot be used here."""
    if name == "auto":
        return "numpy" if why_no_gpu() else "cupy"
    if name == "cupy" and (reason := why_no_gpu()):
        raise BackendError(f"--backend cupy cannot run here: {reason}")
    if name not in NAMES:
        raise BackendError(f"there is no backend {name!r}; choose auto, numpy or cupy")
    return name
