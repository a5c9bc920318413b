"""Activation functions: elementwise operations of one input."""

from __future__ import annotations

import math
from typing import Literal

from minigrad.arrays.backend import array_module, kernels
from minigrad.engine import Op
from minigrad.ops.elementwise import Elementwise, exp, where
from minigrad.tensor import Array, Tensor, TensorLike

__all__ = ["elu", "gelu", "leaky_relu", "relu", "sigmoid", "silu", "softplus", "tanh"]


class Tanh(Elementwise):
    """Hyperbolic tangent.    d tanh(x) = (1 - tanh(x)^2) dx"""

    is_real = True

    def forward(self, x: Array) -> Array:
        return array_module(x).tanh(x)

    def backward_x(self, g: Tensor, out: Tensor) -> Tensor:
        return TanhBackward()(g, out)


class TanhBackward(Op):
    """g (1 - y^2) for y = tanh(x), fused into one pass over memory"""

    def forward(self, g: Array, y: Array) -> Array:
        return kernels(y).tanh_backward(g, y)

    def backward_g(self, h: Tensor, y: Tensor) -> Tensor:
        return TanhBackward()(h, y)

    def backward_y(self, h: Tensor, g: Tensor, y: Tensor) -> Tensor:
        return h * g * y * -2


class Sigmoid(Elementwise):
    """s = 1 / (1 + e^-x), computed as exp(-log(1 + e^-x)), which does not overflow and is accurate for small s.

    ds = s (1 - s) dx
    """

    is_real = True

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        return xp.exp(-xp.logaddexp(0, -x))

    def backward_x(self, g: Tensor, out: Tensor) -> Tensor:
        return g * (out * (1 - out))


class Softplus(Elementwise):
    """log(1 + e^x), accurate for large |x|.    d softplus(x) = sigmoid(x) dx"""

    is_real = True

    def forward(self, x: Array) -> Array:
        return array_module(x).logaddexp(0, x)

    def backward_x(self, g: Tensor, x: Tensor) -> Tensor:
        return g * sigmoid(x)


class LeakyReLU(Elementwise):
    """x where x > 0, else slope * x.    The derivative is 1 or slope; at 0 it is slope, as in PyTorch.

    Backward reads the sign of the output instead of the input's, because the next layer keeps the output
    anyway.
    """

    def __init__(self, slope: float) -> None:
        if not slope >= 0:
            raise ValueError(f"leaky_relu: negative_slope is {slope}; it must be 0 or more")
        self.slope = float(slope)
        self.is_real = slope != 0

    def forward(self, x: Array) -> Array:
        return kernels(x).leaky_relu(x, self.slope)

    def backward_x(self, g: Tensor, out: Tensor) -> Tensor:
        return LeakyReLUBackward(self.slope)(g, out)


class LeakyReLUBackward(Op):
    """g where y > 0, else slope * g: linear in g. No backward_y: its derivative is zero almost everywhere."""

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def forward(self, g: Array, y: Array) -> Array:
        return kernels(y).leaky_relu_backward(g, y, self.slope)

    def backward_g(self, h: Tensor, y: Tensor) -> Tensor:
        return LeakyReLUBackward(self.slope)(h, y)


class Expm1(Elementwise):
    """e^x - 1, accurate for small x.    d = e^x dx"""

    is_real = True

    def forward(self, x: Array) -> Array:
        return array_module(x).expm1(x)

    def backward_x(self, g: Tensor, out: Tensor) -> Tensor:
        return g * (out + 1)


class Erf(Elementwise):
    """The error function.    d erf(x) = 2 / sqrt(pi) e^(-x^2) dx"""

    is_real = True

    def forward(self, x: Array) -> Array:
        return kernels(x).erf(x)

    def backward_x(self, g: Tensor, x: Tensor) -> Tensor:
        return g * exp(-x * x) * (2 / math.sqrt(math.pi))


def tanh(x: TensorLike) -> Tensor:
    """Hyperbolic tangent."""
    return Tanh()(x)


def sigmoid(x: TensorLike) -> Tensor:
    """1 / (1 + e^-x)."""
    return Sigmoid()(x)


def softplus(x: TensorLike) -> Tensor:
    """log(1 + e^x)."""
    return Softplus()(x)


def relu(x: TensorLike) -> Tensor:
    """max(x, 0)."""
    return LeakyReLU(0.0)(x)


def leaky_relu(x: TensorLike, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope * x."""
    return LeakyReLU(negative_slope)(x)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha (e^x - 1).    Source: Clevert, Unterthiner and Hochreiter, "ELU", ICLR 2016."""
    positive = x > 0
    return where(positive, x, Expm1()(where(positive, 0, x)) * alpha)


def gelu(x: Tensor, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """x times the probability that a standard normal number is less than x; "tanh" computes the paper's approximation.

    Source: Hendrycks and Gimpel, "Gaussian error linear units" (2016).
    """
    if approximate == "none":
        return x * (Erf()(x * math.sqrt(0.5)) + 1) * 0.5
    if approximate == "tanh":
        return x * (tanh((x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)) + 1) * 0.5
    raise ValueError(f"gelu: approximate is {approximate!r}; choose 'none' or 'tanh'")


def silu(x: TensorLike) -> Tensor:
    """x sigmoid(x), also called swish."""
    return x * sigmoid(x)
