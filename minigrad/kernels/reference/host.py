"""Numbers that the host chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = Any


def from_host(read: Callable[[], Sequence[float]], count: int, dtype: Any) -> Array:
    """The `count` numbers that `read` returns, as an array."""
    return np.array(read(), dtype)
