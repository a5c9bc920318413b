"""`Geometry`: how a window slides over an image. Convolutions, their gradients and pooling share one.

Below it are the checks of numbers that a user gives, each with the sentence that refuses all others.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import NamedTuple

Pair = tuple[int, int]  # along the height, along the width


class Size(NamedTuple):
    """Height and width in pixels, or a count of positions in both directions."""

    height: int
    width: int


ALL = Size(0, 0)  # stands for as many positions as there are


@dataclass(frozen=True)
class Geometry:
    """A window of kernel[0] x kernel[1] taps, `dilation` pixels apart, put onto an image at every `stride`-th place.

    The image counts as having `padding` more pixels on each side. At position (i, j) tap (a, b) sees the pixel
    (i stride[0] - padding[0] + a dilation[0], j stride[1] - padding[1] + b dilation[1]).

    `positions` says how many places the window takes, downwards and across: all that there are, by default. A transposed
    convolution that makes a larger image than it has positions for leaves some at the end out.

    Raises
    ------
    ValueError : if the window does not fit into the image, or a number is out of range
    """

    image: Size
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    positions: Size = ALL

    def __post_init__(self) -> None:
        for name, least in (("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            if min(getattr(self, name)) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {least} or more")
        if min(self.image) < 1:
            raise ValueError(f"images of {tuple(self.image)} have no pixels")
        there = Size(self._along(0), self._along(1))
        if self.positions is ALL:
            object.__setattr__(self, "positions", there)  # as a frozen dataclass sets its fields
        if not all(1 <= n <= most for n, most in zip(self.positions, there, strict=True)):
            raise ValueError(
                f"the kernel {self.kernel} (dilation {self.dilation}) does not fit into images of {tuple(self.image)} with "
                f"padding {self.padding}"
            )

    def _along(self, axis: int) -> int:
        """How many places there are."""
        free = self.image[axis] + 2 * self.padding[axis] - self.dilation[axis] * (self.kernel[axis] - 1) - 1
        return free // self.stride[axis] + 1


def pair(value: int | Sequence[int], name: str, least: int = 1) -> Pair:
    """A number for both directions, or one for each; `name` says in errors whose it is, "conv2d: stride"."""
    try:
        height, width = value if isinstance(value, Sequence) else (value, value)
        numbers = operator.index(height), operator.index(width)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}; it must be one whole number, or two: along the height and the width") from None
    if min(numbers) < least:
        raise ValueError(f"{name} is {numbers}; it must be {least} or more")
    return numbers


def whole(value: int, name: str, least: int = 1) -> int:
    """The number, if it is a whole one and not less than `least`."""
    if not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, {least} or more")
    return int(value)


def real(value: float, name: str) -> float:
    """The number, if it is finite and not negative."""
    if not isinstance(value, Real) or not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value!r}; it must be a finite number, 0 or more")
    return float(value)
