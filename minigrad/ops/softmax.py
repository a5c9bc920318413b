"""Softmax and its logarithm, from one operation: the logarithm of a sum of exponentials."""

from __future__ import annotations

import numpy as np

from minigrad.backend import array_module
from minigrad.ops.elementwise import exp
from minigrad.ops.reduce import Reduction
from minigrad.tensor import Array, Axis, Tensor


class LogSumExp(Reduction):
    """log(sum(e^x)) over axes, with the largest element taken out first so that nothing overflows.

    d log(sum(e^x)) = sum(e^x dx) / sum(e^x) = sum(softmax(x) dx)
    """

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        peak = x.max(axis=self.axis, keepdims=True)
        peak = xp.where(xp.isfinite(peak), peak, 0)
        with np.errstate(divide="ignore"):  # all of them -inf: the logarithm of 0 is right
            out = xp.log(xp.exp(x - peak).sum(axis=self.axis, keepdims=True)) + peak
        return out if self.keepdims else out.squeeze(self.axis)

    def backward_x(self, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
        return self.with_axes(g) * exp(x - self.with_axes(out))


def logsumexp(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over `axis`, all axes by default."""
    return LogSumExp(axis, keepdims)(x)


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Logarithms of `softmax(x, axis)`, exact where the probabilities are too small for a float."""
    shifted = x - Tensor(x.data.max(axis, keepdims=True))  # a constant changes nothing, but large numbers have few digits
    return shifted - logsumexp(shifted, axis, keepdims=True)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """e^x over the sum of e^x along `axis`: positive numbers that add up to 1."""
    return exp(log_softmax(x, axis))
