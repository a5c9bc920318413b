"""Process-wide settings that only take effect before NumPy loads. `minigrad` imports this module first.

Threads. The kernels have threads of their own (see `minigrad.kernels.cpu.threads`). NumPy's OpenBLAS has others, for the few
products left to it; OPENBLAS_THREAD_TIMEOUT=4 puts them to sleep at once.

Memory. A training step allocates the same few megabytes again and again. By default glibc returns them to
the system and asks for them again, page by page, which can cost as much as the arithmetic. `mallopt` tells
it to keep them. And a processor knows by heart where some 1,500 pages of 4 KiB are, 6 MiB in all, which is
less than a step uses. So the main thread's next 768 MiB of addresses are declared to be in pages of 2 MiB (transparent
huge pages), where Linux allows it and the process may have as many addresses as it likes. Memory that nobody uses is
not taken from the system.

A variable that is already set keeps its value. On systems other than Linux only the variable is set.
MINIGRAD_TUNING=0 turns all of this off.
"""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_KEEP = 1 << 30  # bytes
_MADV_HUGEPAGE, _PAGE = 14, 4096  # from mman.h


def _limit_busy_waiting() -> None:
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")


def _keep_freed_memory(libc: ctypes.CDLL) -> None:
    libc.mallopt(_M_MMAP_THRESHOLD, _KEEP)
    libc.mallopt(_M_TRIM_THRESHOLD, _KEEP)


def _use_huge_pages(libc: ctypes.CDLL) -> None:
    """Allocate memory, declare it, and free it again: malloc keeps it, and gives from it what it is asked for next."""
    import resource  # only where there are limits

    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return
    libc.malloc.restype = ctypes.c_void_p
    size = _KEEP // 4 * 3  # a free block of _KEEP bytes would be given back to the system
    if (place := libc.malloc(ctypes.c_size_t(size))) is not None:
        first = -(-place // _PAGE) * _PAGE
        libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(size - _PAGE), _MADV_HUGEPAGE)
        libc.free(ctypes.c_void_p(place))


def _tune_memory() -> None:
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # absent from C libraries other than glibc
        _keep_freed_memory(libc)
        _use_huge_pages(libc)


if os.environ.get("MINIGRAD_TUNING") != "0":
    _limit_busy_waiting()
    _tune_memory()
