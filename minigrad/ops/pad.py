"""Padding with a constant value or with the array's mirror image. The result keeps the array's memory layout."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence

import numpy as np

from minigrad.arrays.backend import empty
from minigrad.engine import Op
from minigrad.tensor import Array, Shape, Tensor

__all__ = ["pad"]

Widths = tuple[tuple[int, int], ...]  # for each axis, how many elements are added before and after


class Pad(Op):
    """x surrounded by `value`."""

    def __init__(self, widths: Widths, value: float) -> None:
        self.widths = widths
        self.value = value

    def forward(self, x: Array) -> Array:
        out = _larger(x, self.widths)
        out[...] = self.value
        out[_middle(self.widths, out.shape)] = x
        return out

    def backward_x(self, g: Tensor) -> Tensor:
        return Crop(self.widths)(g)


class Crop(Op):
    """g without its border: the transpose of `Pad`."""

    def __init__(self, widths: Widths) -> None:
        self.widths = widths

    def forward(self, g: Array) -> Array:
        return g[_middle(self.widths, g.shape)].copy(order="K")

    def backward_g(self, h: Tensor) -> Tensor:
        return Pad(self.widths, 0.0)(h)


class ReflectionPad(Op):
    """x surrounded by its mirror image; the outermost elements are not repeated: abc becomes cbabcba for widths 2.

    The axes are padded in turn, so corners are mirrored twice.
    """

    def __init__(self, widths: Widths) -> None:
        self.widths = widths

    def forward(self, x: Array) -> Array:
        out = _larger(x, self.widths)
        out[_middle(self.widths, out.shape)] = x
        for border, mirrored in _mirrors(self.widths, out.shape):
            out[border] = out[mirrored]
        return out

    def backward_x(self, g: Tensor) -> Tensor:
        return ReflectionFold(self.widths)(g)


class ReflectionFold(Op):
    """The interior of g, plus the border folded back onto it: the transpose of `ReflectionPad`."""

    def __init__(self, widths: Widths) -> None:
        self.widths = widths

    def forward(self, g: Array) -> Array:
        folded = g.copy(order="K")
        for border, mirrored in reversed(list(_mirrors(self.widths, g.shape))):
            folded[mirrored] += folded[border]
        return folded[_middle(self.widths, g.shape)].copy(order="K")

    def backward_g(self, h: Tensor) -> Tensor:
        return ReflectionPad(self.widths)(h)


Key = tuple[slice, ...]


def _larger(x: Array, widths: Widths) -> Array:
    """An uninitialised array with room for the border, in the memory layout of x."""
    order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    shape = [x.shape[axis] + sum(widths[axis]) for axis in order]
    return empty(shape, x).transpose(sorted(range(x.ndim), key=order.__getitem__))


def _middle(widths: Widths, shape: Shape) -> Key:
    """The slices of a padded array of this shape that hold the original."""
    return tuple(slice(before, size - after) for (before, after), size in zip(widths, shape, strict=True))


def _mirrors(widths: Widths, shape: Shape) -> Iterator[tuple[Key, Key]]:
    """Each border, reversed, and the elements it mirrors. Earlier axes include their borders, later ones do not."""
    middle = _middle(widths, shape)
    for axis, ((before, after), size) in enumerate(zip(widths, shape, strict=True)):
        whole, rest = (slice(None),) * axis, middle[axis + 1 :]
        last = size - after - 1  # of the original
        if before:
            yield (*whole, slice(before - 1, None, -1), *rest), (*whole, slice(before + 1, 2 * before + 1), *rest)
        if after:
            yield (*whole, slice(size - 1, last, -1), *rest), (*whole, slice(last - after, last), *rest)


def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """x with a border. `pad` is (left, right, top, bottom, ...), from the last axis backwards, as in PyTorch.

    Mode "constant" fills the border with `value`, which must be representable in x's dtype. Mode "reflect"
    mirrors x without repeating its outermost elements, so each axis must be longer than its borders.
    """
    widths = _widths(x, pad)
    if mode == "constant":
        if not _holds(x, value):
            raise ValueError(f"pad: value {value} cannot be represented in {x.dtype}, the dtype of x")
        return Pad(widths, value)(x)
    if mode != "reflect":
        raise ValueError(f"pad: mode is {mode!r}; choose 'constant' or 'reflect'")
    if value:
        raise ValueError(f"pad: mode 'reflect' takes no value, and value is {value}")
    if any(max(width) >= max(size, 1) for width, size in zip(widths, x.shape, strict=True)):
        raise ValueError(f"pad: x is {x.shape}; to be reflected by {tuple(pad)}, each axis must be longer than its borders")
    return ReflectionPad(widths)(x)


def _widths(x: Tensor, pad: Sequence[int]) -> Widths:
    """The two numbers of `pad` for each axis of x, zeros for the axes it leaves out."""
    try:
        numbers = [operator.index(n) for n in pad]
    except TypeError:  # no sequence, or not of whole numbers
        numbers = [-1]
    if len(numbers) % 2 or len(numbers) > 2 * x.ndim or any(n < 0 for n in numbers):
        raise ValueError(
            f"pad: {pad!r} must hold two numbers, whole and 0 or more, for each of up to {x.ndim} axes, the last axis first"
        )
    pairs = list(zip(numbers[0::2], numbers[1::2], strict=True))[::-1]
    return (*[(0, 0)] * (x.ndim - len(pairs)), *pairs)


def _holds(x: Tensor, value: float) -> bool:
    """Whether the dtype of x can represent the value, up to rounding."""
    if x.dtype.kind == "f":
        return True
    low, high = (0, 1) if x.dtype.kind == "b" else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
    return low <= value <= high and value == int(value)
