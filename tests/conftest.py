"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("steady", deadline=None)  # the first example of a test may have to compile kernels
settings.load_profile("steady")
