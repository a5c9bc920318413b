"""Sums."""

from __future__ import annotations

from typing import Any

Array = Any


def sum_rows(x: Array) -> Array:
    """The sum over the rows of a matrix: (rows, columns) to (columns,)."""
    return x.sum(axis=0)
