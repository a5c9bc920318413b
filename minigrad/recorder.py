"""What is being recorded, and what the layers above tell a recording: on the CPU a `program`, on the GPU a `graph`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from minigrad.program import Program

Array = Any
T = TypeVar("T")

POOL = threading.RLock()  # some of numba's thread pools end the process if two Python threads enter at once

now: Program | None = None  # what is being recorded, in some thread
counters: list[list[int]] | None = None  # of the tensors that it changes in place


def here() -> Program | None:
    """What is being recorded in this thread."""
    program = now
    return program if program is not None and program.thread == threading.get_ident() else None


def count_change(counter: list[int]) -> None:
    """Add 1 to a tensor's count of changes: now and, of a recorded step, at each replay."""
    if counters is not None:
        counters.append(counter)
    if counters is None or here():  # a CUDA graph is recorded without changing anything
        counter[0] += 1


def tracked(x: Array) -> Array:
    """An array that is kept from step to step, in the form in which a step that is being recorded may compute with it."""
    program = here()
    return x if program is None or type(x) is not np.ndarray else program.track(x)


def empty(shape: Sequence[int], dtype: Any) -> Array:
    """An array of any values, where no other one of the step is at hand to make it `like`."""
    program = here()
    return np.empty(shape, dtype) if program is None else program.store(np.empty(shape, dtype))


def from_host(read: Callable[[], Sequence[float]], dtype: Any) -> Array:
    """The numbers that `read` gives, as an array; of a recorded step, those of each replay."""
    program = here()
    return np.array(read(), dtype) if program is None else program.from_host(read, dtype)


def value(number: T | Callable[[], T]) -> T:
    """A number, or what a function gives that stands for one while a step is recorded (see `capture.again`)."""
    return number() if callable(number) else number


def check_inputs(recorded: Sequence[Array], given: Sequence[Array]) -> None:
    """ValueError if a step that was recorded with some inputs cannot take others."""
    was, found = ([f"{x.shape} {x.dtype}" for x in arrays] for arrays in (recorded, given))
    if was != found:
        raise ValueError(f"the step was captured with inputs {', '.join(was)}, and is given {', '.join(found) or 'none'}")
