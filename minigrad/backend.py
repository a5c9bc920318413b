"""Where arrays live and what computes on them: NumPy with numba kernels, or CuPy with CUDA kernels.

Everything above this file is written once. Plain array code asks `array_module(x)` for the module of its argument,
the few heavy loops ask `kernels(x)`. The choice always follows the array's own type; there is no global switch.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from minigrad.kernels.interface import Kernels
from minigrad.layout import keeping_layout
from minigrad.recorded import Recorded
from minigrad.recorder import here

Array = Any
NAMES = ("numpy", "cupy")
NUMBER_KINDS = "biuf"  # NumPy's letters for what a tensor may hold: truth values, integers, floating-point numbers

tf32 = False  # see allow_tf32


class BackendError(RuntimeError):
    """A backend cannot be used; the message is one sentence that says why and what to do."""


def is_gpu(x: Any) -> bool:
    """Whether `x` is a CuPy array. (CuPy is never imported just to ask.)"""
    if type(x) is np.ndarray:  # nearly always so, and asked many times a step
        return False
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(x, cupy.ndarray)


def array_module(*arrays: Any) -> Any:
    """`numpy` or `cupy`, after the arrays' type; numbers do not count."""
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
def kernels_named(name: str) -> ModuleType:
    """The kernel module of a backend, imported on first use: numba takes a third of a second."""
    return importlib.import_module({"numpy": "minigrad.kernels.cpu", "cupy": "minigrad.kernels.gpu"}[name])


def kernels_are_compiled() -> bool:
    """Whether numba finds compiled CPU kernels on disk, so that the first step will not take some seconds longer."""
    return importlib.import_module("minigrad.kernels.cpu.cache").is_filled()


def as_array(x: Any) -> Array:
    """`x` as an array, without a copy where it is one. Python floats become float32, NumPy's scalars keep their dtype."""
    if is_gpu(x) or (type(x) is Recorded and here()):
        return x
    array = np.asarray(x)
    if array.dtype == np.float64 and not isinstance(x, np.ndarray | np.generic):
        array = array.astype(np.float32)
    if array.dtype.kind not in NUMBER_KINDS:
        raise TypeError(f"a tensor holds numbers, not {array.dtype} ({type(x).__name__})")
    return array


def to_numpy(x: Array) -> np.ndarray:
    return keeping_layout(lambda a: a.get(), x) if is_gpu(x) else x


def move(x: Array, name: str) -> Array:
    """The array on backend `name`: itself where it is there already, else a copy."""
    if name == "numpy":
        return to_numpy(x)
    if name == "cupy":
        return keeping_layout(cupy_module().asarray, x)
    raise BackendError(f"there is no backend {name!r}; choose {' or '.join(NAMES)}")


def allow_tf32(allow: bool) -> None:
    """Whether matrix products and convolutions of float32 on the GPU may round their inputs to TF32; off at first.

    TF32 keeps 10 of the 23 bits of a number's fraction: each input is off by up to 1/2048 of itself, and a product of random
    matrices has about three correct decimals, not six. Sums are still made in float32. GPUs from Ampere (2020) on multiply TF32
    many times faster, others ignore it; float64 stays as it is. A graph captured before a change is not changed by it.
    """
    global tf32
    tf32 = allow


def empty(shape: Sequence[int], like: Array) -> Array:
    """An array of another one's type, on its backend, of any values."""
    return array_module(like).empty(shape, like.dtype) if is_gpu(like) else np.empty(shape, like.dtype, like=like)


def zeros(shape: Sequence[int], like: Array) -> Array:
    """Zeros of an array's type, on its backend."""
    return array_module(like).zeros(shape, like.dtype) if is_gpu(like) else np.zeros(shape, like.dtype, like=like)


def zeros_like(x: Array) -> Array:
    return array_module(x).zeros_like(x)


def ones_like(x: Array) -> Array:
    return array_module(x).ones_like(x)


def may_share_memory(x: Array, y: Array) -> bool:
    """Whether two arrays may lie in the same memory, so that a change of one is a change of the other."""
    return bool(array_module(x).may_share_memory(x, y))


def all_finite(x: Array) -> bool:
    return x.dtype.kind != "f" or bool(array_module(x).isfinite(x).all())


def describe_bad_values(x: Array) -> str:
    """Counts of NaN and infinity, in words: "3 NaN and 1 infinite of 128 values"."""
    values = to_numpy(x)
    return f"{np.isnan(values).sum()} NaN and {np.isinf(values).sum()} infinite of {values.size} values"


def resolve(name: str) -> str:
    """The backend that "auto", "numpy" or "cupy" stands for on this machine. BackendError where it cannot be had."""
    if name == "auto":
        return "numpy" if why_no_gpu() else "cupy"
    if name == "cupy" and (reason := why_no_gpu()):
        raise BackendError(f"--backend cupy cannot run here: {reason}")
    if name not in NAMES:
        raise BackendError(f"there is no backend {name!r}; choose auto, numpy or cupy")
    return name


def cupy_module() -> Any:
    """CuPy, imported; BackendError with the reason where there is no usable GPU."""
    if reason := why_no_gpu():
        raise BackendError(reason)
    return sys.modules["cupy"]


@functools.cache
def why_no_gpu() -> str | None:
    """None if CuPy can run here, else one sentence: what is missing and what to install."""
    if "cupy" not in sys.modules and importlib.util.find_spec("cupy") is None:
        return (
            "CuPy is not installed: pip install 'cupy-cuda13x[ctk]>=14.2,<15' (NVIDIA driver 580 or newer) "
            "or pip install 'cupy-cuda12x[ctk]>=14.2,<15' (driver 525 or newer)."
        )
    try:
        cupy = importlib.import_module("cupy")
        runtime = cupy.cuda.runtime
        driver = runtime.driverGetVersion()
    except Exception as error:  # a broken installation fails in many ways, and each must end as a sentence
        return f"CuPy is installed but cannot be imported ({error})."
    if driver == 0:
        return "there is no NVIDIA driver on this machine (libcuda.so.1 was not found)."
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        return f"the NVIDIA driver (CUDA {driver}) cannot serve this CuPy (CUDA {runtime.runtimeGetVersion()}): {error}."
    if count == 0:
        return "the NVIDIA driver sees no GPU (is CUDA_VISIBLE_DEVICES set?)."
    return _missing_toolkit_parts(cupy)


def _missing_toolkit_parts(cupy: Any) -> str | None:
    """CuPy imports without NVRTC, the CUDA headers and cuBLAS, and fails at the first kernel: ask for them now."""
    missing = []
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception:  # ImportError, OSError or its own: all mean the same here
        missing.append("NVRTC")
    try:
        importlib.import_module("cupy_backends.cuda.libs.cublas")
    except ImportError:
        missing.append("cuBLAS")
    if missing:
        return f"CuPy is installed without {' and '.join(missing)}: pip install 'cupy-cuda13x[ctk]' or 'cupy-cuda12x[ctk]'."
    return None
