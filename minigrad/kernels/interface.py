"""The contract of the kernel packages."""

from __future__ import annotations

from typing import NamedTuple


class SGDNumbers(NamedTuple):
    lr: float
    momentum: float


class AdamNumbers(NamedTuple):
    lr: float
    beta1: float
    beta2: float
    eps: float
    step: int


class RMSpropNumbers(NamedTuple):
    lr: float
    alpha: float
    eps: float
