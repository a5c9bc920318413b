"""A training step that is recorded once and then replayed as a whole.

    step = Captured(trainer.step)
    metrics = step(batch)  # the same as trainer.step(batch), and faster

Every step computes the same things on other numbers. To find out what these things are takes Python a while: of a small
network as long as the computation on a CPU, and on a GPU much longer. So they are recorded, on the CPU as a list of calls
(`program`) and on the GPU as a CUDA graph (`graph`). What such a recording cannot hold is everything else in a step that
depends on numbers which change. Whoever has such a number says so, in a way that works with and without a recording:

    on_host(work)   work() now, and of a recorded step at each replay: the step counts itself, a rate is changed
    again(read)     read() now, or, while a step is recorded, `read` itself: kernels that take a number then ask at each replay
    from_host(...)  numbers as an array, the same in between: choices that the host makes
    tracked(array)  an array that is kept from step to step and is no tensor's

The random stream and the optimizers do, so that a replay draws new noise and makes the next step.

A recorded step may not look at a value: `.item()`, a mask as an index. What cannot be recorded is made op by op, with a warning
that says why. While anomalies are detected, every step is made op by op.

What is Python's in a step stays as it was: a counter, a branch, a number from elsewhere, an optimizer's `betas`. So does what
a name stands for. A state that a step keeps must be a tensor that is changed in place:

    self.state.assign(new)  # and not: self.state = new
"""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from minigrad import graph, recorder
from minigrad.backend import is_gpu, kernels_named
from minigrad.engine import detects_anomaly
from minigrad.graph import Graph, Recording
from minigrad.program import Program
from minigrad.recorder import tracked
from minigrad.tensor import Array, Tensor

__all__ = ["Captured", "again", "from_host", "on_host", "recording", "tracked"]

T = TypeVar("T")
Outputs = dict[str, Tensor]

WARM_UP = 2  # calls that are run as they are: kernels get compiled, caches filled, and memory taken for the third


def recording() -> Recording | Program | None:
    """What is being recorded now."""
    return recorder.here() or graph.now


def on_host(work: Callable[[], None]) -> None:
    """Do work of a step that changes only what the host knows: now and, of a recorded step, at each replay."""
    now = recording()
    if now is None:
        work()
    else:
        now.on_host(work)


def again(read: Callable[[], T]) -> T | Callable[[], T]:
    """A number from the host that kernels are given: its value, or, while a step is recorded, the function that gives it."""
    return read() if recording() is None else read


def from_host(read: Callable[[], Sequence[float]], count: int, dtype: Any, backend_name: str) -> Array:
    """The `count` numbers that `read` gives as an array; of a recorded step, those of each replay. On a GPU of 8 bytes each."""
    if backend_name == "cupy":
        return kernels_named(backend_name).numbers.from_host(read, count, dtype)
    return recorder.from_host(read, dtype)


class Captured:
    """A training step that is recorded at its third call; from then on calls replay it.

    Parameters
    ----------
    step : takes tensors, always of the same shapes, and gives one-element tensors by name. What it keeps, such as weights, it
        must change in place; what it gives must not be differentiated. It works on copies of its inputs.
    """

    def __init__(self, step: Callable[..., Outputs]) -> None:
        self.step = step
        self.calls = 0
        self.pool: Any = None  # of the GPU's memory, for what the step makes
        self.recorded: Program | Graph | None = None
        self.refused = False

    def __call__(self, *inputs: Tensor) -> Outputs:
        if not all(isinstance(x, Tensor) for x in inputs):
            raise TypeError(f"a captured step takes tensors, not {', '.join(type(x).__name__ for x in inputs)}")
        if self.refused or recording() or detects_anomaly():
            return self.step(*inputs)
        self.calls += 1
        if isinstance(self.recorded, Graph):
            return self.recorded.replay(inputs)
        if isinstance(self.recorded, Program):
            return _tensors(self.recorded.replay([x.data for x in inputs]))
        return self._on_gpu(inputs) if any(is_gpu(x.data) for x in inputs) else self._on_cpu(inputs)

    def _on_cpu(self, inputs: Sequence[Tensor]) -> Outputs:
        if self.calls <= WARM_UP:
            return self.step(*inputs)
        recorded = Program([x.data for x in inputs])
        outputs = recorded.record(lambda *own: {name: x.data for name, x in self.step(*_like(inputs, own)).items()})
        if recorded.refusal:
            self._refuse(recorded.refusal)
        else:
            self.recorded = recorded
        return _tensors(outputs)

    def _on_gpu(self, inputs: Sequence[Tensor]) -> Outputs:
        self.pool = self.pool or sys.modules["cupy"].cuda.MemoryPool()
        if self.calls <= WARM_UP:
            with graph.aside(self.pool):
                return self.step(*inputs)
        gc.collect()  # to destroy an old graph or stream while another one records could spoil that
        recorded = Graph(inputs)
        try:
            recorded.record(self.step, self.pool)
        except Exception as error:  # CuPy's, cuBLAS's or CUDA's: whichever it is, the step has to be made as it is
            self.pool = None
            self._refuse(str(error).partition("\n")[0])
            return self.step(*inputs)
        self.recorded = recorded
        return recorded.replay(inputs)

    def _refuse(self, reason: str) -> None:
        self.refused = True
        warnings.warn(f"steps are not captured but made op by op ({reason})", RuntimeWarning, stacklevel=4)


def _like(inputs: Sequence[Tensor], arrays: Sequence[Array]) -> list[Tensor]:
    """Tensors of arrays, such as a step's inputs are."""
    return [Tensor(own, x.requires_grad) for own, x in zip(arrays, inputs, strict=True)]


def _tensors(outputs: dict[str, Array]) -> Outputs:
    """The program's results; copies, for the next replay overwrites them."""
    return {name: Tensor(x.copy()) for name, x in outputs.items()}
