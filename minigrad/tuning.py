"""Settings of the process that only count if they are made early. Imported first, before NumPy and numba load.

Threads. Loops and matrix products run on numba's threads. NumPy's OpenBLAS has threads of its own, for the rare products that
are left to it; afterwards they spin for a while in case more work comes, and stand in the way of numba's, which cost 8 ms at
each hand-over. OPENBLAS_THREAD_TIMEOUT=4, 2^4 clock ticks, sends them to sleep at once.

Memory. A training step asks for the same few megabytes again and again. By default glibc hands them back to the system and
fetches them again, page by page, which can cost as much as the arithmetic; it is told to keep them.

Whoever sets the environment variables keeps their own values; on other systems all this falls away.
"""

import ctypes
import os
import sys

os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_KEEP = 1 << 30  # bytes


def _keep_freed_memory() -> None:
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # absent from other C libraries
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEEP)
        mallopt(_M_TRIM_THRESHOLD, _KEEP)


_keep_freed_memory()
