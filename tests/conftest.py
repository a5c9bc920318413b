"""Settings for all tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

# Several test processes share the machine. By default, PyTorch's threads busy-wait between parallel loops, which takes cores
# from the other processes.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["GOMP_SPINCOUNT"] = "0"

# Under `nohup` this process and its children ignore SIGHUP; the tests send it.
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

import pytest
from hypothesis import HealthCheck, settings

# The first example of a test may have to compile kernels, and the machine may be busy: examples have no deadline.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Under `pytest -n N`, kernels are compiled once, before the processes start; then each computes on one thread.

    The tests of the kernels use all threads (see minigrad/kernels/conftest.py).
    """
    from minigrad.arrays.backend import kernels_are_compiled  # imports minigrad before numba

    if "PYTEST_XDIST_WORKER" in os.environ:
        from minigrad.kernels.cpu.threads import set_num_threads

        set_num_threads(1)
    elif getattr(session.config.option, "numprocesses", None) and not kernels_are_compiled():
        subprocess.run([sys.executable, "-m", "minigrad.compile"], check=True, cwd=session.config.rootpath)
