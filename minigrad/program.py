"""A training step on the CPU as a program: the calls of compiled loops and NumPy functions that it made, to be made again.

To find out what to compute next, the ops, their shapes, the graph and the walk back along it, takes Python longer than a small
network takes to compute it. But the answer is the same at every step. So one step is recorded while it is made, and a replay
makes the same calls on the same memory, and nothing else.

While a step is recorded its arrays are `Recorded`. NumPy asks such arrays before it computes anything with them, and so does
`launch` before it runs a compiled loop: either way the program makes the call and notes it. Views need no call: the memory
they look at stays where it is. An array that is kept from step to step, such as a weight, comes in as `tracked`. Any other
array that is met was made behind the recording's back, and a replay would take it for a constant; so it would a value that
the step looks at. Both are refused: the step goes on as it is, and there is no program.

Each result lies in a block of memory, in the same one at every replay, and when nobody holds the result any more the block is
for another one: what happens in the recorded step happens in this order in every replay. So a program needs no more memory
than the step itself.

Source: NumPy enhancement proposals 13 (`__array_ufunc__`) and 18 (`__array_function__`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.lib.array_utils import byte_bounds

from minigrad.layout import is_dense

Array = Any
T = TypeVar("T")

POOL = threading.RLock()  # some of numba's thread pools end the process if two Python threads enter at once
ALIGNMENT = 64  # bytes: a line of the processor's cache

now: Program | None = None  # what is being recorded


def tracked(x: Array) -> Array:
    """An array that is kept from step to step, in the form in which a step that is being recorded may compute with it."""
    return x if now is None or type(x) is not np.ndarray else now.track(x)


def empty(shape: Sequence[int], dtype: Any) -> Array:
    """An array of any values, where no other one of the step is at hand to make it `like`."""
    return np.empty(shape, dtype) if now is None else now.store(np.empty(shape, dtype))


def from_host(read: Callable[[], Sequence[float]], count: int, dtype: Any) -> Array:
    """The `count` numbers that `read` gives, as an array; of a recorded step, those of each replay."""
    return np.array(read(), dtype) if now is None else now.from_host(read, count, dtype)


def value(number: T | Callable[[], T]) -> T:
    """A number, or what a function gives that stands for one while a step is recorded (see `capture.again`)."""
    return number() if callable(number) else number


class Room:
    """Memory in which arrays lie. Who holds one of them holds the room; after that its block, if it has one, is free."""

    def __init__(self, start: int, end: int, block: np.ndarray | None = None, free: list[np.ndarray] | None = None) -> None:
        self.start, self.end, self.block, self.free = start, end, block, free

    def holds(self, x: np.ndarray) -> bool:
        low, high = byte_bounds(x)
        return self.start <= low and high <= self.end

    def __del__(self) -> None:
        if self.free is not None and self.block is not None:
            self.free.append(self.block)


class Recorded(np.ndarray):
    """An array of a step that is being recorded: whatever is computed with it is noted."""

    room: Room | None

    def __array_finalize__(self, source: Any) -> None:
        self.room = getattr(source, "room", None)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if now is None:
            return getattr(ufunc, method)(*map(_plain, inputs), out=out and tuple(map(_plain, out)), **options)
        return now.ufunc(getattr(ufunc, method), inputs, out, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if now is None:
            return function(*_plain(args), **_plain(options))
        return now.function(function, args, options)

    def __setitem__(self, key: Any, value: Any) -> None:
        if now is None:
            self.view(np.ndarray)[_plain(key)] = _plain(value)
        else:
            now.call(np.ndarray.__setitem__, self, key, value)

    def __getitem__(self, key: Any) -> Any:
        if any(type(part) is Recorded and part.dtype == bool for part in (key if isinstance(key, tuple) else (key,))):
            _looked_at()  # at how many there are
        return _method(np.ndarray.__getitem__, self, key)

    def fill(self, value: Any) -> None:
        self[...] = value


def _through(name: str) -> Callable[..., Any]:
    """A method of arrays that gives a view or a copy."""
    plain = getattr(np.ndarray, name)

    def method(self: Recorded, *args: Any, **options: Any) -> Any:
        return _method(plain, self, *args, **options)

    return method


def _reading(name: str) -> Callable[..., Any]:
    """A method of arrays that gives values to Python."""
    plain = getattr(np.ndarray, name)

    def method(self: Recorded, *args: Any) -> Any:
        _looked_at()
        return plain(self.view(np.ndarray), *args)

    return method


for _name in ("astype", "choose", "compress", "copy", "diagonal", "flatten", "ravel", "repeat", "reshape", "take"):
    setattr(Recorded, _name, _through(_name))
for _name in ("__bool__", "__complex__", "__float__", "__index__", "__int__", "item", "tobytes", "tolist"):
    setattr(Recorded, _name, _reading(_name))


def _method(plain: Callable[..., Any], *args: Any, **options: Any) -> Any:
    if now is None:
        return plain(*_plain(args), **_plain(options))
    return now.function(plain, args, options)


def _looked_at() -> None:
    if now is not None:
        now.refuse("a value is looked at, which a replay would not do")


def _plain(x: Any) -> Any:
    """Arrays as NumPy's own, when nothing is recorded any more."""
    return _each(lambda a: a.view(np.ndarray) if type(a) is Recorded else a, x)


