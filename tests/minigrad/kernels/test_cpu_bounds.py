"""No kernel reads or writes beyond its arrays: they end where memory does, and a process that goes on is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

AT_THE_END_OF_MEMORY = """
import ctypes
import mmap
import numpy as np
from minigrad.kernels import cpu
from minigrad.kernels.cpu import gemm
from minigrad.kernels.geometry import Geometry, Size

libc = ctypes.CDLL(None)
libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int

def at_the_end(x):
    \"\"\"A copy of x, in C order, before a page that can neither be read nor written.\"\"\"
    pages = -(-x.nbytes // mmap.PAGESIZE)
    memory = np.frombuffer(mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE), np.uint8)
    assert libc.mprotect(memory.ctypes.data + pages * mmap.PAGESIZE, mmap.PAGESIZE, 0) == 0
    end = pages * mmap.PAGESIZE
    copy = memory[end - x.nbytes : end].view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy

if BEYOND:
    wide = at_the_end(np.ones(4, np.float32))
    print(np.lib.stride_tricks.as_strided(wide, (5,)).sum())

for dtype in (np.float32, np.float64):
    def ones(*shape):
        return at_the_end(np.ones(shape, dtype))

    for m, k, n in ((1, 1, 1), (13, 5, 33), (14, 70, 31), (40, 300, 65), (64, 64, 64)):
        for a in (ones(m, k), ones(k, m).T):
            for b in (ones(k, n), ones(n, k).T):
                assert (gemm.product(a, b) == k).all()
    cases = (1, 33, 5, 1, 0), (3, 40, 4, 2, 1), (32, 33, 3, 1, 0), (64, 64, 3, 2, 0), (33, 3, 3, 1, 1), (5, 7, 3, 2, 0)
    for channels, out, kernel, stride, padding in cases:
        geometry = Geometry(Size(9, 9), (kernel, kernel), (stride, stride), (padding, padding))
        x, w, g = (
            ones(*shape).transpose(0, 3, 1, 2)
            for shape in ((2, 9, 9, channels), (out, kernel, kernel, channels), (2, *geometry.positions, out))
        )
        cpu.conv2d(x, w, None, geometry)
        cpu.conv_transpose2d(g, w, None, geometry)
        cpu.conv2d_weight(x, g, geometry)
    for window in (2, 3):
        geometry = Geometry(Size(9, 9), (window, window), (2, 2))
        x, g = (ones(2, *size, 19).transpose(0, 3, 1, 2) for size in ((9, 9), geometry.positions))
        cpu.max_pool_pick(x, x, geometry)
        cpu.max_pool_place(g, x, geometry)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mprotect is called as on Linux")
@pytest.mark.parametrize("beyond", [False, True])
def test_kernels_stay_within_arrays_that_end_where_memory_does(beyond: bool) -> None:
    """And a program that reads one number beyond such an array does not end well."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    program = f"BEYOND = {beyond}\n" + AT_THE_END_OF_MEMORY
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == (-signal.SIGSEGV if beyond else 0), done.stderr
