"""Fixtures of the tests of CUDA code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cuda_emulator
import fake_cupy
import pytest


@pytest.fixture(scope="module")
def cupy() -> Iterator[Any]:
    """CuPy's stand-in, on which kernels run in the emulator. `test_gpu.py` has the real one under this name."""
    if reason := cuda_emulator.why_not():
        pytest.skip(reason)
    with fake_cupy.installed() as module:
        yield module


@pytest.fixture(scope="module", params=cuda_emulator.ORDERS)
def order(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs with the threads of each block in each of three orders."""
    with cuda_emulator.thread_order(request.param):
        yield request.param
