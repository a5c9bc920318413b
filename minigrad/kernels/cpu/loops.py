"""Loops over flat memory: what the elementwise kernels and the optimizers run on."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from minigrad.arrays import hooks
from minigrad.arrays.hooks import launch
from minigrad.arrays.layout import by_pixel, in_one_order
from minigrad.kernels.cpu.threads import get_num_threads, share
from minigrad.kernels.cpu.units import compiled, unit

Array = Any

REAL = (np.dtype(np.float32), np.dtype(np.float64))
PARALLEL_FROM = 1 << 15  # elements from which threads share a loop
SHARES_PER_THREAD = 4  # at least
SHARE = 1 << 14  # elements in a share, at most: a body that reads an array twice finds it in the cache


class Loop:
    """A loop that threads share. Its body gets `first`, `last`, the arrays and the numbers, and loops over that range."""

    def __init__(self, body: Any) -> None:
        task = unit(body)
        run = types.FunctionType(_run.__code__, {"__name__": __name__, "share": share, "task": task}, body.__name__)
        run.__qualname__ = f"{body.__qualname__}_{body.__module__}"  # the name of its file in numba's cache
        self.run = compiled(run)

    def __call__(self, arrays: Sequence[Array], numbers: Sequence[float] = (), count: int | None = None) -> None:
        """Run the loop `count` times, by default for each element of the first array.

        The numbers are cast to the arrays' dtype, so that float32 stays float32.
        """
        real = arrays[0].dtype.type
        exact = [real(number) for number in numbers]
        size, count = arrays[0].size, len(arrays[0]) if count is None else count
        threads = 1 if size < PARALLEL_FROM else get_num_threads()
        launch(self.run, threads, max(1, min(count, max(SHARES_PER_THREAD * threads, size // SHARE))), count, *arrays, *exact)

    def share(self, count: int, threads: int, *args: Any) -> None:
        """Run the loop `count` times on so many threads."""
        launch(self.run, threads, SHARES_PER_THREAD * threads, count, *args)


@numba.njit(cache=True, inline="always")
def elements(first: int, last: int) -> range:
    """range(first, last) as unsigned integers: numba then handles no negative indices, and LLVM can vectorise the loop."""
    return range(np.uint64(first), np.uint64(last))


task: Any  # `_run` is copied for each loop, with the loop's own unit under this name


def _run(threads: int, shares: int, count: int, *args: Any) -> None:
    share(threads, shares, count, task, args)  # noqa: F821


def in_c_order(x: Array) -> Array:
    """An input in C order: the array itself if it is C-contiguous, else a copy.

    (`np.ascontiguousarray` would lose a captured array's type.)
    """
    return as_input(x) if x.flags.c_contiguous else x.copy()


def pixels(x: Array) -> Array:
    """Images or convolution weights as an input, (n, height, width, channels) in C order."""
    return as_input(by_pixel(x))


def as_input(x: Array) -> Array:
    """The same memory without a read-only flag, for kernels that only read it: numba would compile them again for the flag."""
    return x if x.flags.writeable or hooks.capturing() else np.asarray(_Writable(x))


class _Writable:
    def __init__(self, x: Array) -> None:
        self.array = x  # keeps the memory alive
        interface = x.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


def flat(arrays: Sequence[Array]) -> list[Array]:
    """Arrays of one shape as flat memory in the first one's order: views, or copies of those in another order."""
    first = arrays[0]
    return [(a if a.strides == first.strides or in_one_order(first, a) else _like(first, a)).ravel("K") for a in arrays]


def _like(pattern: Array, values: Array) -> Array:
    copy = np.empty_like(pattern)
    copy[...] = values
    return copy
