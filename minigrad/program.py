"""A training step on the CPU as a program: the calls of compiled loops and NumPy functions that it made, to be made again.

To find out what to compute next, the ops, their shapes, the graph and the walk back along it, takes Python longer than a small
network takes to compute it. But the answer is the same at every step. So one step is recorded while it is made, and a replay
makes the same calls on the same memory, and nothing else.

While a step is recorded its arrays are `Recorded`. NumPy asks such arrays before it computes anything with them, and so does
`launch` before it runs a compiled loop: either way the program makes the call and notes it. Views need no call: the memory
they look at stays where it is. An array that is kept from step to step comes in as `tracked`; those of tensors do by
themselves. Any other array that is met was made behind the recording's back, and a replay would take it for a constant; so it
would a value that the step looks at. Both are refused: the step goes on as it is, and there is no program. (A few ways out
NumPy does not tell anybody of: `np.array` and `np.asarray` of an array, `memoryview`, and what is computed with the result.)

Each result lies in a block of memory, in the same one at every replay, and when nobody holds the result any more the block is
for another one: what happens in the recorded step happens in this order in every replay. So a program needs no more memory
than the step itself.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from minigrad import recorder
from minigrad.layout import is_dense
from minigrad.recorded import KNOWN, QUESTIONS, SAME, Recorded, each
from minigrad.recorder import POOL, check_inputs

Array = Any
T = TypeVar("T")

ALIGNMENT = 64  # bytes: a line of the processor's cache


class Program:
    """A recorded step: its calls, the memory they work on, and the inputs from which they begin."""

    def __init__(self, inputs: Sequence[np.ndarray]) -> None:
        self.inputs = [x.copy(order="K") for x in inputs]  # where the step finds its inputs at each replay
        self.thread = threading.get_ident()
        self.calls: list[Callable[[], Any]] = []
        self.counters: list[list[int]] = []  # of the tensors that are changed in place
        self.refusal = ""  # why the step cannot be replayed
        self.free: list[np.ndarray] = []  # blocks of memory, those that were freed last at the end
        self.size = 0  # bytes, of all blocks

    def record(self, step: Callable[..., dict[str, Array]]) -> dict[str, np.ndarray]:
        """Make the step, on tracked arrays, and record it. What it gives is overwritten by each replay."""
        with POOL:
            recorder.now, recorder.counters = self, self.counters
            try:
                outputs = step(*map(self.track, self.inputs))
                self.outputs = {name: self.resident(x) for name, x in outputs.items()}
            finally:
                recorder.now = recorder.counters = None
        return self.outputs

    def replay(self, inputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Make the step with these inputs. What it gives is overwritten by the next replay.

        NumPy gives no warnings, and loops of other threads wait until it is done.
        """
        check_inputs(self.inputs, inputs)
        for own, x in zip(self.inputs, inputs, strict=True):
            own[...] = x
        with POOL, np.errstate(all="ignore"):
            for call in self.calls:
                call()
        for counter in self.counters:
            counter[0] += 1
        return self.outputs

    def refuse(self, reason: str) -> None:
        """Give up the recording; the step goes on."""
        self.refusal = self.refusal or reason
        self.calls.clear()

    def on_host(self, work: Callable[[], None]) -> None:
        """Do work that is no computation, now and at each replay."""
        self._outside(work)
        self._add(partial(self._outside, work))

    def _outside(self, work: Callable[[], T]) -> T:
        """Do work of which nothing is recorded, and which may wait for other threads: they get the pool meanwhile.

        `now` belongs to whoever has the pool, so it is set back after the pool has been taken again.
        """
        before, recorder.now = recorder.now, None
        POOL.release()
        try:
            return work()
        finally:
            POOL.acquire()
            recorder.now = before

    def from_host(self, read: Callable[[], Sequence[float]], dtype: Any) -> Recorded:
        """An array of the numbers that `read` gives, at each replay anew."""
        numbers = np.array(self._outside(read), dtype)

        def fill() -> None:
            numbers[:] = read()

        self._add(partial(self._outside, fill))
        return self.track(numbers)

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> None:
        """Call a function that writes to some of its arguments, now and at each replay."""
        run = partial(function, *self.residents(args), **self.residents(options))
        run()
        self._add(run)

    def _add(self, call: Callable[[], Any]) -> None:
        if not self.refusal:
            self.calls.append(call)

    def ufunc(self, function: Callable[..., Any], inputs: Sequence[Any], out: Any, options: dict[str, Any]) -> Any:
        """One of NumPy's functions that can be told where to write."""
        if out:
            self.call(function, *inputs, out=out, **options)
            return out[0] if len(out) == 1 else out
        args, options = self.residents(inputs), self.residents(options)
        result = function(*args, **options)
        if result is None:  # ufunc.at, which writes to its first argument
            self._add(partial(function, *args, **options))
            return None
        if isinstance(result, tuple):
            self.refuse(f"{function} gives several arrays")
            return result
        recorded = self.store(np.asarray(result))
        self._add(partial(function, *args, out=self.resident(recorded), **options))
        return recorded

    def function(self, function: Callable[..., Any], args: Any, options: Any) -> Any:
        """Any other function: a view is a view again; of what is new the values are copied to the program's memory."""
        if function is np.copyto:
            return self.call(function, *args, **options)
        if function not in KNOWN or options.get("out") is not None:
            self.refuse(f"NumPy's {function.__name__} is used in a way that cannot be recorded")
        options = {key: option for key, option in options.items() if key != "like"}
        rooms: list[Room | None] = []
        each(lambda x: rooms.append(_room(x)), (args, options))
        args, options = self.residents(args), self.residents(options)
        result = function(*args, **options)
        if function not in SAME and any(result is x for x in args):  # it was given as `out`
            self.refuse(f"NumPy's {function.__name__} writes to an array that it is given")
        if not isinstance(result, np.ndarray | np.generic):
            if function not in QUESTIONS:
                self.refuse(f"NumPy's {function.__name__} gives something else than one array")
            return result
        result = np.asarray(result)
        if _room(result):  # a view of an array that is kept
            return result.view(Recorded)
        for room in rooms:
            if room is not None and room.block is not None and _owner(room.block) is _owner(result):
                return np.asarray(Room(self, result, whole=room)).view(Recorded)
        recorded = self.store(result)
        if function not in (np.empty, np.empty_like):
            self._add(_again(function, args, options, self.resident(recorded)))
        return recorded

    def residents(self, args: Any) -> Any:
        return each(self.resident, args)

    def resident(self, x: Any) -> Any:
        """An array as the calls hold it: NumPy's own, at the same place, which does not keep its block from being free."""
        if not isinstance(x, np.ndarray):
            return x
        room = _room(x)
        if room is None or room.program() is not self:
            self.refuse(f"an array {x.shape} is neither computed from tensors nor `tracked`")
            return np.ndarray.view(x, np.ndarray)
        if room.block is None or not x.size:
            return x.view(np.ndarray)
        offset = x.__array_interface__["data"][0] - room.block.__array_interface__["data"][0]
        return np.ndarray(x.shape, x.dtype, room.block, offset, x.strides)

    def track(self, x: np.ndarray) -> Recorded:
        """An array that is kept, of the caller's, as one that is recorded."""
        room = _room(x)
        return (np.asarray(Room(self, x)) if room is None or room.program() is not self else x).view(Recorded)

    def store(self, x: np.ndarray) -> Recorded:
        """A new array with the values and the layout of this one, in the program's memory."""
        x = x if is_dense(x) else x.copy(order="K")
        block = self._take(x.nbytes)
        array = np.ndarray(x.shape, x.dtype, block, 0, x.strides)
        array[...] = x
        return np.asarray(Room(self, array, block)).view(Recorded)

    def _take(self, size: int) -> np.ndarray:
        """A free block of memory, the smallest that suffices and is not far too large, or else a new one."""
        fitting = [i for i, block in enumerate(self.free) if size <= len(block) <= max(2 * size, 4096)]
        if fitting:
            return self.free.pop(min(reversed(fitting), key=lambda i: len(self.free[i])))
        size = max(ALIGNMENT, -(-size // ALIGNMENT) * ALIGNMENT)
        self.size += size
        memory = np.empty(size + ALIGNMENT, np.uint8)
        first = -memory.ctypes.data % ALIGNMENT
        return memory[first : first + size]


def _again(function: Callable[..., Any], args: Any, options: Any, out: np.ndarray) -> Callable[[], Any]:
    """A call that puts what a function gives into an array; without making it first, where that is easy."""
    if function in (np.zeros, np.zeros_like):
        return partial(out.fill, 0)
    if function is np.concatenate:
        return partial(function, *args, out=out, **options)
    if function in (np.ndarray.copy, np.ndarray.astype):
        return partial(np.copyto, out, args[0], casting="unsafe")
    if function is np.ndarray.reshape and out.flags.c_contiguous and "order" not in options:
        return partial(np.copyto, out.reshape(args[0].shape), args[0])
    return partial(_put, out, function, args, options)


def _put(out: np.ndarray, function: Callable[..., Any], args: Any, options: Any) -> None:
    out[...] = function(*args, **options)


class Room:
    """Memory of a program in which an array lies. Its views have it as their base; when the last is gone, the block is free."""

    def __init__(self, program: Program, array: np.ndarray, block: np.ndarray | None = None, whole: Room | None = None) -> None:
        self.program, self.array, self.block = weakref.ref(program), array, block
        self.whole = whole  # the room of what the array is a view of, where NumPy has made it of the block itself
        self.__array_interface__ = array.__array_interface__

    def __del__(self) -> None:
        program = self.program()
        if program is not None and self.block is not None:
            program.free.append(self.block)


def _room(x: Any) -> Room | None:
    """The room in which an array lies, if it is one of a recording."""
    while isinstance(x, np.ndarray):
        x = x.base
    return x.whole or x if isinstance(x, Room) else None


def _owner(x: np.ndarray) -> np.ndarray:
    """The array whose memory it is."""
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x
