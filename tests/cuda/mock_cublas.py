"""mock_cublas.cpp, compiled, where minigrad looks for the cuBLAS library."""

from __future__ import annotations

import ctypes
import functools
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cuda_emulator


def load_nvidia_dynamic_lib(name: str) -> types.SimpleNamespace:
    """As in `cuda.pathfinder`, for this one library."""
    assert name == "cublas"
    source = Path(__file__).with_name("mock_cublas.cpp").read_text()
    return types.SimpleNamespace(abs_path=str(cuda_emulator.build(source, (), sanitize=False)))


def capture(stream: int, record: Callable[[Callable[[], Any]], None] | None) -> None:
    """Tell the library that this stream captures. `record` gets each launch; None ends the capture."""
    global _recorder
    library = ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)
    note = (lambda number: record(functools.partial(library.mock_run, number))) if record else 0
    _recorder = ctypes.CFUNCTYPE(None, ctypes.c_int)(note)
    library.mock_capture(ctypes.c_void_p(stream), _recorder)


_recorder: Any = None  # kept alive for the library
