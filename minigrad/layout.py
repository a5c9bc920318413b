"""How arrays lie in memory.

Images (n, channels, height, width) and the weights of convolutions (out, in, kernel height, kernel width) lie channels-last:
the numbers of one pixel are neighbours, so the loops over channels, the innermost of a convolution, run through memory in
order. Indexing shows nothing of it, but whoever walks flat memory has to know: that elements pair up only in arrays of one
layout, and that not every array fills one piece of memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Array = Any


def axes_in_memory(x: Array) -> tuple[int, ...] | None:
    """The axes from the one with the largest steps in memory to that with the smallest; axes of length 1 come first.

    None if the elements do not fill one piece of memory: slices leave gaps, broadcast views repeat elements.
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
    """Whether the elements fill one piece of memory, in any order of the axes."""
    return x.flags.c_contiguous or axes_in_memory(x) is not None


def keeping_layout(convert: Callable[[Array], Array], x: Array) -> Array:
    """convert(x), for a conversion whose result lies in C order, with the result's axes in memory ordered like x's."""
    axes = None if x.flags.c_contiguous else axes_in_memory(x)
    if axes is None:
        return convert(x)
    return convert(x.transpose(axes)).transpose(sorted(range(x.ndim), key=axes.__getitem__))


def by_pixel(x: Array) -> Array:
    """An (n, channels, height, width) array as (n, height, width, channels), in C order: a view if it lies so, else a copy."""
    pixels = x.transpose(0, 2, 3, 1)
    return pixels if pixels.flags.c_contiguous else pixels.copy(order="C")


def channels_last(x: Array) -> Array:
    """The same (n, channels, height, width) array in channels-last memory: a view if it lies so, else a copy."""
    return by_pixel(x).transpose(0, 3, 1, 2)
