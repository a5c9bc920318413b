"""Sums, means, maxima: operations that reduce axes. `axis` is an int, a tuple or None (all), as NumPy says.

Summing and broadcasting are each other's backward: `Sum` repeats its cotangent, `BroadcastTo` sums it.
"""

from __future__ import annotations

import math

from minigrad.arrays.backend import array_module, kernels
from minigrad.engine import Op
from minigrad.ops.movement import positive_axis, reshape
from minigrad.tensor import Array, Axis, Shape, Tensor

__all__ = ["argmax", "broadcast_to", "mean", "norm", "std", "var"]


def reduced_axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """`axis` as a tuple of different axes, each in 0 .. ndim - 1."""
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(positive_axis(a, ndim) for a in (axis if isinstance(axis, tuple | list | range) else (axis,)))
    if len(set(axes)) != len(axes):
        raise ValueError(f"axis {axis} names an axis twice")
    return axes


def total(x: Array, axis: Axis, keepdims: bool = False) -> Array:
    """The sum of an array over axes, with an error that grows like the logarithm of the number of terms."""
    axes = reduced_axes(axis, x.ndim)
    sums = kernels(x).sum_axes(x, axes)
    return sums.reshape([1 if i in axes else n for i, n in enumerate(x.shape)]) if keepdims else sums


class Reduction(Op):
    """Base of the reductions: the axes, and how a cotangent gets its reduced axes back."""

    def __init__(self, axis: Axis = None, keepdims: bool = False) -> None:
        self.axis = tuple(axis) if isinstance(axis, tuple | list | range) else axis
        self.keepdims = keepdims

    def with_axes(self, t: Tensor) -> Tensor:
        """An output or its cotangent with the reduced axes restored as axes of length 1, so that it broadcasts against x."""
        if self.axis is None or self.keepdims:
            return t
        shape = self.input_shapes[0]
        axes = reduced_axes(self.axis, len(shape))
        return reshape(t, tuple(1 if i in axes else n for i, n in enumerate(shape)))


class Sum(Reduction):
    """Sum over axes.    Every element gets the cotangent of the sum it is part of."""

    def forward(self, x: Array) -> Array:
        return total(x, self.axis, self.keepdims)

    def backward_x(self, g: Tensor) -> Tensor:
        return broadcast_to(self.with_axes(g), self.input_shapes[0])


class Mean(Reduction):
    """Mean over axes.    Every element gets its share of the cotangent: g / count."""

    is_real = True

    def forward(self, x: Array) -> Array:
        self.count = _count(x, self.axis)
        return total(x, self.axis, self.keepdims) / self.count

    def backward_x(self, g: Tensor) -> Tensor:
        return broadcast_to(self.with_axes(g / self.count), self.input_shapes[0])


class Norm(Reduction):
    """r = sqrt(sum of squares over axes + eps).    dr = <x, dx> / r, and 0 where r = 0"""

    is_real = True

    def __init__(self, axis: Axis = None, keepdims: bool = False, eps: float = 0.0) -> None:
        super().__init__(axis, keepdims)
        self.eps = eps

    def forward(self, x: Array) -> Array:
        return array_module(x).sqrt(total(x * x, self.axis, self.keepdims) + self.eps)

    def backward_x(self, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
        if self.eps:
            return self.with_axes(g / out) * x
        return self.with_axes(_quotient(g, out)) * x


def _quotient(g: Tensor, r: Tensor) -> Tensor:
    """g / r, and 0 where r = 0, with zero derivatives there."""
    zero = Tensor((r.data == 0).astype(r.dtype))
    return g * (1 - zero) / (r * (1 - zero) + zero)


class Extreme(Reduction):
    """Base of `Max` and `Min`: the cotangent goes to the extreme element; several equal ones share it equally."""

    def backward_x(self, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
        taken = (x.data == self.with_axes(out).data).astype(g.dtype)
        share = taken / total(taken, self.axis, keepdims=True)
        return self.with_axes(g) * Tensor(share)


class Max(Extreme):
    """Largest element over axes."""

    def forward(self, x: Array) -> Array:
        return x.max(axis=self.axis, keepdims=self.keepdims)


class Min(Extreme):
    """Smallest element over axes."""

    def forward(self, x: Array) -> Array:
        return x.min(axis=self.axis, keepdims=self.keepdims)


class BroadcastTo(Op):
    """x repeated along axes of length 1 and along new leading axes.    The cotangents of the copies are summed."""

    is_view = True

    def __init__(self, shape: Shape) -> None:
        self.shape = tuple(shape)

    def forward(self, x: Array) -> Array:
        return array_module(x).broadcast_to(x, self.shape)

    def backward_x(self, g: Tensor) -> Tensor:
        return sum_to(g, self.input_shapes[0])


class SumTo(Op):
    """x summed over the axes along which `shape` broadcasts to x's shape: the transpose of `BroadcastTo`."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        new = x.ndim - len(self.shape)
        repeated = tuple(i for i, n in enumerate(x.shape) if i < new or (self.shape[i - new] == 1 and n != 1))
        return kernels(x).sum_axes(x, repeated).reshape(self.shape)

    def backward_x(self, g: Tensor) -> Tensor:
        return broadcast_to(g, self.input_shapes[0])


def reduce_sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum over `axis`, all axes by default."""
    return Sum(axis, keepdims)(x)


def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Mean over `axis`, all axes by default."""
    return Mean(axis, keepdims)(x)


def norm(x: Tensor, *, axis: Axis = None, keepdims: bool = False, eps: float = 0.0) -> Tensor:
    """Euclidean norm over `axis`, all axes by default: sqrt(sum of squares + eps).

    Settings are given by name: the second argument of PyTorch's and NumPy's `norm` is another norm's order, not the axis.
    A norm of 0 has no derivative; the gradient there is 0, as in PyTorch.
    """
    return Norm(axis, keepdims, eps)(x)


def var(x: Tensor, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """Variance over `axis`: sum of squared deviations from the mean over (count - ddof). ddof=1 gives the unbiased estimate."""
    deviation = x - mean(x, axis, keepdims=True)
    return reduce_sum(deviation * deviation, axis, keepdims) / (_count(x, axis) - ddof)


def std(x: Tensor, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """Standard deviation: the root of `var`. Its gradient is 0 where all elements are equal."""
    deviation = x - mean(x, axis, keepdims=True)
    return norm(deviation, axis=axis, keepdims=keepdims) / math.sqrt(max(_count(x, axis) - ddof, 0) or math.nan)


def argmax(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the largest element along `axis`, by default of the flattened x. Integers, without gradients."""
    if axis is not None:
        axis = positive_axis(axis, x.ndim, "argmax: ")
    return Tensor(x.data.argmax(axis=axis, keepdims=keepdims))


def _count(x: Tensor | Array, axis: Axis) -> float:
    count = math.prod(x.shape[a] for a in reduced_axes(axis, x.ndim))
    return float(count) if count else math.nan  # the mean of no elements is NaN


def reduce_max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Largest element over `axis`, all axes by default."""
    return Max(axis, keepdims)(x)


def reduce_min(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Smallest element over `axis`, all axes by default."""
    return Min(axis, keepdims)(x)


def broadcast_to(x: Tensor, shape: Shape) -> Tensor:
    """x with `shape`, by NumPy's broadcasting rules."""
    return x if x.shape == tuple(shape) else BroadcastTo(shape)(x)


def sum_to(x: Tensor, shape: Shape) -> Tensor:
    """x summed to `shape`, which must broadcast to x's shape."""
    return x if x.shape == shape else SumTo(shape)(x)
