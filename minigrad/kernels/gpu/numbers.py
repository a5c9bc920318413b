"""Numbers from the host in the GPU's memory.

A CUDA graph repeats its launches with the arguments they had at capture. A number that may differ at each replay, such as the
position in the random stream or the learning rate, therefore cannot be an argument. It is stored in GPU memory, and the host
writes the new value there before each replay: `from_host`. A number that stays, such as an address, is written once:
`constant`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import cupy
import numpy as np

from minigrad.arrays import hooks
from minigrad.kernels.gpu.launch import kernel

Array = Any

_WORDS = 64  # words of 8 bytes in one launch; numbers.cu has the same number
_PARAMETER = np.dtype([("at", np.uint64, (_WORDS,))])


def from_host(read: Callable[[], Sequence[float]], count: int, dtype: Any) -> Array:
    """The `count` numbers that `read` returns, in a dtype of 8 bytes: of this step or, in a captured step, of each replay."""
    if (capture := hooks.current()).on_gpu:
        return capture.from_host(read, count, dtype)
    out = cupy.empty(count, dtype)
    send(np.array(read(), dtype), out)
    return out


def send(numbers: np.ndarray, out: Array) -> None:
    """Write numbers of 8 bytes to GPU memory, in order with the launches before and after, without waiting."""
    words, memory = numbers.view(np.uint64), out.view(np.uint64)
    for first in range(0, len(words), _WORDS):
        part = words[first : first + _WORDS]
        parameter = np.zeros(1, _PARAMETER)  # CuPy passes arrays of size one by value
        parameter["at"][0, : len(part)] = part
        kernel("numbers", "store")((1,), (_WORDS,), (memory[first:], np.int32(len(part)), parameter))


def receive(x: Array) -> Callable[[], np.ndarray]:
    """Start copying an array to the host. The returned function waits for the copy, but for no later launch, and returns it."""
    memory = cupy.cuda.alloc_pinned_memory(x.nbytes)  # pinned: the GPU copies to it without the host's help
    out = np.frombuffer(memory, x.dtype, x.size).reshape(x.shape)
    x.get(out=out, blocking=False)
    copied = cupy.cuda.get_current_stream().record()

    def arrive() -> np.ndarray:
        copied.synchronize()
        return out

    return arrive


def constant(numbers: tuple[int, ...]) -> Array:
    """int64 numbers, sizes or addresses; sent once and cached."""
    if (capture := hooks.current()).on_gpu:  # the graph must own them: a cache may drop them, and copies cannot be captured
        return capture.constant(numbers)
    return _cached(numbers)


@functools.lru_cache(maxsize=64)
def _cached(numbers: tuple[int, ...]) -> Array:
    return cupy.asarray(np.array(numbers, np.int64))
