"""A training step as a CUDA graph: recorded once, then replayed as a whole.

    step = Captured(trainer.step)
    metrics = step(batch)  # the same as trainer.step(batch); on the GPU faster

A step launches hundreds of kernels, and Python takes longer to ask for one than a GPU to run it. A graph holds them all, with
their arguments, and one call replays it. What a graph cannot hold is the host's part of a step, everything in it that depends
on numbers which change on the host. Whoever has such a number says so, in a way that works with and without a graph:

    on_host(work)   work() now, or, while a step is recorded, before each replay: the step counts itself, a rate is changed
    again(read)     read() now, or, while a step is recorded, `read` itself: kernels that take a number then ask at each replay
    from_host(...)  numbers as an array, the same in between: choices that the host makes

The random stream and the optimizers do, so that a replay draws new noise and makes the next step. Nothing of it happens while
the graph is recorded: a step that turns out not to be recordable has changed nothing, and is simply made.

While a step is recorded nothing may wait for the GPU or look at a value: `.item()`, `.numpy()`, a mask as an index, anomaly
detection. Nothing may be copied from the host either: constants are made before and kept. All arrays of the recorded step lie
in memory of its own, which nobody else gets as long as the graph lives.

Source: NVIDIA, CUDA programming guide, "CUDA graphs"; CuPy, Stream.begin_capture.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from minigrad.backend import is_gpu, kernels_named
from minigrad.tensor import Array, Tensor

T = TypeVar("T")
Outputs = dict[str, Tensor]

WARM_UP = 2  # calls that are run as they are: kernels get compiled, caches filled, and memory taken for the third
CHANGING, CONSTANT = 1 << 12, 1 << 16  # how many numbers from the host a recorded step can have

_now: Recording | None = None


def recording() -> Recording | None:
    """What is being recorded now."""
    return _now


def on_host(work: Callable[[], None]) -> None:
    """Do work of a step that changes only what the host knows: now or, of a recorded step, before each replay."""
    if _now is None:
        work()
    else:
        _now.program.append(work)


def again(read: Callable[[], T]) -> T | Callable[[], T]:
    """A number from the host that kernels are given: its value, or, while a step is recorded, the function that gives it."""
    return read() if _now is None else read


def from_host(read: Callable[[], Sequence[float]], count: int, dtype: Any, backend_name: str) -> Array:
    """The `count` numbers that `read` gives, of a type of 8 bytes, as an array; of a recorded step, those of each replay."""
    if backend_name == "numpy":
        return np.array(read(), dtype)
    return kernels_named(backend_name).numbers.from_host(read, count, dtype)


class Captured:
    """A training step that is recorded at its third call on the GPU; from then on calls replay it. On the CPU, just the step.

    Parameters
    ----------
    step : takes tensors, always of the same shapes, and gives one-element tensors by name. What it keeps, such as weights, it
        must change in place; what it gives must not be differentiated.
    """

    def __init__(self, step: Callable[..., Outputs]) -> None:
        self.step = step
        self.calls = 0
        self.pool: Any = None  # of memory, for what the step makes
        self.graph: Graph | None = None
        self.refused = False

    def __call__(self, *inputs: Tensor) -> Outputs:
        if self.refused or not any(is_gpu(x.data) for x in inputs):
            return self.step(*inputs)
        self.calls += 1
        if self.calls <= WARM_UP:
            return self._warm_up(inputs)
        if self.graph is None:
            self.graph = self._record(inputs)
        return self.step(*inputs) if self.graph is None else self.graph.replay(inputs)

    def _warm_up(self, inputs: Sequence[Tensor]) -> Outputs:
        self.pool = self.pool or sys.modules["cupy"].cuda.MemoryPool()
        with _aside(self.pool):
            return self.step(*inputs)

    def _record(self, inputs: Sequence[Tensor]) -> Graph | None:
        gc.collect()  # to destroy an old graph or stream while another one records could spoil that
        graph = Graph(inputs)
        try:
            graph.record(self.step, self.pool)
        except Exception as error:  # CuPy's, cuBLAS's or CUDA's: whichever it is, the step has to be made as it is
            self.refused, self.pool = True, None
            reason = str(error).partition("\n")[0]
            warnings.warn(f"steps are not captured as a CUDA graph but made op by op ({reason})", RuntimeWarning, stacklevel=3)
            return None
        return graph


class Graph:
    """A recorded step, with the memory that it reads and writes."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.inputs = [Tensor(x.data.copy(order="K")) for x in inputs]  # where the step finds its inputs at each replay
        self.recording = Recording()

    def record(self, step: Callable[..., Outputs], pool: Any) -> None:
        """Record the step. Its arrays are free again when it ends: the pool must not serve anybody else from then on."""
        global _now
        with _aside(pool) as stream:
            stream.begin_capture()
            _now = self.recording
            try:
                outputs = step(*self.inputs)
                self.names = list(outputs)
                self.values = _one_array([x.data for x in outputs.values()])
            except BaseException:
                with contextlib.suppress(Exception):  # CUDA may have given up the recording already
                    stream.end_capture()
                raise
            finally:
                _now = None
            self.graph = stream.end_capture()
        self.recording.constants.send()

    def replay(self, inputs: Sequence[Tensor]) -> Outputs:
        """Make the step with these inputs, on the current stream. Waits for nothing."""
        for own, x in zip(self.inputs, inputs, strict=True):
            if own.shape != x.shape:
                raise ValueError(f"the step was captured with an input {own.shape}, and is given one {x.shape}")
            own.data[...] = x.data
        for work in self.recording.program:
            work()
        self.recording.changing.send()
        self.graph.launch()
        values = self.values.copy()  # the next replay overwrites them
        return {name: Tensor(values[i]) for i, name in enumerate(self.names)}


