"""A training step on the CPU as a program: the calls of compiled loops and NumPy functions that it made, ready to be repeated.

Running the ops, checking their shapes, building the graph and walking it takes Python longer than a small
network takes to compute. But the calls are the same at every step. So one step is captured while it runs,
and a replay makes the same calls on the same memory and nothing else.

During capture, arrays are `TracedArray`s. NumPy consults such arrays before it computes anything with them,
and `hooks.launch` consults the program before it runs a compiled loop: either way the program makes the
call and notes it. Views need no call, because the memory they look at stays in place. An array that is kept
from step to step enters through `hooks.persistent`; tensors do that by themselves. Any other array was
computed untraced and would be baked in as a constant, and so would a value that the step reads; both are
refused: the step runs to its end, but there is no program. (NumPy offers a few ways around tracing, and
what is computed with their results is not seen: `np.array` and `np.asarray` of an array, `memoryview`.)

Each result lies in a block of memory, the same one at every replay. When the last reference to a result is
gone, its block serves another one: replays follow the order of the captured step, so this is safe, and a
program needs no more memory than the step itself.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from minigrad.arrays import hooks
from minigrad.arrays.backend import kernels_named
from minigrad.arrays.hooks import THREAD_POOL
from minigrad.arrays.layout import is_dense
from minigrad.capture.traced_array import KNOWN, MAY_RETURN_ITSELF, QUESTIONS, TracedArray, Tracer, each

Array = Any
T = TypeVar("T")

ALIGNMENT = 64  # bytes: a cache line


class Program(Tracer):
    """A captured step: its calls, the memory they work on, and its inputs."""

    def __init__(self, inputs: Sequence[np.ndarray]) -> None:
        super().__init__()
        self.inputs = [x.copy(order="K") for x in inputs]  # the step finds its inputs here at each replay
        self.calls: list[Callable[[], Any]] = []
        self.counters: list[list[int]] = []  # of tensors that the step changes in place
        self.refusal = ""  # why the step cannot be replayed
        self.free: list[np.ndarray] = []  # blocks of memory, most recently freed last
        self.size = 0  # bytes, of all blocks

    def capture(self, step: Callable[..., dict[str, Array]]) -> dict[str, np.ndarray]:
        """Run the step on traced arrays and note its calls. The outputs are overwritten by each replay."""
        with THREAD_POOL, hooks.executing(self):
            outputs = step(*map(self.persistent, self.inputs))
            self.outputs = {name: self.untraced(x) for name, x in outputs.items()}
        return self.outputs

    def replay(self, inputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Run the step with these inputs. The outputs are overwritten by the next replay.

        NumPy's warnings are off, and loops of other threads wait until it is done.
        """
        check_inputs(self.inputs, inputs)
        for own, x in zip(self.inputs, inputs, strict=True):
            own[...] = x
        with THREAD_POOL, np.errstate(all="ignore"):
            for call in self.calls:
                call()
        for counter in self.counters:
            counter[0] += 1
        return self.outputs

    # What the rest of minigrad says through the hooks.

    def refuse(self, reason: str) -> None:
        """Give up the capture; the step itself runs on."""
        self.refusal = self.refusal or reason
        self.calls.clear()

    def unseen(self, reason: str) -> None:
        self.refuse(reason)

    def on_host(self, work: Callable[[], None]) -> None:
        self._suspended(work)
        self._add(partial(_unlocked, work))

    def from_host(self, read: hooks.Read, count: int, dtype: Any) -> TracedArray:
        numbers = np.array(self._suspended(read), dtype)

        def fill() -> None:
            numbers[:] = read()

        self._add(partial(_unlocked, fill))
        return self.persistent(numbers)

    def persistent(self, x: Array) -> Array:
        if type(x) is not np.ndarray:  # it is traced already, or on the GPU
            return x
        slot = _slot(x)
        return (np.asarray(Slot(self, x)) if slot is None or slot.program() is not self else x).view(TracedArray)

    def empty(self, shape: Sequence[int], dtype: Any) -> TracedArray:
        return self.store(np.empty(shape, dtype))

    def launch(self, kernel: Callable[..., None], args: Sequence[Any]) -> None:
        self.call(kernel, *args)

    def count_change(self, counter: list[int]) -> None:
        self.counters.append(counter)
        counter[0] += 1

    def _suspended(self, work: Callable[[], T]) -> T:
        """Do work that is not captured."""
        with hooks.executing(None):
            return _unlocked(work)

    # What traced arrays report.

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> None:
        """Call a function that writes to some of its arguments, now and at each replay."""
        run = partial(function, *self.untraced_all(args), **self.untraced_all(options))
        run()
        self._add(run)

    def _add(self, call: Callable[[], Any]) -> None:
        if not self.refusal:
            self.calls.append(call)

    def ufunc(self, function: Callable[..., Any], inputs: Sequence[Any], out: Any, options: dict[str, Any]) -> Any:
        """Call a ufunc, which can be told where to write its result."""
        if out:
            self.call(function, *inputs, out=out, **options)
            return out[0] if len(out) == 1 else out
        args, options = self.untraced_all(inputs), self.untraced_all(options)
        result = function(*args, **options)
        if result is None:  # ufunc.at, which writes to its first argument
            self._add(partial(function, *args, **options))
            return None
        if isinstance(result, tuple):
            self.refuse(f"{function} gives several arrays")
            return result
        traced = self.store(np.asarray(result))
        to = self.untraced(traced)
        faster = _parallel().add(*args, to) if function == np.add.__call__ and not options else None
        self._add(faster or partial(function, *args, out=to, **options))
        return traced

    def function(self, function: Callable[..., Any], args: Any, options: Any) -> Any:
        """Call any other NumPy function. A view stays a view; new values are copied to the program's memory."""
        if function is np.copyto:
            return self.call(function, *args, **options)
        if function not in KNOWN or options.get("out") is not None:
            self.refuse(f"NumPy's {function.__name__} is used in a way that cannot be captured")
        options = {key: option for key, option in options.items() if key != "like"}
        slots: list[Slot | None] = []
        each(lambda x: slots.append(_slot(x)), (args, options))
        args, options = self.untraced_all(args), self.untraced_all(options)
        result = function(*args, **options)
        if function not in MAY_RETURN_ITSELF and any(result is x for x in args):  # it was given as `out`
            self.refuse(f"NumPy's {function.__name__} writes to an array that it is given")
        if not isinstance(result, np.ndarray | np.generic):
            if function not in QUESTIONS:
                self.refuse(f"NumPy's {function.__name__} gives something else than one array")
            return result
        result = np.asarray(result)
        if _slot(result):  # a view of a persistent array
            return result.view(TracedArray)
        for slot in slots:
            if slot is not None and slot.block is not None and _owner(slot.block) is _owner(result):
                return np.asarray(Slot(self, result, view_of=slot)).view(TracedArray)
        traced = self.store(result)
        if function not in (np.empty, np.empty_like):
            self._add(_repeated(function, args, options, self.untraced(traced)))
        return traced

    # Memory.

    def untraced_all(self, args: Any) -> Any:
        """Every array among the arguments as `untraced` gives it."""
        return each(self.untraced, args)

    def untraced(self, x: Any) -> Any:
        """A plain ndarray in the same memory, as the calls hold it. It does not keep its block from being reused."""
        if not isinstance(x, np.ndarray):
            return x
        slot = _slot(x)
        if slot is None or slot.program() is not self:
            self.refuse(f"an array {x.shape} is neither computed from tensors nor `persistent`")
            return np.ndarray.view(x, np.ndarray)
        if slot.block is None or not x.size:
            return x.view(np.ndarray)
        offset = x.__array_interface__["data"][0] - slot.block.__array_interface__["data"][0]
        return np.ndarray(x.shape, x.dtype, slot.block, offset, x.strides)

    def store(self, x: np.ndarray) -> TracedArray:
        """A new array with the values and the layout of `x`, in the program's memory."""
        x = x if is_dense(x) else x.copy(order="K")
        block = self._take(x.nbytes)
        array = np.ndarray(x.shape, x.dtype, block, 0, x.strides)
        array[...] = x
        return np.asarray(Slot(self, array, block)).view(TracedArray)

    def _take(self, size: int) -> np.ndarray:
        """A free block: the smallest that is large enough but not far too large, or else a new one."""
        fitting = [i for i, block in enumerate(self.free) if size <= len(block) <= max(2 * size, 4096)]
        if fitting:
            return self.free.pop(min(reversed(fitting), key=lambda i: len(self.free[i])))
        size = max(ALIGNMENT, -(-size // ALIGNMENT) * ALIGNMENT)
        self.size += size
        memory = np.empty(size + ALIGNMENT, np.uint8)
        first = -memory.ctypes.data % ALIGNMENT
        return memory[first : first + size]


def _unlocked(work: Callable[[], T]) -> T:
    """Do work that may wait for other threads, which can use the thread pool meanwhile."""
    THREAD_POOL.release()
    try:
        return work()
    finally:
        THREAD_POOL.acquire()


def check_inputs(captured: Sequence[Array], given: Sequence[Array]) -> None:
    """ValueError if a step that was captured with some inputs cannot take others."""
    was, found = ([f"{x.shape} {x.dtype}" for x in arrays] for arrays in (captured, given))
    if was != found:
        raise ValueError(f"the step was captured with inputs {', '.join(was)}, and is given {', '.join(found) or 'none'}")


def _repeated(function: Callable[..., Any], args: Any, options: Any, out: np.ndarray) -> Callable[[], Any]:
    """A call that puts the function's result into an array, without an intermediate array where that is easy."""
    if function in (np.zeros, np.zeros_like):
        return partial(out.fill, 0)
    if function is np.concatenate:
        return partial(function, *args, out=out, **options)
    if function in (np.ndarray.copy, np.ndarray.astype):
        return _parallel().copy(args[0], out) or partial(np.copyto, out, args[0], casting="unsafe")
    if function is np.ndarray.reshape and out.flags.c_contiguous and "order" not in options:
        out = out.reshape(args[0].shape)
        return _parallel().copy(args[0], out) or partial(np.copyto, out, args[0])
    return partial(_put, out, function, args, options)


def _parallel() -> Any:
    """What kernels/cpu/parallel.py has; only kernels that are compiled are captured."""
    return kernels_named("numpy").parallel


def _put(out: np.ndarray, function: Callable[..., Any], args: Any, options: Any) -> None:
    out[...] = function(*args, **options)


class Slot:
    """Memory of a program that holds one array. The array's views have it as their base; without any, its block is free."""

    def __init__(
        self, program: Program, array: np.ndarray, block: np.ndarray | None = None, view_of: Slot | None = None
    ) -> None:
        self.program, self.array, self.block = weakref.ref(program), array, block
        self.view_of = view_of  # the slot of the array that this is a view of, if NumPy made the view from the block itself
        self.__array_interface__ = array.__array_interface__

    def __del__(self) -> None:
        program = self.program()
        if program is not None and self.block is not None:
            program.free.append(self.block)


def _slot(x: Any) -> Slot | None:
    """The slot that an array lies in, if it belongs to a program."""
    while isinstance(x, np.ndarray):
        x = x.base
    return x.view_of or x if isinstance(x, Slot) else None


def _owner(x: np.ndarray) -> np.ndarray:
    """The array that owns the memory of `x`."""
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x
