"""Settings of all tests."""

from __future__ import annotations

import os

# Several test processes share the machine. By default the threads of each busy-wait between two loops, which keeps the cores
# from the others. This must be set before minigrad is imported.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["GOMP_SPINCOUNT"] = "0"

import pytest
from hypothesis import HealthCheck, settings

# The first example of a test may have to compile kernels, and the machine may be busy: no test depends on the clock.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Under `pytest -n N` each process computes on one thread, except in the tests of the kernels."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        import numba

        import minigrad  # noqa: F401  before numba loads

        numba.set_num_threads(1)
