"""A training step on the GPU as a CUDA graph: all its launches with their arguments, made again by one call.

A step launches hundreds of kernels, and Python takes longer to ask for one than a GPU to run it. While a step is recorded
nothing is computed, so one that turns out not to be recordable has changed nothing. Nothing may wait for the GPU or look at a
value: `.item()`, `.numpy()`, a mask as an index. Nothing may be copied from the host either: constants are made before and
kept. All arrays of the recorded step lie in memory of its own, which nobody else gets as long as the graph lives.

Source: NVIDIA, CUDA programming guide, "CUDA graphs"; CuPy, Stream.begin_capture.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minigrad import recorder
from minigrad.backend import kernels_named
from minigrad.recorder import check_inputs
from minigrad.tensor import Array, Tensor

Outputs = dict[str, Tensor]

CHANGING, CONSTANT = 1 << 12, 1 << 16  # how many numbers from the host a recorded step can have

now: Recording | None = None  # what is being recorded


class Graph:
    """A recorded step, with the memory that it reads and writes."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        # Where the step finds its inputs at each replay.
        self.inputs = [Tensor(x.data.copy(order="K"), x.requires_grad) for x in inputs]
        self.recording = Recording()

    def record(self, step: Callable[..., Outputs], pool: Any) -> None:
        """Record the step. Its arrays are free again when it ends: the pool must not serve anybody else from then on."""
        global now
        with aside(pool) as stream:
            stream.begin_capture()
            now, recorder.counters = self.recording, self.recording.counters
            try:
                outputs = step(*self.inputs)
                self.names = list(outputs)
                self.values = _one_array([x.data for x in outputs.values()])
            except BaseException:
                with contextlib.suppress(Exception):  # CUDA may have given up the recording already
                    stream.end_capture()
                raise
            finally:
                now = recorder.counters = None
            self.graph = stream.end_capture()
        self.recording.constants.send()

    def replay(self, inputs: Sequence[Tensor]) -> Outputs:
        """Make the step with these inputs, on the current stream. Waits for nothing."""
        check_inputs([x.data for x in self.inputs], [x.data for x in inputs])
        for own, x in zip(self.inputs, inputs, strict=True):
            own.data[...] = x.data
        for work in self.recording.work:
            work()
        for counter in self.recording.counters:
            counter[0] += 1
        self.recording.changing.send()
        self.graph.launch()
        values = self.values.copy()  # the next replay overwrites them
        return {name: Tensor(values[i]) for i, name in enumerate(self.names)}


class Recording:
    """What a graph has from the host: the work to do before each replay, and the numbers to send."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []
        self.counters: list[list[int]] = []  # of the tensors that are changed in place
        self.changing, self.constants = Numbers(CHANGING), Numbers(CONSTANT)

    def refuse(self, reason: str) -> None:
        """Give up the recording: nothing of the step has happened, so it can be made again as it is."""
        raise RuntimeError(reason)

    def on_host(self, work: Callable[[], None]) -> None:
        """Do work before each replay; not now, for nothing of the step happens now."""
        self.work.append(work)

    def from_host(self, read: Callable[[], Sequence[float]], count: int, dtype: Any) -> Array:
        """Room on the GPU, of a type of 8 bytes, for the `count` numbers that `read` gives when the work comes to it."""
        here, there = self.changing.take(count)

        def fill() -> None:
            here[:] = np.array(read(), dtype).view(np.uint64)

        self.work.append(fill)
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
def aside(pool: Any) -> Iterator[Any]:
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