def _each(function: Callable[[Any], Any], x: Any) -> Any:
    """The function's result for x, or for each part of a tuple, list or dictionary."""
    if type(x) in (tuple, list):
        return type(x)(_each(function, part) for part in x)
    if type(x) is dict:
        return {key: _each(function, part) for key, part in x.items()}
    return function(x)


def _put(out: np.ndarray, function: Callable[..., np.ndarray], args: Any, options: Any) -> None:
    result = function(*args, **options)
    if result.shape != out.shape:
        raise RuntimeError(f"a replayed step gives an array {result.shape} that was {out.shape} when it was recorded")
    out[...] = result


class Program:
    """A recorded step: its calls, the memory they work on, and the inputs from which they begin."""

    def __init__(self, inputs: Sequence[np.ndarray]) -> None:
        self.inputs = [x.copy(order="K") for x in inputs]  # where the step finds its inputs at each replay
        self.calls: list[Callable[[], Any]] = []
        self.refusal = ""  # why the step cannot be replayed
        self.free: list[np.ndarray] = []  # blocks of memory, those that were freed last at the end
        self.size = 0  # bytes, of all blocks

    def record(self, step: Callable[..., dict[str, Array]]) -> dict[str, np.ndarray]:
        """Make the step, on tracked arrays, and record it. What it gives is overwritten by each replay."""
        global now
        with POOL:
            now = self
            try:
                outputs = step(*map(tracked, self.inputs))
                self.outputs = {name: self.resident(x) for name, x in outputs.items()}
            finally:
                now = None
        return self.outputs

    def replay(self, inputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Make the step with these inputs. What it gives is overwritten by the next replay."""
        for own, x in zip(self.inputs, inputs, strict=True):
            if own.shape != x.shape:
                raise ValueError(f"the step was captured with an input {own.shape}, and is given one {x.shape}")
            own[...] = x
        with POOL:
            for call in self.calls:
                call()
        return self.outputs

    def refuse(self, reason: str) -> None:
        """Give up the recording; the step goes on."""
        self.refusal = self.refusal or reason
        self.calls.clear()

    def on_host(self, work: Callable[[], None]) -> None:
        """Do work that is no computation, now and at each replay."""
        global now
        now = None  # nothing in it is recorded
        try:
            work()
        finally:
            now = self
        self.add(work)

    def from_host(self, read: Callable[[], Sequence[float]], count: int, dtype: Any) -> Recorded:
        """An array of the `count` numbers that `read` gives, at each replay anew."""
        numbers = np.empty(count, dtype)

        def fill() -> None:
            numbers[:] = read()

        self.on_host(fill)
        return self.track(numbers)

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call a function that writes to some of its arguments, now and at each replay."""
        run = partial(function, *self.residents(args), **self.residents(options))
        result = run()
        self.add(run)
        return result

    def add(self, call: Callable[[], Any]) -> None:
        if not self.refusal:
            self.calls.append(call)

    def ufunc(self, function: Callable[..., Any], inputs: Sequence[Any], out: Any, options: dict[str, Any]) -> Any:
        """One of NumPy's functions that can be told where to write."""
        if out is not None:
            self.call(function, *inputs, out=tuple(out), **options)
            return out[0]
        args, options = self.residents(inputs), self.residents(options)
        result = function(*args, **options)
        if result is None:  # ufunc.at, which writes to its first argument
            self.add(partial(function, *args, **options))
            return None
        if isinstance(result, tuple):
            self.refuse(f"{function} gives several arrays")
            return result
        recorded = self.store(np.asarray(result))
        self.add(partial(function, *args, out=self.resident(recorded), **options))
        return recorded

    def function(self, function: Callable[..., Any], args: Any, options: Any) -> Any:
        """Any other function: a view is a view again; of what is new the values are copied to the program's memory."""
        options = {key: value for key, value in options.items() if key != "like"}
        rooms: list[Room] = []
        _each(lambda x: rooms.append(x.room) if type(x) is Recorded and x.room else None, (args, options))
        plain_args, plain_options = self.residents(args), self.residents(options)
        result = function(*plain_args, **plain_options)
        if isinstance(result, np.generic) and function is np.ndarray.__getitem__:
            result = plain_args[0][(*np.index_exp[plain_args[1]], ...)]  # a view of the element instead of its value
        if isinstance(result, np.generic):
            result = np.asarray(result)
        if not isinstance(result, np.ndarray):
            return result
        if result.base is not None and (room := next((room for room in rooms if room.holds(result)), None)):
            return self.lying_in(room, result)
        recorded = self.store(result)
        if function not in (np.empty, np.empty_like):
            self.add(self._again(function, plain_args, plain_options, self.resident(recorded)))
        return recorded

    def _again(self, function: Callable[..., Any], args: Any, options: Any, out: np.ndarray) -> Callable[[], Any]:
        """A call that puts what the function gives into an array; without making it first, where that is easy."""
        if function in (np.zeros, np.zeros_like):
            return partial(out.fill, 0)
        if function is np.concatenate:
            return partial(function, *args, out=out, **options)
        if function in (np.ndarray.copy, np.ndarray.astype):
            return partial(np.copyto, out, args[0], casting="unsafe")
        if function is np.ndarray.reshape and out.flags.c_contiguous and "order" not in options:
            return partial(np.copyto, out.reshape(args[0].shape), args[0])
        return partial(_put, out, function, args, options)

    def residents(self, args: Any) -> Any:
        return _each(self.resident, args)

    def resident(self, x: Any) -> Any:
        """An array as the calls hold it: NumPy's own, at the same place, which does not keep its block from being free."""
        if not isinstance(x, np.ndarray):
            return x
        if not x.size:
            return np.empty(x.shape, x.dtype)
        room = getattr(x, "room", None)
        if room is None or not room.holds(x):
            self.refuse(f"an array {x.shape} was made without the recording noticing")
            return x.view(np.ndarray)
        if room.block is None:
            return x.view(np.ndarray)
        return np.ndarray(x.shape, x.dtype, room.block, x.ctypes.data - room.start, x.strides)

    def track(self, x: np.ndarray) -> Recorded:
        """An array that is kept, of the caller's, as one that is recorded."""
        return self.lying_in(Room(*byte_bounds(x)), x)

    def lying_in(self, room: Room, x: np.ndarray) -> Recorded:
        """An array in the memory of a room as one that is recorded."""
        recorded = x.view(Recorded)
        recorded.room = room
        return recorded

    def store(self, x: np.ndarray) -> Recorded:
        """A new array with the values and the layout of this one, in the program's memory."""
        x = x if is_dense(x) else x.copy(order="K")
        block = self._take(x.nbytes)
        start = block.ctypes.data
        room = Room(start, start + len(block), block, self.free)
        copy = np.ndarray(x.shape, x.dtype, block, 0, x.strides)
        copy[...] = x
        return self.lying_in(room, copy)

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
