"""Operations that move elements without changing them: the backward of each moves the cotangents back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.arrays.backend import array_module, zeros
from minigrad.engine import Op
from minigrad.tensor import Array, Axis, Shape, Tensor, raw

__all__ = ["astype", "concatenate", "flatten", "flip", "index", "reshape", "stack", "transpose"]


class Reshape(Op):
    """The same elements, in the same order, in another shape."""

    is_view = True

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        return x.reshape(self.shape)

    def backward_x(self, g: Tensor) -> Tensor:
        return reshape(g, self.input_shapes[0])


class Transpose(Op):
    """Axes in another order: axis i of the result is axis axes[i] of x."""

    is_view = True

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return x.transpose(self.axes)

    def backward_x(self, g: Tensor) -> Tensor:
        ndim = len(self.axes)
        inverse = sorted(range(ndim), key=lambda i: self.axes[i] % ndim)
        return transpose(g, inverse)


class Flip(Op):
    """Elements in reverse order along some axes."""

    is_view = True

    def __init__(self, axis: Axis) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        return array_module(x).flip(x, self.axis)

    def backward_x(self, g: Tensor) -> Tensor:
        return flip(g, self.axis)


class Astype(Op):
    """The same values in another floating-point dtype."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def forward(self, x: Array) -> Array:
        self.original = x.dtype
        return x.astype(self.dtype)

    def backward_x(self, g: Tensor) -> Tensor:
        return astype(g, self.original)


class Index(Op):
    """x[key], for every key that NumPy accepts.    An element taken several times sums its cotangents; one not taken gets 0."""

    is_view = True

    def __init__(self, key: Any) -> None:
        self.key = key

    def forward(self, x: Array) -> Array:
        return x[self.key]

    def backward_x(self, g: Tensor) -> Tensor:
        return Scatter(self.input_shapes[0], self.key)(g)


class Scatter(Op):
    """Zeros of `shape` with g added at `key`: the transpose of `Index`."""

    def __init__(self, shape: Shape, key: Any) -> None:
        self.shape = shape
        self.key = key

    def forward(self, g: Array) -> Array:
        xp = array_module(g)
        if _takes_each_once(self.key):
            out = zeros(self.shape, g)
            out[self.key] = g
            return out
        out = zeros(self.shape, g.astype(np.float64))  # an element may be taken any number of times
        xp.add.at(out, self.key, g)
        return out.astype(g.dtype)

    def backward_g(self, h: Tensor) -> Tensor:
        return Index(self.key)(h)


def _takes_each_once(key: Any) -> bool:
    """Whether the key takes no element twice: integers, slices, None and ... never do, arrays of indices may."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts)


class Concatenate(Op):
    """Arrays joined along an axis.    Each gets its own slice of the cotangent."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, *xs: Array) -> Array:
        return array_module(*xs).concatenate(xs, self.axis)

    def backward_xs(self, g: Tensor, i: int) -> Tensor:
        axis = self.axis % g.ndim
        start = 0
        for shape in self.input_shapes[:i]:
            start += shape[axis]
        return g[(slice(None),) * axis + (slice(start, start + self.input_shapes[i][axis]),)]


def positive_axis(axis: int, ndim: int, caller: str = "") -> int:
    """The axis as a number in 0 .. ndim - 1; negative axes count from the end."""
    if not -ndim <= axis < ndim:
        raise ValueError(f"{caller}axis {axis} is out of range for {ndim} dimensions")
    return int(axis) % ndim


def reshape(x: Tensor, *shape: Any) -> Tensor:
    """x in another shape, given as a tuple or as separate numbers; one of them may be -1."""
    wanted = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    return x if x.shape == wanted else Reshape(wanted)(x)


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """x with the axes from start_dim to end_dim, inclusive, merged into one; a 0-d tensor gets one axis."""
    if not x.ndim:
        x = reshape(x, (1,))
    start, end = (positive_axis(axis, x.ndim, "flatten: ") for axis in (start_dim, end_dim))
    if start > end:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} for shape {x.shape}")
    return reshape(x, (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


def transpose(x: Tensor, *axes: Any) -> Tensor:
    """x with its axes in another order, given as a tuple or as separate numbers; reversed by default."""
    order = tuple(axes[0]) if len(axes) == 1 and isinstance(axes[0], tuple | list | range) else axes
    return Transpose(order or tuple(range(x.ndim))[::-1])(x)


def astype(x: Tensor, dtype: Any) -> Tensor:
    """x in another dtype. Gradients flow between floating-point dtypes only."""
    if x.dtype == dtype:
        return x
    if np.dtype(dtype).kind != "f":
        return Tensor(x.data.astype(dtype))
    return Astype(dtype)(x)


def flip(x: Tensor, axis: Axis = None) -> Tensor:
    """x reversed along `axis`, along all axes by default."""
    return Flip(axis)(x)


def index(x: Tensor, key: Any) -> Tensor:
    """x[key]: integers, slices, None, ..., boolean masks, integer arrays or tensors."""
    return Index(tuple(map(_frozen, key)) if isinstance(key, tuple) else _frozen(key))(x)


def _frozen(part: Any) -> Any:
    """One part of a key. Arrays are copied, because backward uses them later."""
    part = raw(part)
    return part.copy() if hasattr(part, "copy") else part


def concatenate(xs: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors joined along an existing axis; all other axes must agree."""
    return Concatenate(axis)(*xs)


def stack(xs: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis."""
    if not xs:
        raise ValueError("stack: there are no tensors to stack")
    place = positive_axis(axis, xs[0].ndim + 1, "stack: ")
    return concatenate([reshape(x, (*x.shape[:place], 1, *x.shape[place:])) for x in xs], place)
