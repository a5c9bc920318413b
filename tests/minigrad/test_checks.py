"""The numbers that a user passes are checked, and an error names the argument."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from minigrad.checks import pair, real, whole


def test_pairs() -> None:
    assert pair(3, "stride") == (3, 3)
    assert pair((1, 2), "stride") == (1, 2)
    assert pair([np.int64(1), 2], "stride") == (1, 2)
    wrong: Any
    for wrong in ((1,), (1, 2, 3), (1.5, 2), 1.5, "a", "ab", None):
        with pytest.raises(ValueError, match=rf"^stride is {re.escape(repr(wrong))}; it must be one whole number, or two"):
            pair(wrong, "stride")
    with pytest.raises(ValueError, match=r"^stride is \(0, 1\); it must be 1 or more$"):
        pair((0, 1), "stride")
    assert pair((0, 1), "padding", least=0) == (0, 1)


def test_whole_and_real_numbers() -> None:
    """NumPy's numbers are converted to Python's."""
    assert type(whole(np.int64(3), "groups")) is int
    assert type(real(np.float32(0.5), "eps")) is float
    assert real(2, "eps") == 2 and real(0.0, "eps") == 0
    wrong: Any
    for wrong in (0, -1, 1.0, "1", None):
        with pytest.raises(ValueError, match=f"^groups is {wrong!r}; it must be a whole number, 1 or more$"):
            whole(wrong, "groups")
    for wrong in (-1e-5, np.nan, np.inf, "1", None):
        with pytest.raises(ValueError, match=f"^eps is {wrong!r}; it must be a finite number, 0 or more$"):
            real(wrong, "eps")
