"""Settings of the process that only count if they are made early. Imported first, before NumPy and numba load.

Threads. Loops and matrix products run on numba's threads, on Linux those of GNU OpenMP. Between two loops they wait for the
next one actively, by default for so long that on a machine with other work each loop waits for a thread waiting for its turn:
one busy process beside it made a training step seven times slower. With GOMP_SPINCOUNT=20000 they give up sooner, but not
between two operations of a step. NumPy's OpenBLAS has threads of its own, for the rare products that are left to it;
OPENBLAS_THREAD_TIMEOUT=4 sends them to sleep at once, out of the way. (A program that forks after its first step loses the
child: GNU OpenMP does not survive a fork. Start processes with "spawn".)

Memory. A training step asks for the same few megabytes again and again. By default glibc hands them back to the system and
fetches them again, page by page, which can cost as much as the arithmetic; it is told to keep them.

Whoever sets the environment variables keeps their own values; on other systems all this falls away.
"""

import ctypes
import os
import sys

os.environ.setdefault("GOMP_SPINCOUNT", "20000")
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
