"""Fixtures for the tests of CUDA code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cuda_emulator
import fake_cupy
import pytest


@pytest.fixture(scope="module")
def cupy() -> Iterator[Any]:
    """The stand-in for CuPy, which runs kernels in the emulator.

    In `test_gpu.py` this fixture is the real CuPy.
    """
    if reason := cuda_emulator.why_not():
        pytest.skip(reason)
    with fake_cupy.installed() as module:
        yield module


@pytest.fixture(scope="module", params=cuda_emulator.ORDERS)
def order(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test three times, with the threads of each block in another order."""
    with cuda_emulator.thread_order(request.param):
        yield request.param
