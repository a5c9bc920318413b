"""minigrad, PyTorch and JAX as the measurements use them: where arrays go, when work is done, how much
memory it took.

A library is imported when its class is instantiated, in a process that does not need the other one.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import isa
from benchmarks.settings import Settings


class Library:
    """The interface; used directly, it is NumPy."""

    gpu = False

    def __init__(self) -> None:
        self.about = f"NumPy {np.__version__}, OpenBLAS for {isa.openblas_core()}"  # versions and settings

    def array(self, a: np.ndarray) -> Any:
        """`a` as this library's kernels take it: on the device, with the same memory order."""
        return a

    def default_device(self) -> contextlib.AbstractContextManager[Any]:
        """Context in which this library makes new arrays on the device."""
        return contextlib.nullcontext()

    def wait(self) -> None:
        """Return when the GPU has finished all work in its queue; only then is a clock reading meaningful."""

    def gpu_mib(self) -> float:
        """Peak size of the library's pool of GPU memory in MiB; both pools keep what is freed."""
        raise NotImplementedError

    def memory(self) -> dict[str, float]:
        """Peak memory so far in MiB: of this process, and on the GPU."""
        return {"resident": resident_mib()} | ({"gpu": self.gpu_mib()} if self.gpu else {})

    def seconds(self, action: Callable[[], Any], count: int, clock: Callable[[], float] = time.perf_counter) -> float:
        """Mean seconds of an action over `count` calls."""
        self.wait()
        start = clock()
        for _ in range(count):
            action()
        self.wait()
        return (clock() - start) / count


class Minigrad(Library):
    def __init__(self, settings: Settings) -> None:
        import minigrad as mg
        from minigrad.arrays import backend

        self.gpu = settings.backend == "cupy"
        self.backend = settings.backend
        self.kernels = backend.kernels_named(backend.resolve(settings.backend))
        self._move = backend.move
        backend.allow_tf32(settings.tf32)
        self.about = f"minigrad {mg.__version__}, NumPy {np.__version__}, {settings.threads} threads, {isa.numba_isa()}"
        if self.gpu:
            self.cupy = backend.cupy_module()
            version = self.cupy.cuda.runtime.runtimeGetVersion()
            self.about += f", CuPy {self.cupy.__version__}, CUDA {version}, TF32 {'on' if settings.tf32 else 'off'}"

    def array(self, a: np.ndarray) -> Any:
        return self._move(a, self.backend)

    def wait(self) -> None:
        if self.gpu:
            self.cupy.cuda.get_current_stream().synchronize()

    def gpu_mib(self) -> float:
        return self.cupy.get_default_memory_pool().total_bytes() / (1 << 20)


class PyTorch(Library):
    """
    Parameters
    ----------
    variant : a key of `settings.PYTORCH`; all but "eager" let cuDNN search for its fastest algorithms
    """

    def __init__(self, settings: Settings, variant: str = "tuned") -> None:
        import torch

        self.torch, self.device = torch, settings.device
        self.gpu = settings.device == "cuda"
        torch.set_num_threads(settings.threads)
        torch.backends.cuda.matmul.allow_tf32 = settings.tf32
        torch.backends.cudnn.allow_tf32 = settings.tf32  # on by default
        torch.backends.cudnn.benchmark = variant != "eager"
        self.about = f"PyTorch {torch.__version__}, {variant}, {torch.get_num_threads()} threads, "
        self.about += torch.backends.cpu.get_cpu_capability()
        if self.gpu:
            flags = f"TF32 {'on' if settings.tf32 else 'off'}, cudnn.benchmark {'on' if variant != 'eager' else 'off'}"
            self.about += f", CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, {flags}"

    def array(self, a: np.ndarray) -> Any:
        return self.torch.from_numpy(a).to(self.device)

    def default_device(self) -> contextlib.AbstractContextManager[Any]:
        return self.torch.device(self.device)

    def wait(self) -> None:
        if self.gpu:
            self.torch.cuda.synchronize()

    def gpu_mib(self) -> float:
        return self.torch.cuda.max_memory_reserved() / (1 << 20)


class JAX(Library):
    """On the CPU. Steps return Python numbers, so there is nothing to wait for."""

    def __init__(self, settings: Settings) -> None:
        os.environ["JAX_PLATFORMS"] = "cpu"
        import jax

        self.about = f"JAX {jax.__version__}, {settings.threads} threads, {os.environ.get('XLA_FLAGS', 'no XLA_FLAGS')}"

    def array(self, a: np.ndarray) -> Any:
        import jax.numpy as jnp

        return jnp.asarray(a)


def resident_mib() -> float:
    """Peak resident memory of this process in MiB; 0 where the system does not report it (Windows)."""
    with contextlib.suppress(OSError, StopIteration):  # Linux, whose getrusage starts from the peak of the parent process
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / (1 << 10)
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
