"""Checks of the numbers that a user passes to an operation or a layer, each with its error message."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from numbers import Integral, Real

from minigrad.kernels.geometry import Pair


def pair(value: int | Sequence[int], name: str, least: int = 1) -> Pair:
    """One number for both axes, or one for each.

    `name` is for error messages, such as "conv2d: stride".
    """
    try:
        height, width = value if isinstance(value, Sequence) else (value, value)
        numbers = operator.index(height), operator.index(width)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}; it must be one whole number, or two: along the height and the width") from None
    if min(numbers) < least:
        raise ValueError(f"{name} is {numbers}; it must be {least} or more")
    return numbers


def whole(value: int, name: str, least: int = 1) -> int:
    """The number as an int; ValueError unless it is an integer of at least `least`."""
    if not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, {least} or more")
    return int(value)


def fraction(value: float, name: str) -> float:
    """The number as a float; ValueError unless it is at least 0 and less than 1."""
    if not isinstance(value, Real) or not 0 <= value < 1:
        raise ValueError(f"{name} is {value!r}; it must be a number, at least 0 and less than 1")
    return float(value)


def real(value: float, name: str) -> float:
    """The number as a float; ValueError unless it is finite and not negative."""
    if not isinstance(value, Real) or not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value!r}; it must be a finite number, 0 or more")
    return float(value)
