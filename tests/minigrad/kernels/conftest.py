"""Kernel tests use all threads; elsewhere each test process keeps to one (see tests/conftest.py)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from minigrad.kernels.cpu.threads import THREADS, get_num_threads, set_num_threads


@pytest.fixture(autouse=True)
def all_threads() -> Iterator[None]:
    before = get_num_threads()
    set_num_threads(THREADS)
    yield
    set_num_threads(before)
