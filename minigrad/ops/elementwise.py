"""Elementwise operations, with NumPy's broadcasting.

For y = f(x), the cotangent of x is g * f'(x). If an input was broadcast, its cotangent is summed over the
axes along which it was repeated; `Elementwise` does that for all of them.
"""

from __future__ import annotations

import math
from typing import Any

from minigrad.arrays.backend import array_module
from minigrad.engine import Op
from minigrad.ops.reduce import sum_to
from minigrad.tensor import Array, Tensor, TensorLike, raw, to_operand

__all__ = ["add", "clip", "cos", "div", "exp", "log", "maximum", "minimum", "mul", "neg", "sin", "sqrt", "sub", "where"]

PLAIN = {Tensor, float, int}  # types that need no conversion; checked first because inputs nearly always have them


class Elementwise(Op):
    """An op whose inputs are broadcast against each other."""

    def __call__(self, *inputs: Any) -> Tensor:
        if not PLAIN.issuperset(map(type, inputs)):
            inputs = tuple(map(to_operand, inputs))
        return super().__call__(*inputs)

    def vjp(self, i: int, g: Tensor) -> Tensor:
        """As `Op.vjp`, then summed to the input's own shape."""
        x = super().vjp(i, g)
        self.check_cotangent(i, x, g.shape, self.input_shapes[i])
        return sum_to(x, self.input_shapes[i])


class Add(Elementwise):
    """x + y"""

    def forward(self, x: Array, y: Array) -> Array:
        return x + y

    def backward_x(self, g: Tensor) -> Tensor:
        return g

    def backward_y(self, g: Tensor) -> Tensor:
        return g


class Sub(Elementwise):
    """x - y"""

    def forward(self, x: Array, y: Array) -> Array:
        return x - y

    def backward_x(self, g: Tensor) -> Tensor:
        return g

    def backward_y(self, g: Tensor) -> Tensor:
        return -g


class Mul(Elementwise):
    """x * y.    d(xy) = y dx + x dy"""

    def forward(self, x: Array, y: Array) -> Array:
        return x * y

    def backward_x(self, g: Tensor, y: Tensor) -> Tensor:
        return g * y

    def backward_y(self, g: Tensor, x: Tensor) -> Tensor:
        return g * x


class Div(Elementwise):
    """x / y.    d(x/y) = dx / y - (x/y) dy / y"""

    is_real = True

    def forward(self, x: Array, y: Array) -> Array:
        return x / y

    def backward_x(self, g: Tensor, y: Tensor) -> Tensor:
        return g / y

    def backward_y(self, g: Tensor, y: Tensor, out: Tensor) -> Tensor:
        return -(g * out) / y


class Neg(Elementwise):
    """-x"""

    def forward(self, x: Array) -> Array:
        return -x

    def backward_x(self, g: Tensor) -> Tensor:
        return -g


