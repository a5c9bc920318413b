"""Loss functions. `reduction` is "mean", "sum" or "none", as in PyTorch.

A target is a tensor, or one number for all elements: `binary_cross_entropy_with_logits(logits, 1.0)`.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from minigrad.arrays import hooks
from minigrad.arrays.backend import array_module
from minigrad.engine import Op, as_real
from minigrad.ops.activations import sigmoid
from minigrad.ops.elementwise import Elementwise, absolute, maximum, where
from minigrad.ops.movement import pick
from minigrad.ops.reduce import mean, reduce_sum
from minigrad.ops.softmax import log_softmax
from minigrad.tensor import Array, Scalar, Tensor, TensorLike, raw, to_operand

__all__ = ["binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "l1_loss", "mse_loss"]

Reduction = Literal["mean", "sum", "none"]


class ClampedLog(Op):
    """max(log(x), -100), so that a probability of 0 has loss 100 instead of infinity.    d = dx / max(x, 1e-12)

    A negative x is no probability: its logarithm and derivative are NaN.
    """

    def forward(self, x: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return array_module(x).maximum(array_module(x).log(x), -100)

    def backward_x(self, g: Tensor, x: Tensor) -> Tensor:
        return g / where(Tensor(x.data < 0), math.nan, maximum(x, 1e-12))


class BCEWithLogits(Elementwise):
    """-(t log p + (1 - t) log(1 - p)) for p = sigmoid(x).    d = (p - t) dx - x dt

    It uses log p = -softplus(-x) and log(1 - p) = -softplus(x), which are accurate for any x.
    """

    is_real = True

    def forward(self, x: Array, t: Array) -> Array:
        xp = array_module(x, t)
        return t * xp.logaddexp(0, -x) + (1 - t) * xp.logaddexp(0, x)

    def backward_x(self, g: Tensor, x: Tensor, t: TensorLike) -> Tensor:
        return g * (sigmoid(x) - t)

    def backward_t(self, g: Tensor, x: Tensor) -> Tensor:
        return -g * x


def _reduce(loss: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return reduce_sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(f"reduction is {reduction!r}; choose 'mean', 'sum' or 'none'")


def _checked(x: Tensor, target: TensorLike) -> tuple[Tensor, Tensor | Scalar]:
    """Both as real numbers.

    Refuse to broadcast a target, which is nearly always a mistake: (n,) against (n, 1) would give (n, n) losses.
    """
    shape = target.shape if hasattr(target, "shape") else np.shape(target)
    if shape != () and shape != x.shape:
        raise ValueError(f"the target has shape {shape}, the prediction {x.shape}; they must be equal")
    return as_real(x, to_operand(target))


def mse_loss(x: Tensor, target: TensorLike, reduction: Reduction = "mean") -> Tensor:
    """(x - target)^2."""
    x, target = _checked(x, target)
    error = x - target
    return _reduce(error * error, reduction)


def l1_loss(x: Tensor, target: TensorLike, reduction: Reduction = "mean") -> Tensor:
    """|x - target|."""
    x, target = _checked(x, target)
    return _reduce(absolute(x - target), reduction)


def binary_cross_entropy(p: Tensor, target: TensorLike, reduction: Reduction = "mean") -> Tensor:
    """-(t log p + (1 - t) log(1 - p)) for probabilities p and targets t, both in [0, 1]; logarithms are clamped at -100.

    The loss is NaN where p is NaN or not in [0, 1].
    """
    p, target = _checked(p, target)
    return _reduce(-(target * ClampedLog()(p) + (1 - target) * ClampedLog()(1 - p)), reduction)


def binary_cross_entropy_with_logits(logits: Tensor, target: TensorLike, reduction: Reduction = "mean") -> Tensor:
    """`binary_cross_entropy` of p = sigmoid(logits), accurate for any logits."""
    logits, target = _checked(logits, target)
    return _reduce(BCEWithLogits()(logits, target), reduction)


def cross_entropy(logits: Tensor, target: Tensor | Array, reduction: Reduction = "mean") -> Tensor:
    """-log softmax(logits)[target]: logits (n, classes), target integers (n,) in 0 .. classes - 1.

    A target outside is an IndexError on the CPU and gives NaN on a GPU, where it cannot be seen without waiting.
    """
    target = raw(target)
    if logits.ndim != 2 or target.shape != logits.shape[:1] or target.dtype.kind not in "iu":
        raise ValueError(
            f"cross_entropy: logits {logits.shape} must be (n, classes) and target {target.shape} {target.dtype} integers (n,)"
        )
    n, classes = logits.shape
    rows = hooks.persistent(array_module(target).arange(n))
    return _reduce(-pick("cross_entropy", log_softmax(logits), target, classes, rows), reduction)