class Recording:
    """What a graph has from the host: the work to do before each replay, and the numbers to send."""

    def __init__(self) -> None:
        self.program: list[Callable[[], None]] = []
        self.changing, self.constants = Numbers(CHANGING), Numbers(CONSTANT)

    def from_host(self, read: Callable[[], Sequence[float]], count: int, dtype: Any) -> Array:
        """Room on the GPU, of a type of 8 bytes, for the `count` numbers that `read` gives when the program comes to it."""
        here, there = self.changing.take(count)

        def fill() -> None:
            here[:] = np.array(read(), dtype).view(np.uint64)

        self.program.append(fill)
        return there.view(dtype)

    def constant(self, numbers: Sequence[int]) -> Array:
        """Room for int64 numbers that are sent once, before the first replay."""
        here, there = self.constants.take(len(numbers))
        here[:] = np.array(numbers, np.int64).view(np.uint64)
        return there.view(np.int64)


class Numbers:
    """Room for numbers of 8 bytes here and in the GPU's memory, side by side, so that they are sent together."""

    def __init__(self, size: int) -> None:
        self.here, self.there = np.zeros(size, np.uint64), sys.modules["cupy"].zeros(size, np.uint64)
        self.used = 0

    def take(self, count: int) -> tuple[np.ndarray, Array]:
        """The next `count` places."""
        place = slice(self.used, self.used + count)
        if place.stop > len(self.here):
            raise ValueError(f"it takes more than {len(self.here)} numbers from the host")
        self.used = place.stop
        return self.here[place], self.there[place]

    def send(self) -> None:
        kernels_named("cupy").numbers.send(self.here[: self.used], self.there)


@contextlib.contextmanager
def _aside(pool: Any) -> Iterator[Any]:
    """Context in which the GPU works on a stream that can be recorded, and in memory of the pool. Everything before is done
    when it begins, and everything in it when it ends: so it is as if there were one stream."""
    cupy = sys.modules["cupy"]
    cupy.cuda.get_current_stream().synchronize()
    with _stream() as stream, cupy.cuda.using_allocator(pool.malloc):
        try:
            yield stream
        finally:
            stream.synchronize()


@functools.cache
def _stream() -> Any:
    """One for the process: cuBLAS keeps a workspace for each stream. The default stream cannot be recorded."""
    return sys.modules["cupy"].cuda.Stream(non_blocking=True)


def _one_array(scalars: Sequence[Array]) -> Array:
    """One-element arrays one after another. (Not by `concatenate`: of more than 8, CuPy's sends addresses from the host.)"""
    cupy = sys.modules["cupy"]
    values = cupy.empty(len(scalars), np.result_type(*[x.dtype for x in scalars]))
    for i, x in enumerate(scalars):
        values[i] = x.reshape(())
    return values
