"""Fixtures that run the tests of captured steps on both backends: NumPy, and an emulation of CuPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cuda_emulator
import fake_cupy
import numpy as np
import pytest


@pytest.fixture(scope="module", params=["numpy", "cupy"])
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """The backend's name."""
    if request.param == "numpy":
        yield "numpy"
    elif reason := cuda_emulator.why_not():
        pytest.skip(reason)
    else:
        with fake_cupy.installed():
            yield "cupy"


@pytest.fixture
def xp(name: str) -> Any:
    """The backend's array module: NumPy or CuPy."""
    if name == "numpy":
        return np
    import cupy

    return cupy
