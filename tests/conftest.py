"""Settings of all tests."""

from __future__ import annotations

import os

# Several test processes share the machine. By default the threads of each busy-wait between two loops, which keeps the cores
# from the others. This must be set before minigrad is imported.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["GOMP_SPINCOUNT"] = "0"

from hypothesis import HealthCheck, settings

# The first example of a test may have to compile kernels, and the machine may be busy: no test depends on the clock.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
