"""Process-wide settings that only take effect before NumPy loads. `minigrad` imports this module first.

Threads. The kernels have threads of their own (see `minigrad.kernels.cpu.threads`). NumPy's OpenBLAS has others, for the few
products left to it; OPENBLAS_THREAD_TIMEOUT=4 puts them to sleep at once.

Memory. A training step allocates the same few megabytes again and again. By default glibc returns them to
the system and asks for them again, page by page, which can cost as much as the arithmetic. `mallopt` tells
it to keep them.

A variable that is already set keeps its value. On systems other than Linux only the variable is set.
MINIGRAD_TUNING=0 turns all of this off.
"""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_KEEP = 1 << 30  # bytes


def _limit_busy_waiting() -> None:
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")


def _keep_freed_memory() -> None:
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # absent from C libraries other than glibc
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEEP)
        mallopt(_M_TRIM_THRESHOLD, _KEEP)


if os.environ.get("MINIGRAD_TUNING") != "0":
    _limit_busy_waiting()
    _keep_freed_memory()
