"""Random bits on the GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy
import numpy as np

from minigrad.kernels.gpu.launch import THREADS, blocks, kernel
from minigrad.kernels.gpu.numbers import from_host

Array = Any


def philox(read: Callable[[], tuple[int, int]], count: int) -> Array:
    position = from_host(read, 2, np.uint64)
    out = cupy.empty(count, np.uint32)
    if count:
        grid = blocks(-(-count // 4), THREADS)
        kernel("random", "philox")((grid,), (THREADS,), (out, np.int64(count), position))
    return out
