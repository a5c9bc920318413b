"""Dropout layers."""

from __future__ import annotations

import minigrad.functional as F
from minigrad.checks import fraction
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = ["Dropout", "Dropout2d"]


class Dropout(Module):
    """In training, each element becomes 0 with probability p; the others are scaled by 1 / (1 - p)."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = fraction(p, f"{type(self).__name__}: p")

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training)

    def describe(self) -> str:
        return f"p={self.p}"


class Dropout2d(Dropout):
    """Dropout of whole channels of images (n, channels, height, width)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout2d(x, self.p, self.training)
