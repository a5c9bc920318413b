"""Softmax and its logarithm, from one operation: log-sum-exp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.arrays.backend import array_module
from minigrad.engine import as_real
from minigrad.ops.elementwise import exp
from minigrad.ops.reduce import Reduction, reduced_axes, total
from minigrad.tensor import Array, Axis, Tensor

__all__ = ["log_softmax", "logsumexp", "softmax"]


class LogSumExp(Reduction):
    """log(sum(e^x)) over axes. The maximum is subtracted first, so that nothing overflows.

    d log(sum(e^x)) = sum(e^x dx) / sum(e^x) = sum(softmax(x) dx)
    """

    is_real = True

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        peak = x.max(axis=self.axis, keepdims=True)
        peak = xp.where(xp.isfinite(peak), peak, 0)
        with np.errstate(divide="ignore"):  # if all elements are -inf, log(0) = -inf is right
            out = xp.log(total(xp.exp(x - peak), self.axis, keepdims=True)) + peak
        return out if self.keepdims else out.squeeze(self.axis)

    def backward_x(self, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
        return self.with_axes(g) * exp(x - self.with_axes(out))


def logsumexp(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over `axis`, all axes by default."""
    return LogSumExp(axis, keepdims)(x)


def log_softmax(x: Tensor, axis: int | Sequence[int] = -1) -> Tensor:
    """log(softmax(x, axis)), accurate even where the probabilities underflow."""
    (x,) = as_real(x)
    axes = reduced_axes(axis, x.ndim)
    shifted = x - Tensor(x.data.max(axes, keepdims=True))  # the shift cancels; it keeps large numbers accurate
    return shifted - logsumexp(shifted, axes, keepdims=True)


def softmax(x: Tensor, axis: int | Sequence[int] = -1) -> Tensor:
    """e^x over the sum of e^x along `axis`: positive numbers that sum to 1."""
    return exp(log_softmax(x, axis))
