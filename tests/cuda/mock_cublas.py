"""mock_cublas.cpp, compiled, in the place where minigrad looks for the cuBLAS library."""

from __future__ import annotations

import ctypes
import types
from pathlib import Path

import cuda_emulator


def load_nvidia_dynamic_lib(name: str) -> types.SimpleNamespace:
    """As `cuda.pathfinder` has it, for this one library."""
    assert name == "cublas"
    source = Path(__file__).with_name("mock_cublas.cpp").read_text()
    return types.SimpleNamespace(abs_path=str(cuda_emulator.build(source, (), sanitize=False)))


def capture(on: bool) -> None:
    """Tell the library that a stream captures now, or no longer."""
    ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path).mock_capture(on)
