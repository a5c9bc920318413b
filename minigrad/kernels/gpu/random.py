"""Random bits on the GPU."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from minigrad.kernels.gpu.launch import THREADS, blocks, kernel

Array = Any


def philox(seed: int, counter: int, count: int) -> Array:
    out = cupy.empty(count, np.uint32)
    if count:
        grid = blocks(-(-count // 4), THREADS)
        kernel("random", "philox")((grid,), (THREADS,), (out, np.int64(count), np.uint64(seed), np.uint64(counter)))
    return out
