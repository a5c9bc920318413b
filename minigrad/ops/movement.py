"""Operations that move elements without changing them: the backward of each moves the cotangents back."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from types import EllipsisType, NoneType
from typing import Any

import numpy as np

from minigrad.arrays import hooks
from minigrad.arrays.backend import array_module, is_gpu, zeros
from minigrad.engine import Op
from minigrad.tensor import Array, Axis, Shape, Tensor, raw

__all__ = [
    "astype", "clone", "concatenate", "expand_dims", "flatten", "flip", "index", "pixel_shuffle", "reshape", "split", "squeeze",
    "stack", "transpose",
]  # fmt: skip


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
    """Whether the key takes no element twice: integers, slices, None, ... and masks never do, arrays of indices may."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(isinstance(part, int | np.integer | slice | NoneType | EllipsisType) or _is_mask(part) for part in parts)


def _is_mask(part: Any) -> bool:
    return getattr(getattr(part, "dtype", None), "kind", "") == "b"


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
    axis = operator.index(axis)
    if not -ndim <= axis < ndim:
        raise ValueError(f"{caller}axis {axis} is out of range for {ndim} dimensions")
    return axis % ndim


def reshape(x: Tensor, *shape: Any) -> Tensor:
    """x in another shape, given as a tuple or as separate numbers; one of them may be -1."""
    wanted = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    return x if x.shape == wanted else Reshape(wanted)(x)


def expand_dims(x: Tensor, axis: int) -> Tensor:
    """x with a new axis of length 1 at this place; -1 is after the last."""
    place = positive_axis(axis, x.ndim + 1, "expand_dims: ")
    return reshape(x, (*x.shape[:place], 1, *x.shape[place:]))


def squeeze(x: Tensor, axis: Axis = None) -> Tensor:
    """x without these axes of length 1, by default all of them. Longer axes stay, as in PyTorch."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, Sequence) else (axis,)
    gone = {positive_axis(a, x.ndim, "squeeze: ") for a in axes}
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if n != 1 or i not in gone))


def clone(x: Tensor) -> Tensor:
    """A copy of x, through which gradients flow."""
    return Astype(x.dtype)(x)


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
    if len(axes) == 2 and (x.ndim > 2 or order == (0, 1)):  # PyTorch's transpose(i, j), and not an order of all axes
        raise ValueError(
            f"transpose: to exchange two axes of {x.shape}, write swapaxes{order}; transpose takes the order of all"
        )
    return Transpose(order or tuple(range(x.ndim))[::-1])(x)


def astype(x: Tensor, dtype: Any) -> Tensor:
    """x in another dtype. Gradients flow between floating-point dtypes only."""
    if x.dtype == dtype:
        return x
    if np.dtype(dtype).kind != "f":
        return Tensor(x.data.astype(dtype))
    return Astype(dtype)(x)


def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """Images (n, c r^2, h, w) to (n, c, h r, w r), with r the upscale factor: r^2 channels become the pixels of a square.

    Source: Shi et al., "Real-time single image and video super-resolution", CVPR 2016.
    """
    r = upscale_factor
    if x.ndim != 4 or x.shape[1] % (r * r):
        raise ValueError(f"pixel_shuffle: x {x.shape} must be images (n, channels, height, width), with {r * r} | channels")
    n, channels, height, width = x.shape
    squares = reshape(x, (n, channels // (r * r), r, r, height, width))
    return reshape(transpose(squares, 0, 1, 4, 2, 5, 3), (n, channels // (r * r), height * r, width * r))


def flip(x: Tensor, axis: Axis = None) -> Tensor:
    """x reversed along `axis`, along all axes by default."""
    return Flip(axis)(x)


def index(x: Tensor, key: Any) -> Tensor:
    """x[key]: integers, slices, None, ..., boolean masks, integer arrays or tensors."""
    return Index(tuple(map(_frozen, key)) if isinstance(key, tuple) else _frozen(key))(x)


def pick(caller: str, x: Tensor, indices: Array, count: int, rows: Array | None = None) -> Tensor:
    """x[indices], or x[rows, indices], where an index not in 0 .. count - 1 is an IndexError on the CPU and NaN on a GPU.

    The values are not read while a step is captured: there NumPy refuses an index that is as large as the axis.
    """
    valid = (indices >= 0) & (indices < count)
    if not is_gpu(indices) and not hooks.capturing() and not valid.all():
        raise IndexError(f"{caller}: the index {indices[~valid].flat[0]} is not in 0 .. {count - 1}")
    xp = array_module(indices)
    inside = xp.where(valid, indices.astype(np.int64), 0 if is_gpu(indices) else count)
    out = index(x, inside if rows is None else (rows, inside))
    if not is_gpu(indices):
        return out
    penalty = xp.where(valid, 0, math.nan).astype(out.dtype)
    return out + Tensor(penalty.reshape(*indices.shape, *(1,) * (out.ndim - indices.ndim)))


def _frozen(part: Any) -> Any:
    """One part of a key. Arrays are copied, because backward uses them later."""
    part = raw(part)
    return part.copy() if hasattr(part, "copy") else part


def concatenate(xs: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors joined along an existing axis; all other axes must agree."""
    return Concatenate(axis)(*(x if isinstance(x, Tensor) else Tensor(x) for x in xs))


def split(x: Tensor, sizes: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """x in parts along `axis`: of these sizes, which add up to its length, or all of one size, the last perhaps shorter."""
    axis = positive_axis(axis, x.ndim, "split: ")
    length = x.shape[axis]
    if isinstance(sizes, int):
        if sizes < 1:
            raise ValueError(f"split: the size of a part is {sizes}; it must be 1 or more")
        sizes = [min(sizes, length - start) for start in range(0, length, sizes)]
    if sum(sizes) != length or any(size < 0 for size in sizes):
        raise ValueError(f"split: parts of {list(sizes)} do not add up to axis {axis} of {x.shape}")
    ends = itertools.accumulate(sizes)
    return [x[(slice(None),) * axis + (slice(end - size, end),)] for size, end in zip(sizes, ends, strict=True)]


def stack(xs: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis."""
    if not xs:
        raise ValueError("stack: there are no tensors to stack")
    place = positive_axis(axis, xs[0].ndim + 1, "stack: ")
    return concatenate([expand_dims(x, place) for x in xs], place)
