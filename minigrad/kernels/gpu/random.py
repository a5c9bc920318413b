"""Random bits on the GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy
import numpy as np

from minigrad.kernels.gpu.launch import THREADS, blocks, kernel
from minigrad.kernels.gpu.numbers import from_host
from minigrad.recorder import value

Array = Any


def philox(seed: int | Callable[[], int], counter: int | Callable[[], int], count: int) -> Array:
    """As `reference.philox`; while a step is recorded, seed and counter may be functions, asked before each replay."""
    place = from_host(lambda: (value(seed), value(counter)), 2, np.uint64)
    out = cupy.empty(count, np.uint32)
    if count:
        grid = blocks(-(-count // 4), THREADS)
        kernel("random", "philox")((grid,), (THREADS,), (out, np.int64(count), place))
    return out
