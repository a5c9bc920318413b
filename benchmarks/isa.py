"""Instruction sets: how a process is told to use no more than one of them, and what a library really uses."""

from __future__ import annotations

import ctypes
import importlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

NEEDS = {
    "native": (),
    "avx2": ("avx2", "fma"),
    "avx512": ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
}  # name -> what the processor must have
VARIABLES = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    },
    "avx512": {
        "ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "MKL_ENABLE_INSTRUCTIONS": "AVX512",
        "OPENBLAS_CORETYPE": "SkylakeX", "XLA_FLAGS": "--xla_cpu_max_isa=AVX512",
    },
}  # fmt: skip
COUNTED_AS_AVX512 = ("avx512", "avx10", "evex512", "amx")  # beginnings of the names of LLVM's features
CORE_NAMES = (
    "scipy_openblas_get_corename64_",
    "scipy_openblas_get_corename",
    "openblas_get_corename64_",
    "openblas_get_corename",
)


def host_features() -> dict[str, bool]:
    """What the processor and the system support, by LLVM's names."""
    import llvmlite.binding

    return dict(llvmlite.binding.get_host_cpu_features())


def why_not(isa: str, features: Mapping[str, bool]) -> str | None:
    """Why a machine with these features cannot be restricted to this instruction set; None if it can."""
    missing = [name for name in NEEDS[isa] if not features.get(name)]
    return f"--isa {isa}: this processor has no {', '.join(missing)}" if missing else None


def widest(features: Mapping[str, bool]) -> str:
    """The largest instruction set of a machine with these features."""
    return [name for name in NEEDS if why_not(name, features) is None][-1]


def variables(isa: str, features: Mapping[str, bool] | None = None) -> dict[str, str]:
    """Environment variables that restrict minigrad, NumPy, PyTorch and JAX, set before any of them starts."""
    if isa == "native":
        return {}
    chosen = dict(VARIABLES[isa])
    chosen["XLA_FLAGS"] = " ".join(filter(None, (os.environ.get("XLA_FLAGS"), chosen["XLA_FLAGS"])))
    if isa == "avx2":
        features = host_features() if features is None else features
        off = {name for name in features if name.startswith(COUNTED_AS_AVX512)}
        chosen["NUMBA_CPU_FEATURES"] = ",".join(("-" if name in off or not on else "+") + name for name, on in features.items())
        chosen["NPY_DISABLE_CPU_FEATURES"] = " ".join(_numpy_avx512())
    return chosen


def _numpy_avx512() -> list[str]:
    """NumPy's names of the AVX-512 features that its own loops would use here."""
    m = importlib.import_module("numpy._core._multiarray_umath")
    return [name for name in m.__cpu_dispatch__ if m.__cpu_features__[name] and name.startswith(("AVX512", "X86_V4"))]


def openblas_core() -> str:
    """The processor for which NumPy's OpenBLAS has chosen its kernels; "unknown" for another BLAS."""
    package = Path(np.__file__).parent
    for path in [p for folder in (package.with_name("numpy.libs"), package / ".dylibs") for p in folder.glob("*openblas*")]:
        library = ctypes.CDLL(str(path))  # which is loaded already
        for name in CORE_NAMES:
            if function := getattr(library, name, None):
                function.restype = ctypes.c_char_p
                return function().decode()
    return "unknown"


def numba_isa() -> str:
    """The widest vectors that numba compiles for."""
    from minigrad.kernels.cpu.vectors import VECTOR_BYTES

    return f"vectors of {8 * VECTOR_BYTES} bits"
