"""Loops over flat memory: what the elementwise kernels and the optimizers run on."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from minigrad.arrays import hooks
from minigrad.arrays.hooks import launch
from minigrad.arrays.layout import by_pixel

Array = Any

REAL = (np.dtype(np.float32), np.dtype(np.float64))
PARALLEL_FROM = 1 << 15  # elements from which threads share a loop


class Loop:
    """A loop over arrays, compiled twice: for one thread and for all."""

    def __init__(self, body: Any) -> None:
        self.serial = numba.njit(cache=True, error_model="numpy")(body)
        twin = types.FunctionType(body.__code__, body.__globals__, body.__name__)
        twin.__qualname__ = body.__qualname__ + "_parallel"  # with one name, numba's cache would confuse the two
        self.parallel = numba.njit(cache=True, error_model="numpy", parallel=True)(twin)

    def __call__(self, arrays: Sequence[Array], numbers: Sequence[float] = ()) -> None:
        """Run the loop, with the numbers cast to the arrays' dtype, so that float32 stays float32."""
        real = arrays[0].dtype.type
        exact = [real(number) for number in numbers]
        launch(self.serial if arrays[0].size < PARALLEL_FROM else self.parallel, *arrays, *exact)


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
    """Arrays of one shape as flat memory in the first one's order: views, or copies if strides differ."""
    first = arrays[0]
    return [(a if a.strides == first.strides else _like(first, a)).ravel("K") for a in arrays]


def _like(pattern: Array, values: Array) -> Array:
    copy = np.empty_like(pattern)
    copy[...] = values
    return copy
