"""Random bits on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.arrays.hooks import empty, from_host, launch
from minigrad.kernels.cpu.units import compiled

Array = Any


def philox(read: Callable[[], tuple[int, int]], count: int) -> Array:
    out = empty((-(-count // 4), 4), np.uint32)
    launch(_philox, from_host(read, 2, np.uint64), out)
    return out.reshape(-1)[:count]


@compiled
def _philox(position: Array, out: Array) -> None:
    seed, counter = position
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    for block in range(len(out)):
        number = counter + np.uint64(block)
        w0, w1, w2, w3 = number & mask, number >> half, np.uint64(0), np.uint64(0)
        k0, k1 = seed & mask, seed >> half
        for _ in range(10):
            low, high = w0 * np.uint64(0xD2511F53), w2 * np.uint64(0xCD9E8D57)
            w0, w1 = (high >> half) ^ w1 ^ k0, high & mask
            w2, w3 = (low >> half) ^ w3 ^ k1, low & mask
            k0, k1 = (k0 + np.uint64(0x9E3779B9)) & mask, (k1 + np.uint64(0xBB67AE85)) & mask
        out[block, 0], out[block, 1], out[block, 2], out[block, 3] = w0, w1, w2, w3
