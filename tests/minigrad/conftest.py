"""Fixtures of the engine's tests, and the leaves of their graphs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values, dtype=np.float64), requires_grad=True)


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch; a test that asks for it is skipped where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, while it is imported
        return pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def seed() -> None:
    """Every test starts at the same place of the random stream."""
    mg.manual_seed(0)
