"""The machine in words, for the head of every table.

`python -m benchmarks.machine` describes it and its GPU in full.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from gans.command import running

PACKAGES = (
    "numpy", "numba", "cupy-cuda13x", "cupy-cuda12x", "torch", "triton", "safetensors", "pillow", "tqdm", "matplotlib",
    "pytest", "hypothesis",
)  # fmt: skip


def machine(backend: str = "numpy") -> str:
    """The processor, as well as this system tells it, and with the backend "cupy" the GPU."""
    gpu = f"{gpu_name()}, " if backend == "cupy" else ""
    return f"{gpu}{processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def gpu_name() -> str:
    from minigrad.arrays.backend import cupy_module

    return cupy_module().cuda.runtime.getDeviceProperties(0)["name"].decode()


def gpu_facts() -> list[str]:
    """What CuPy says of the GPU."""
    from minigrad.arrays.backend import cupy_module

    cupy = cupy_module()
    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(0)
    capability = f"{properties['major']}.{properties['minor']}"
    memory = f"{properties['totalGlobalMem'] / (1 << 30):.1f} GiB"
    return [
        f"GPU: {gpu_name()}, compute capability {capability}, {properties['multiProcessorCount']} multiprocessors, {memory}",
        f"CUDA: runtime {runtime.runtimeGetVersion()}, driver supports {runtime.driverGetVersion()}",
    ]


def package_versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def driver_report() -> list[str]:
    """Name, driver and state of every GPU, from nvidia-smi."""
    if shutil.which("nvidia-smi") is None:
        return ["nvidia-smi: not found"]
    query = "name,driver_version,memory.total,clocks.max.sm,power.limit,mig.mode.current,utilization.gpu"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    return done.stdout.strip().splitlines()


@running("python -m benchmarks.machine")
def main() -> None:
    """Print the description. The exit status says whether minigrad can use the GPU."""
    print(machine(), platform.platform(), sep="\n")
    print(package_versions())
    print("\n".join(driver_report()), flush=True)
    from minigrad.arrays.backend import why_no_gpu

    if reason := why_no_gpu():
        sys.exit(reason)
    print("\n".join(gpu_facts()))


if __name__ == "__main__":
    main()
