"""Numbers from the host that kernels read in the GPU's memory.

A captured graph repeats its launches with the arguments that they had when it was recorded. What changes from step to step, the
place in the random stream or the learning rate, must therefore not be an argument, but lie in memory, where the host can put
another number before each replay: `from_host`. What stays the same, such as tables of addresses, is put there once: `constant`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import cupy
import numpy as np

from minigrad import graph
from minigrad.kernels.gpu.launch import kernel

Array = Any

_WORDS = 64  # that one launch carries; numbers.cu has the same number
_PARAMETER = np.dtype([("at", np.uint64, (_WORDS,))])


def from_host(read: Callable[[], Sequence[float]], count: int, dtype: Any) -> Array:
    """The `count` numbers that `read` gives, of a type of 8 bytes: those of now or, of a recorded step, of each replay."""
    if recording := graph.now:
        return recording.from_host(read, count, dtype)
    out = cupy.empty(count, dtype)
    send(np.array(read(), dtype), out)
    return out


def send(numbers: np.ndarray, out: Array) -> None:
    """Put numbers of 8 bytes into memory on the GPU when all launched before is done, without waiting for it."""
    words, memory = numbers.view(np.uint64), out.view(np.uint64)
    for first in range(0, len(words), _WORDS):
        part = words[first : first + _WORDS]
        parameter = np.zeros(1, _PARAMETER)  # CuPy passes arrays of size one by value
        parameter["at"][0, : len(part)] = part
        kernel("numbers", "store")((1,), (_WORDS,), (memory[first:], np.int32(len(part)), parameter))


def receive(x: Array) -> Callable[[], np.ndarray]:
    """Begin to copy an array to the host. What is returned gives it, and waits for it, but for nothing launched from now on."""
    memory = cupy.cuda.alloc_pinned_memory(x.nbytes)  # memory of the host that the GPU can write to by itself
    out = np.frombuffer(memory, x.dtype, x.size).reshape(x.shape)
    x.get(out=out, blocking=False)
    copied = cupy.cuda.get_current_stream().record()

    def arrive() -> np.ndarray:
        copied.synchronize()
        return out

    return arrive


def constant(numbers: tuple[int, ...]) -> Array:
    """int64 numbers, sizes or addresses; not sent again as long as they are the same."""
    if recording := graph.now:  # the graph must own them: a cache may drop them, and copies cannot be recorded
        return recording.constant(numbers)
    return _cached(numbers)


@functools.lru_cache(maxsize=64)
def _cached(numbers: tuple[int, ...]) -> Array:
    return cupy.asarray(np.array(numbers, np.int64))
