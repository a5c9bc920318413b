"""Fixtures and helpers for minigrad's tests."""

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
    """PyTorch. A test with this fixture is skipped where PyTorch is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns while it is imported
        return pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def seed() -> None:
    """Every test starts with the same random seed."""
    mg.manual_seed(0)
