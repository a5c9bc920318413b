"""Memory, streams and graphs of the stand-in for CuPy.

Freed memory is filled with 0xFF, which as a number is NaN or -1, and reused by its pool, so that a
use after free shows. While a stream captures, launches are stored and not run, so no result has a
value yet; launching the graph runs them, in order, on the same memory. What a GPU refuses during
capture is refused here.

Not emulated: streams do not run concurrently. All work runs immediately.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import mock_cublas
import numpy as np


class Block:
    """A piece of memory, in use as long as it is referenced."""

    __slots__ = ("buffer", "free")

    def __init__(self, buffer: np.ndarray, free: list[np.ndarray]) -> None:
        self.buffer, self.free = buffer, free

    def __del__(self) -> None:
        self.buffer.fill(0xFF)
        self.free.append(self.buffer)


class MemoryPool:
    """Keeps freed memory for the next request of the same size on the same stream."""

    def __init__(self) -> None:
        self.free: defaultdict[tuple[int, int], list[np.ndarray]] = defaultdict(list)

    def malloc(self, size: int) -> Block:
        rounded = -(-max(size, 1) // 512) * 512
        free = self.free[current_stream().ptr, rounded]
        return Block(free.pop() if free else np.full(rounded, 0xFF, np.uint8), free)


_default_pool = MemoryPool()
_allocators: list[Callable[[int], Block]] = [_default_pool.malloc]  # in use, the innermost last


@contextlib.contextmanager
def using_allocator(allocator: Callable[[int], Block]) -> Iterator[None]:
    """As in cupy.cuda."""
    _allocators.append(allocator)
    try:
        yield
    finally:
        _allocators.pop()


def room_like(x: np.ndarray) -> tuple[np.ndarray, Block]:
    """Dense memory for an array like this one, with its axes in the same order."""
    block = _allocators[-1](x.nbytes)
    order = sorted(range(x.ndim), key=lambda i: -abs(x.strides[i]))
    flat = block.buffer[: x.nbytes].view(x.dtype)
    return flat.reshape([x.shape[i] for i in order]).transpose(np.argsort(order)), block


class Graph:
    """As in cupy.cuda: captured launches."""

    def __init__(self, launches: list[Callable[[], Any]]) -> None:
        self.launches = launches

    def launch(self, stream: Stream | None = None) -> None:
        may_wait("the launch of a graph")
        with np.errstate(all="ignore"):
            for run in self.launches:
                run()


class Event:
    """As in cupy.cuda: after `synchronize`, asynchronous copies to the host have arrived."""

    def __init__(self, copies: list[tuple[np.ndarray, np.ndarray]]) -> None:
        self.copies = copies

    def synchronize(self) -> None:
        may_wait("synchronize()")
        for out, values in self.copies:
            out[...] = values


class Stream:
    """As in cupy.cuda, but its work runs immediately."""

    capturing: Stream | None = None
    current: list[Stream] = []  # the entered streams, the innermost last
    _addresses = itertools.count(1)

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.ptr = 0 if null else next(Stream._addresses)
        self.launches: list[Callable[[], Any]] = []
        self.copies: list[tuple[np.ndarray, np.ndarray]] = []  # to the host, not yet waited for

    def __enter__(self) -> Stream:
        Stream.current.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        Stream.current.pop()

    def begin_capture(self, mode: Any = None) -> None:
        if not self.ptr:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        Stream.capturing, self.launches = self, []
        mock_cublas.capture(self.ptr, self.launches.append)

    def end_capture(self) -> Graph:
        Stream.capturing = None
        mock_cublas.capture(0, None)
        return Graph(self.launches)

    def is_capturing(self) -> bool:
        return Stream.capturing is self

    def record(self) -> Event:
        event, self.copies = Event(self.copies), []
        return event

    def synchronize(self) -> None:
        self.record().synchronize()


_null = Stream(null=True)


def current_stream() -> Stream:
    return Stream.current[-1] if Stream.current else _null


def launch(work: Callable[[], Any]) -> None:
    """Run work on the current stream: now, or, while it captures, when the graph is launched."""
    if Stream.capturing is None:
        with np.errstate(all="ignore"):  # a GPU gives no warnings, such as for a division by zero
            work()
    elif Stream.capturing is current_stream():
        Stream.capturing.launches.append(work)
    else:
        raise RuntimeError("work on one stream while another one captures")


def may_wait(what: str) -> None:
    if Stream.capturing:
        raise RuntimeError(f"{what} waits for the GPU, which is not allowed while a stream captures")


def may_call_cublas() -> None:
    if Stream.capturing:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
