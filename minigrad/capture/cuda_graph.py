"""A training step on the GPU as a CUDA graph: all its kernel launches with their arguments, repeated by one call.

A step launches hundreds of kernels, and Python takes longer to launch one than a GPU to run it. During
capture nothing is computed, so a step that turns out not to be capturable has changed nothing. Nothing may
wait for the GPU or read a value (`.item()`, `.numpy()`, a mask as an index), and nothing may be copied from
the host: constants are sent before the first replay and kept. All arrays of the captured step live in a
memory pool of its own, which serves nothing else as long as the graph lives.

Source: NVIDIA, CUDA programming guide, "CUDA graphs"; CuPy, Stream.begin_capture.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minigrad.arrays import hooks
from minigrad.arrays.backend import kernels_named
from minigrad.capture.program import check_inputs
from minigrad.tensor import Array, Tensor

Outputs = dict[str, Tensor]

PER_REPLAY, CONSTANT = 1 << 12, 1 << 16  # how many numbers from the host a captured step can have


class Graph:
    """A captured step, with the memory that it reads and writes."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        # The step finds its inputs here at each replay.
        self.inputs = [Tensor(x.data.copy(order="K"), x.requires_grad) for x in inputs]
        self.host = HostSide()

    def capture(self, step: Callable[..., Outputs], pool: Any) -> None:
        """Capture the step. It frees its arrays when it ends, so from then on the pool must serve nothing else."""
        with private_stream(pool) as stream:
            stream.begin_capture()
            try:
                with hooks.executing(self.host):
                    outputs = step(*self.inputs)
                    self.names = list(outputs)
                    self.values = _join([x.data for x in outputs.values()])
            except BaseException:
                with contextlib.suppress(Exception):  # CUDA may have ended the capture already
                    stream.end_capture()
                raise
            self.graph = stream.end_capture()
        self.host.constants.send()

    def replay(self, inputs: Sequence[Tensor]) -> Outputs:
        """Run the step with these inputs, on the current stream, without waiting for it."""
        check_inputs([x.data for x in self.inputs], [x.data for x in inputs])
        for own, x in zip(self.inputs, inputs, strict=True):
            own.data[...] = x.data
        for work in self.host.work:
            work()
        for counter in self.host.counters:
            counter[0] += 1
        self.host.per_replay.send()
        self.graph.launch()
        values = self.values.copy()  # the next replay overwrites them
        return {name: Tensor(values[i]) for i, name in enumerate(self.names)}


class HostSide(hooks.Eager):
    """The host's part of a graph: work to do before each replay, and numbers to send. It notes the work without doing it."""

    on_gpu = True

    def __init__(self) -> None:
        super().__init__()
        self.work: list[Callable[[], None]] = []
        self.counters: list[list[int]] = []  # of tensors that the step changes in place
        self.per_replay, self.constants = Numbers(PER_REPLAY), Numbers(CONSTANT)

    def refuse(self, reason: str) -> None:
        """Abandon the capture. Nothing of the step has run, so it can still run eagerly."""
        raise RuntimeError(reason)

    def on_host(self, work: Callable[[], None]) -> None:
        self.work.append(work)

    def count_change(self, counter: list[int]) -> None:
        self.counters.append(counter)

    def from_host(self, read: hooks.Read, count: int, dtype: Any) -> Array:
        """Room on the GPU for the `count` numbers, in a dtype of 8 bytes, that `read` will return before each replay."""
        here, there = self.per_replay.take(count)

        def fill() -> None:
            here[:] = np.array(read(), dtype).view(np.uint64)

        self.work.append(fill)
        return there.view(dtype)

    def constant(self, numbers: Sequence[int]) -> Array:
        """Room on the GPU for int64 numbers that are sent once, before the first replay."""
        here, there = self.constants.take(len(numbers))
        here[:] = np.array(numbers, np.int64).view(np.uint64)
        return there.view(np.int64)


class Numbers:
    """Two buffers for numbers of 8 bytes, on the host and on the GPU, so that all are sent together."""

    def __init__(self, size: int) -> None:
        self.here, self.there = np.zeros(size, np.uint64), sys.modules["cupy"].zeros(size, np.uint64)
        self.used = 0

    def take(self, count: int) -> tuple[np.ndarray, Array]:
        """The next `count` places in both buffers."""
        place = slice(self.used, self.used + count)
        if place.stop > len(self.here):
            raise ValueError(f"it takes more than {len(self.here)} numbers from the host")
        self.used = place.stop
        return self.here[place], self.there[place]

    def send(self) -> None:
        kernels_named("cupy").numbers.send(self.here[: self.used], self.there)


@contextlib.contextmanager
def private_stream(pool: Any) -> Iterator[Any]:
    """Context in which the GPU works on a stream that can be captured, with memory from `pool`.

    It synchronises at both ends, so the rest of the program sees one order of events.
    """
    cupy = sys.modules["cupy"]
    cupy.cuda.get_current_stream().synchronize()
    with _stream() as stream, cupy.cuda.using_allocator(pool.malloc):
        try:
            yield stream
        finally:
            stream.synchronize()


@functools.cache
def _stream() -> Any:
    """One stream for the process, because cuBLAS keeps a workspace for each. The default stream cannot be captured."""
    return sys.modules["cupy"].cuda.Stream(non_blocking=True)


def _join(scalars: Sequence[Array]) -> Array:
    """One-element arrays as one array. (CuPy's `concatenate` of more than 8 arrays copies addresses from the host.)"""
    cupy = sys.modules["cupy"]
    values = cupy.empty(len(scalars), np.result_type(*[x.dtype for x in scalars]))
    for i, x in enumerate(scalars):
        values[i] = x.reshape(())
    return values