class Pow(Elementwise):
    """x ** y.    d(x^y) = y x^(y-1) dx + x^y log(x) dy

    Two corner cases, as limits: x^0 is constant in x, at x = 0 too; and 0^y is constant in y.
    """

    def forward(self, x: Array, y: Array) -> Array:
        return x**y

    def backward_x(self, g: Tensor, x: Tensor, y: Tensor) -> Tensor:
        if not isinstance(y, Tensor):
            return g * 0 if y == 0 else g * y if y == 1 else g * (y * x ** (y - 1))
        corner = Tensor((raw(x) == 0) & (y.data == 0))  # elsewhere the factor y is 0 by itself, and has a derivative
        return g * where(corner, 0, y * x ** where(corner, 1, y - 1))

    def backward_y(self, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            return g * out * (math.log(x) if x > 0 else 0.0 if x == 0 else math.nan)
        return g * out * log(where(x.data == 0, 1, x))  # log(1) = 0


class Exp(Elementwise):
    """e^x.    de^x = e^x dx"""

    is_real = True

    def forward(self, x: Array) -> Array:
        return array_module(x).exp(x)

    def backward_x(self, g: Tensor, out: Tensor) -> Tensor:
        return g * out


class Sin(Elementwise):
    """Sine, of radians.    d sin(x) = cos(x) dx"""

    is_real = True

    def forward(self, x: Array) -> Array:
        return array_module(x).sin(x)

    def backward_x(self, g: Tensor, x: Tensor) -> Tensor:
        return g * cos(x)


class Cos(Elementwise):
    """Cosine, of radians.    d cos(x) = -sin(x) dx"""

    is_real = True

    def forward(self, x: Array) -> Array:
        return array_module(x).cos(x)

    def backward_x(self, g: Tensor, x: Tensor) -> Tensor:
        return -g * sin(x)


class Log(Elementwise):
    """Natural logarithm.    d log x = dx / x"""

    is_real = True

    def forward(self, x: Array) -> Array:
        return array_module(x).log(x)

    def backward_x(self, g: Tensor, x: Tensor) -> Tensor:
        return g / x


class Sqrt(Elementwise):
    """Square root.    d sqrt(x) = dx / (2 sqrt(x)), which is infinite at 0: add an epsilon under the root"""

    is_real = True

    def forward(self, x: Array) -> Array:
        return array_module(x).sqrt(x)

    def backward_x(self, g: Tensor, out: Tensor) -> Tensor:
        return g / (out * 2)


class Abs(Elementwise):
    """|x|.    d|x| = sign(x) dx, 0 at 0"""

    def forward(self, x: Array) -> Array:
        return array_module(x).abs(x)

    def backward_x(self, g: Tensor, x: Tensor) -> Tensor:
        return g * Tensor(array_module(x.data).sign(x.data))


class Maximum(Elementwise):
    """The larger of x and y.    The cotangent goes to the larger one; where they are equal, half to each."""

    def forward(self, x: Array, y: Array) -> Array:
        return array_module(x, y).maximum(x, y)

    def backward_x(self, g: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return g * _wins(raw(x), raw(y), g)

    def backward_y(self, g: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return g * _wins(raw(y), raw(x), g)


class Minimum(Elementwise):
    """The smaller of x and y.    The cotangent goes to the smaller one; where they are equal, half to each."""

    def forward(self, x: Array, y: Array) -> Array:
        return array_module(x, y).minimum(x, y)

    def backward_x(self, g: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return g * _wins(raw(y), raw(x), g)

    def backward_y(self, g: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return g * _wins(raw(x), raw(y), g)


def _wins(a: Array, b: Array, like: Tensor) -> Tensor:
    """1 where a > b, 0 where a < b, 1/2 where they are equal; 1 beside a NaN, which a result must not hide."""
    return Tensor(1 - (a < b).astype(like.dtype) - (a == b).astype(like.dtype) / 2)


class Clip(Elementwise):
    """x limited to [low, high]; None is no limit.    The derivative is 1 inside, bounds included, else 0."""

    def __init__(self, low: float | None, high: float | None) -> None:
        if low is None and high is None:
            raise ValueError("clip: give a lower bound, an upper bound or both")
        if any(isinstance(x, Tensor | list | tuple) or getattr(x, "ndim", 0) for x in (low, high)):
            raise TypeError("clip: the bounds are numbers; for tensors write F.maximum(x, low) and F.minimum(x, high)")
        self.low, self.high = (x if x is None or type(x) is int else float(x) for x in (low, high))
        self.is_real = float in (type(self.low), type(self.high))

    def forward(self, x: Array) -> Array:
        return array_module(x).clip(x, self.low, self.high)

    def backward_x(self, g: Tensor, x: Tensor) -> Tensor:
        inside = array_module(x.data).ones_like(x.data, bool)
        if self.low is not None:
            inside &= x.data >= self.low
        if self.high is not None:
            inside &= x.data <= self.high
        return g * Tensor(inside.astype(g.dtype))


class Where(Elementwise):
    """x where the condition holds, else y.    Each gets the cotangent where it was chosen. The condition has no derivative."""

    def _converted(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        condition, *choices = inputs
        return condition, *super()._converted(tuple(choices))

    def forward(self, condition: Array, x: Array, y: Array) -> Array:
        return array_module(condition, x, y).where(condition, x, y)

    def backward_x(self, g: Tensor, condition: Tensor) -> Tensor:
        return where(condition, g, 0)

    def backward_y(self, g: Tensor, condition: Tensor) -> Tensor:
        return where(condition, 0, g)


def add(x: TensorLike, y: TensorLike) -> Tensor:
    """x + y, broadcast."""
    return Add()(x, y)


def sub(x: TensorLike, y: TensorLike) -> Tensor:
    """x - y, broadcast."""
    return Sub()(x, y)


def mul(x: TensorLike, y: TensorLike) -> Tensor:
    """x * y, broadcast."""
    return Mul()(x, y)


def div(x: TensorLike, y: TensorLike) -> Tensor:
    """x / y, broadcast."""
    return Div()(x, y)


def neg(x: TensorLike) -> Tensor:
    """-x."""
    return Neg()(x)


def power(x: TensorLike, y: TensorLike) -> Tensor:
    """x ** y, broadcast."""
    return Pow()(x, y)


def exp(x: TensorLike) -> Tensor:
    """e ** x."""
    return Exp()(x)


def sin(x: TensorLike) -> Tensor:
    """Sine of an angle in radians."""
    return Sin()(x)


def cos(x: TensorLike) -> Tensor:
    """Cosine of an angle in radians."""
    return Cos()(x)


def log(x: TensorLike) -> Tensor:
    """Natural logarithm."""
    return Log()(x)


def sqrt(x: TensorLike) -> Tensor:
    """Square root."""
    return Sqrt()(x)


def absolute(x: TensorLike) -> Tensor:
    """Absolute value."""
    return Abs()(x)


def maximum(x: TensorLike, y: TensorLike) -> Tensor:
    """The elementwise larger of x and y, broadcast."""
    return Maximum()(x, y)


def minimum(x: TensorLike, y: TensorLike) -> Tensor:
    """The elementwise smaller of x and y, broadcast."""
    return Minimum()(x, y)


def clip(x: TensorLike, low: float | None = None, high: float | None = None) -> Tensor:
    """x limited to [low, high]."""
    return Clip(low, high)(x)


def where(condition: TensorLike, x: TensorLike, y: TensorLike) -> Tensor:
    """x where the condition holds, else y, broadcast."""
    return Where()(condition, x, y)
