"""The interface between captured steps and the rest of minigrad.

`minigrad.capture` captures a training step once and replays it without running its Python again.
Three kinds of things in a step would then go wrong: work that Python does beside the arrays
(counting steps), numbers that Python chooses (the learning rate, the position in the random
stream), and arrays that outlive the step (optimizer state). Code that has one of these declares it:

    hooks.on_host(work)                      run work(); a captured step runs it again at each replay
    backend.from_host(read, ..., like=x)     the numbers that read() returns, as an array beside x; a
                                             captured step reads them again at each replay
    hooks.persistent(array)                  an array kept from step to step that is not a tensor's

Without a capture, each does the plain thing (`Eager`), and `minigrad.capture` need not be
importable. A capture in progress is a subclass of `Eager` that `executing` installs for its thread.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

Array = Any
Read = Callable[[], Sequence[float]]

# The kernels' threads can share the work of one loop only, so the Python threads take turns.
THREAD_POOL = threading.RLock()
if hasattr(os, "register_at_fork"):  # in a forked process, nobody would release it
    os.register_at_fork(after_in_child=THREAD_POOL._at_fork_reinit)  # type: ignore[attr-defined]


class Eager:
    """Execute everything at once. A capture overrides these methods to note what it has to repeat."""

    on_gpu = False  # whether this captures a CUDA graph

    def on_host(self, work: Callable[[], None]) -> None:
        """Run work that touches Python state only, no arrays of the step."""
        work()

    def from_host(self, read: Read, count: int, dtype: Any) -> Array:
        """The `count` numbers that `read` returns, as an array."""
        return np.array(read(), dtype)

    def constant(self, numbers: Sequence[int]) -> Array:
        """int64 numbers in the GPU's memory that live as long as the CUDA graph being captured."""
        raise NotImplementedError("only a CUDA graph owns constants")

    def persistent(self, x: Array) -> Array:
        """An array that is kept from step to step."""
        return x

    def empty(self, shape: Sequence[int], dtype: Any) -> Array:
        """An uninitialised array."""
        return np.empty(shape, dtype)

    def launch(self, kernel: Callable[..., None], args: Sequence[Any]) -> None:
        """Call a compiled loop that writes to some of its arguments."""
        with THREAD_POOL:
            kernel(*args)

    def count_change(self, counter: list[int]) -> None:
        """Count an in-place change of a tensor."""
        counter[0] += 1

    def refuse(self, reason: str) -> None:
        """Say that this step does something a replay would get wrong. Eager steps do not mind."""

    def unseen(self, reason: str) -> None:
        """Say that an array enters or leaves a tensor unseen. It matters to captures that trace arrays."""


_EAGER = Eager()
captures: dict[int, Eager] = {}  # thread -> the capture in progress there


def current() -> Eager:
    """How this thread executes: eagerly, or as part of a capture."""
    return captures.get(threading.get_ident(), _EAGER) if captures else _EAGER


def capturing() -> bool:
    """Whether this thread is capturing a step."""
    return current() is not _EAGER


@contextlib.contextmanager
def executing(how: Eager | None) -> Iterator[None]:
    """Context in which a capture is in progress; with None, in which the capture in progress is suspended."""
    thread = threading.get_ident()
    before = captures.pop(thread, None)
    if how is not None:
        captures[thread] = how
    try:
        yield
    finally:
        captures.pop(thread, None)
        if before is not None:
            captures[thread] = before


def on_host(work: Callable[[], None]) -> None:
    """Run work that touches Python state only, no arrays of the step; in a captured step again at each replay."""
    current().on_host(work)


def from_host(read: Read, count: int, dtype: Any) -> Array:
    """The `count` numbers that `read` returns, as a NumPy array; in a captured step those of each replay.

    For the CPU kernels; `backend.from_host` serves both backends.
    """
    return current().from_host(read, count, dtype)


def persistent(x: Array) -> Array:
    """Declare an array that is kept from step to step and is not a tensor's. Captures refuse undeclared arrays."""
    return current().persistent(x)


def empty(shape: Sequence[int], dtype: Any) -> Array:
    """An uninitialised array, where no other array of the step is at hand for `empty(..., like=...)`."""
    return current().empty(shape, dtype)


def launch(kernel: Callable[..., None], *args: Any) -> None:
    """Call a compiled loop that writes to some of its arguments; in a captured step again at each replay."""
    current().launch(kernel, args)


def count_change(counter: list[int]) -> None:
    """Count an in-place change of a tensor, so that graphs that kept its old values are known to be stale."""
    current().count_change(counter)


def refuse(reason: str) -> None:
    """Give up the capture in progress, if there is one in this thread: it cannot replay what happens now."""
    current().refuse(reason)


def unseen(reason: str) -> None:
    """Give up a capture in this thread that traces arrays: one enters or leaves a tensor without its knowledge."""
    current().unseen(reason)
