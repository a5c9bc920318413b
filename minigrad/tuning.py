"""Process-wide settings that only take effect before NumPy and numba load. `minigrad` imports this module first.

Threads. Loops and matrix products run on numba's threads. The best threads that numba knows are those of
Intel's TBB: they take work when they are free, and no loop waits for a thread that has lost its processor
to other work. numba does not find the `tbb` package in a virtual environment; once its library is loaded,
it does. Without the package, on Linux, the threads are those of GNU OpenMP. Between two loops these
busy-wait for the next one, by default so long that beside other work each loop waits for a thread that
waits for its turn. With GOMP_SPINCOUNT=20000 they give up sooner, but not between two operations of a
step. (GNU OpenMP does not survive a fork: a program that forks after its first step loses the child. Start
processes with "spawn".) NumPy's OpenBLAS has threads of its own, for the few products left to it;
OPENBLAS_THREAD_TIMEOUT=4 puts them to sleep at once.

Memory. A training step allocates the same few megabytes again and again. By default glibc returns them to
the system and asks for them again, page by page, which can cost as much as the arithmetic. `mallopt` tells
it to keep them.

Environment variables that are already set keep their values. On systems other than Linux only these variables are set.
MINIGRAD_TUNING=0 turns all of this off.
"""

import contextlib
import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_KEEP = 1 << 30  # bytes


def _limit_busy_waiting() -> None:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")


def _load_tbb() -> None:
    """Load the library of the `tbb` package, from where pip puts it, for numba to find it."""
    path = os.path.join(sys.prefix, "lib", "libtbb.so.12")
    if sys.platform.startswith("linux") and "NUMBA_THREADING_LAYER" not in os.environ and os.path.exists(path):
        with contextlib.suppress(OSError):  # for another processor, or damaged: numba has other threads
            ctypes.CDLL(path, ctypes.RTLD_GLOBAL)


def _keep_freed_memory() -> None:
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # absent from C libraries other than glibc
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEEP)
        mallopt(_M_TRIM_THRESHOLD, _KEEP)


if os.environ.get("MINIGRAD_TUNING") != "0":
    _limit_busy_waiting()
    _load_tbb()
    _keep_freed_memory()
