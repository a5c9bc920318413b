"""Compile the CPU kernels ahead of time: `python -m minigrad.compile`.

numba compiles a kernel at its first call and caches it on disk, which adds seconds to the first training step after an
installation. This command calls every kernel in float32 and float64, in one process per core, so that a later program finds
all of them compiled.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from minigrad.arrays.backend import kernels_named
from minigrad.arrays.layout import channels_last
from minigrad.kernels.cpu import parallel
from minigrad.kernels.geometry import Geometry, Size
from minigrad.kernels.interface import AdamNumbers, Kernels, RMSpropNumbers, SGDNumbers

LARGE = 1 << 16  # elements: more than any threshold from which threads share a loop


def products(kernels: Kernels, dtype: str) -> None:
    for n in (64, 128):  # on one thread, and on all; smaller products are left to NumPy
        a = np.ones((n, n), dtype)
        kernels.matmul(a, a)
        kernels.linear(a, a, a[0])
    row, columns = np.ones((1, 128), dtype), np.ones((128, 64), dtype)
    kernels.matmul(row, columns)
    kernels.linear(columns.T.copy(), row, None)
    kernels.matmul(row.T, columns[:1])


def loops(kernels: Kernels, dtype: str) -> None:
    for size in (8, LARGE):
        x = np.ones(size, dtype)
        kernels.leaky_relu(x, 0.2)
        kernels.leaky_relu_backward(x, x, 0.2)
        kernels.erf(x)
        kernels.tanh_backward(x, x)
        p, g, first, second = ([np.ones(size, dtype)] for _ in range(4))
        bad = np.zeros(1, np.int32)
        kernels.sgd(p, g, first, lambda: SGDNumbers(0.1, 0.9), bad)
        kernels.adam(p, g, first, second, lambda: AdamNumbers(0.1, 0.5, 0.9, 1e-8, 1), bad)
        kernels.rmsprop(p, g, first, lambda: RMSpropNumbers(0.1, 0.9, 1e-8), bad)
        rows = np.ones((1, size // 8, 8), dtype)
        kernels.sum_axes(np.ones((max(size // 8, 512), 8), dtype), (0,))
        weight = np.ones(8, dtype)
        _, mean, var = kernels.normalize(rows, weight, weight, 1e-5)
        sums = kernels.normalize_sums(rows, rows, mean, var, 1e-5)
        kernels.normalize_backward(rows, rows, weight, mean, var, 1e-5, *sums)
        kernels.affine(rows, weight, weight)
    kernels.philox(lambda: (0, 0), 8)
    squares = np.ones((4, 128, 128), dtype)
    for run in (parallel.add(squares, squares, squares), parallel.copy(squares.transpose(0, 2, 1), squares.copy())):
        assert run is not None
        run()


def convolutions(kernels: Kernels, dtype: str) -> None:
    """With many channels, where implicit GEMM runs, and with few, where im2col does."""
    geometry = Geometry(Size(8, 8), (4, 4), (2, 2), (1, 1))
    for channels, out in ((1, 1), (1, 64), (64, 64)):
        shapes = (2, channels, 8, 8), (out, channels, 4, 4), (2, out, 4, 4)
        x, w, g = (channels_last(np.ones(shape, dtype)) for shape in shapes)
        kernels.conv2d(x, w, None, geometry)
        kernels.conv_transpose2d(g, w, None, geometry)
        kernels.conv2d_weight(x, g, geometry)
    windows = Geometry(Size(8, 8), (2, 2), (2, 2))
    kernels.max_pool_pick(x, x, windows)
    kernels.max_pool_place(g, x, windows)


PARTS: dict[str, Callable[[Kernels, str], None]] = {f.__name__: f for f in (convolutions, loops, products)}


def compile_part(name: str, dtype: str) -> str:
    """Call the kernels of one part; returns what was compiled and how long it took."""
    start = time.perf_counter()
    PARTS[name](kernels_named("numpy"), dtype)
    return f"{name} in {dtype}: {time.perf_counter() - start:.1f} s"


def main(argv: Sequence[str] | None = None) -> None:
    argparse.ArgumentParser("python -m minigrad.compile", description=(__doc__ or "").partition(":")[0] + ".").parse_args(argv)
    spawn = multiprocessing.get_context("spawn")  # Python warns of forks beside threads
    ignored = signal.SIGINT, signal.SIG_IGN  # Ctrl-C reaches all processes; this one decides
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), spawn, initializer=signal.signal, initargs=ignored) as pool:
        try:
            for part in [pool.submit(compile_part, *each) for each in itertools.product(PARTS, ("float32", "float64"))]:
                print(part.result(), flush=True)
        except KeyboardInterrupt:
            for process in multiprocessing.active_children():
                process.terminate()
            print("interrupted; what has been compiled stays", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
