"""The machine in words, for the head of every table."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine(backend: str = "numpy") -> str:
    """The processor, as well as this system tells it, and with the backend "cupy" the GPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    gpu = f"{gpu_name()}, " if backend == "cupy" else ""
    return f"{gpu}{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def gpu_name() -> str:
    from minigrad.arrays.backend import cupy_module

    return cupy_module().cuda.runtime.getDeviceProperties(0)["name"].decode()
