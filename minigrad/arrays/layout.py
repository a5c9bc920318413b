"""The memory layout of arrays.

Images (n, channels, height, width) and convolution weights (out, in, kernel height, kernel width) are
stored channels-last: the channels of one pixel are adjacent, so that the innermost loop of a convolution,
over channels, reads memory in order. Indexing hides this. Code that walks flat memory must know it: two
arrays pair up element by element only if they have the same layout, and not every array is dense (free of
gaps and repeated elements).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Array = Any


def axes_in_memory(x: Array) -> tuple[int, ...] | None:
    """The axes ordered by stride, largest first; axes of length 1 come before all others.

    None if the array is not dense: slices leave gaps, broadcast views repeat elements.
    """
    if not x.size:
        return tuple(range(x.ndim))
    axes = sorted(range(x.ndim), key=lambda i: (x.shape[i] != 1, x.shape[i] != 1 and -x.strides[i]))
    step = x.dtype.itemsize
    for i in reversed(axes):
        if x.shape[i] != 1:
            if x.strides[i] != step:
                return None
            step *= x.shape[i]
    return tuple(axes)


def is_dense(x: Array) -> bool:
    """Whether the elements fill one block of memory without gaps or repeats, whatever the order of the axes."""
    return x.flags.c_contiguous or axes_in_memory(x) is not None


def in_one_order(x: Array, y: Array) -> bool:
    """Whether two dense arrays of one shape have their elements in the same order. Strides of axes of length 1 do not count."""
    return (axes := axes_in_memory(x)) is not None and axes == axes_in_memory(y)


def keeping_layout(convert: Callable[[Array], Array], x: Array) -> Array:
    """convert(x) with the memory layout of x, for a conversion that by itself returns C order."""
    axes = None if x.flags.c_contiguous else axes_in_memory(x)
    if axes is None:
        return convert(x)
    return convert(x.transpose(axes)).transpose(sorted(range(x.ndim), key=axes.__getitem__))


def by_pixel(x: Array) -> Array:
    """(n, channels, height, width) as contiguous (n, height, width, channels): a view if x is channels-last, else a copy."""
    pixels = x.transpose(0, 2, 3, 1)
    return pixels if pixels.flags.c_contiguous else pixels.copy(order="C")


def channels_last(x: Array) -> Array:
    """The same (n, channels, height, width) array in channels-last memory: a view if it is so already, else a copy."""
    return by_pixel(x).transpose(0, 3, 1, 2)
