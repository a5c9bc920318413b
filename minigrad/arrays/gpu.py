"""Whether CuPy can be used on this machine, and if not, why.

CuPy is imported only when the GPU is asked for, so a program that runs on the CPU never pays for it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from typing import Any


class BackendError(RuntimeError):
    """A backend cannot be used; the message is one sentence that says why and what to do."""


def cupy_module() -> Any:
    """The imported `cupy` module. BackendError with the reason if there is no usable GPU."""
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
