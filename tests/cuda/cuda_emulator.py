"""Runs CUDA kernels on the CPU: g++ compiles the same .cu source with cuda_emulator.h, and NumPy arrays are the GPU's memory.

    module = Module(source, name_expressions=["leaky_relu<float>"])
    module.get_function("leaky_relu<float>")((blocks,), (threads,), (x, out, np.int64(n), np.float32(0.2)))

The interface is that of `cupy.RawModule`. Arguments must have the exact types of the kernel's
parameters, as CuPy passes them.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HEADER = Path(__file__).with_name("cuda_emulator.h")
ORDERS = {"forward": 0, "reverse": 1, "shuffled": 2}  # in which the threads of a block run, and the blocks of a grid
FLAGS = ["-std=c++17", "-O1", "-w", "-fPIC", "-shared", "-fno-strict-aliasing", "-fvisibility=hidden", "-fno-gnu-unique"]
SHARED_BYTES = 48 * 1024  # of shared memory that a block gets by default

_LAUNCHER = """
extern "C" __attribute__((visibility("default"))) const char* signature_{i}() {{
    static std::string text = emulator::signature({kernel});
    return text.c_str();
}}
extern "C" __attribute__((visibility("default"))) const char* launch_{i}(
    const unsigned* grid, const unsigned* block, size_t shared_bytes, unsigned order, void** arguments) {{
    return emulator::launch({kernel}, grid, block, shared_bytes, order, arguments);
}}
"""

_order = "forward"


class EmulatorError(RuntimeError):
    """The kernel does not compile, has wrong arguments, or its threads wait at different barriers."""


def why_not() -> str | None:
    """None if kernels can run on this machine, else the reason why not."""
    if not sys.platform.startswith("linux"):
        return "the emulator of CUDA kernels needs Linux"
    return None if shutil.which("g++") else "g++, which compiles CUDA kernels for the CPU, is not installed"


@contextlib.contextmanager
def thread_order(order: str) -> Iterator[None]:
    """Context in which the threads of every launch run in this order."""
    global _order
    before, _order = _order, order
    try:
        yield
    finally:
        _order = before


class Module:
    """Compiled CUDA source.

    `sanitize` adds AddressSanitizer, which must be loaded before Python starts.
    """

    def __init__(
        self, code: str, options: Sequence[str] = (), name_expressions: Sequence[str] | None = None, sanitize: bool = False
    ) -> None:
        names = list(name_expressions or re.findall(r'extern\s+"C"\s+__global__[^;{(]*?(\w+)\s*\(', code))
        library = ctypes.CDLL(str(build(_to_cpp(code, names), options, sanitize)))
        self.kernels = {name: Kernel(name, library, i) for i, name in enumerate(names)}

    def get_function(self, name: str) -> Kernel:
        return self.kernels[name]


class Kernel:
    """A kernel that can be launched: `kernel(grid, block, arguments, shared_mem=bytes)`."""

    def __init__(self, name: str, library: ctypes.CDLL, i: int) -> None:
        self.name = name
        self.max_dynamic_shared_size_bytes = SHARED_BYTES
        self._launch = getattr(library, f"launch_{i}")
        self._launch.restype = ctypes.c_char_p
        signature = getattr(library, f"signature_{i}")
        signature.restype = ctypes.c_char_p
        self.parameters: list[str] = signature().decode().split()

    def __call__(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_mem: int = 0) -> None:
        self._check_arguments(args)
        self._check_sizes(grid, block, shared_mem)
        values = [np.array(a.ctypes.data if isinstance(a, np.ndarray) else a) for a in args]  # kept alive until the end
        addresses = (ctypes.c_void_p * len(values))(*[value.ctypes.data for value in values])
        problem = self._launch(_three(grid), _three(block), ctypes.c_size_t(shared_mem), ORDERS[_order], addresses)
        if problem:
            raise EmulatorError(f"{self.name}: {problem.decode()}")

    def _check_arguments(self, args: Sequence[Any]) -> None:
        given = [_type_name(a) for a in args]
        fits = len(given) == len(self.parameters) and all(
            have == want or (want == "any*" and have.endswith("*")) for have, want in zip(given, self.parameters, strict=True)
        )
        if not fits:
            raise EmulatorError(f"{self.name} takes ({', '.join(self.parameters)}) and is given ({', '.join(given)})")

    def _check_sizes(self, grid: Sequence[int], block: Sequence[int], shared_mem: int) -> None:
        if min(*grid, *block) < 1 or math.prod(block) > 1024 or max((*grid, 1)[1:]) > 65535:
            raise EmulatorError(f"{self.name}: a GPU cannot launch grid {grid} of blocks {block}")
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise EmulatorError(f"{self.name}: {shared_mem} bytes of shared memory; set max_dynamic_shared_size_bytes")


def _type_name(argument: Any) -> str:
    """The type's name as in the header.

    Like CuPy, a Python int counts as 8 bytes, a Python float as a double.
    """
    dtype = np.asarray(argument).dtype
    return f"{dtype.kind}{dtype.itemsize}" + ("*" if isinstance(argument, np.ndarray) else "")


def _three(sizes: Sequence[int]) -> Any:
    return (ctypes.c_uint * 3)(*[*sizes, 1, 1][:3])


def _to_cpp(code: str, kernels: Sequence[str]) -> str:
    """The kernels' source as C++ for g++, plus a launcher function for each kernel."""
    dynamic_shared = r"extern\s+__shared__\s+(?:__align__\(\d+\)\s*)?([\w\s]+?)\s+(\w+)\s*\[\s*\]\s*;"
    code = re.sub(dynamic_shared, r"\1* \2 = reinterpret_cast<\1*>(emulator::dynamic_shared());", code)
    launchers = "".join(_LAUNCHER.format(i=i, kernel=name) for i, name in enumerate(kernels))
    return f'#include "{HEADER.name}"\n#line 1 "kernel.cu"\n{code}\n{launchers}'


def build(cpp: str, options: Sequence[str], sanitize: bool) -> Path:
    """The shared library, built unless it exists already: its name is a hash of everything it is built from."""
    if reason := why_not():
        raise EmulatorError(reason)
    flags = [*FLAGS, *(option for option in options if option.startswith("-D"))]
    if sanitize:
        flags += ["-g", "-fsanitize=address"]
    digest = hashlib.sha256("\0".join([cpp, HEADER.read_text(), *flags]).encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"minigrad-cuda-emulator-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{digest}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            source, new = Path(scratch, "kernel.cpp"), Path(scratch, "kernel.so")
            source.write_text(cpp)
            command = ["g++", *flags, f"-I{HEADER.parent}", "-o", str(new), str(source)]
            plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # without the sanitizer
            result = subprocess.run(command, env=plain, capture_output=True, text=True)
            if result.returncode:
                raise EmulatorError(f"g++ cannot compile this:\n{result.stderr[:4000]}")
            os.replace(new, library)
    return library
