"""`Captured`: a training step that is captured once and then replayed as a whole."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from minigrad.arrays import hooks
from minigrad.arrays.backend import compiles, is_gpu
from minigrad.capture import cuda_graph
from minigrad.capture.cuda_graph import Graph
from minigrad.capture.program import Program
from minigrad.modes import detects_anomaly
from minigrad.tensor import Array, Tensor

Outputs = dict[str, Tensor]

WARM_UP = 2  # calls that run eagerly first: they compile kernels, fill caches and allocate memory


class Captured:
    """A training step that is captured at its third call; later calls replay it.

    Parameters
    ----------
    step : function
        Takes tensors, always of the same shapes, and returns one-element tensors by name. State that it keeps, such as
        weights, must be tensors that it changes in place (`self.state.assign(new)`, not `self.state = new`). Its inputs
        arrive as copies, and its outputs must not be differentiated.

    A captured step may not read a value (`.item()`, a boolean mask as an index), and everything in it that is not an
    operation on arrays keeps the value it had at capture: Python counters, branches, numbers from elsewhere. Use
    `minigrad.arrays.hooks` for numbers and work of the host. A step that cannot be captured runs eagerly, with a warning
    that says why. While anomalies are being detected, every step runs eagerly.
    """

    def __init__(self, step: Callable[..., Outputs]) -> None:
        self.step = step
        self.calls = 0
        self.pool: Any = None  # of GPU memory, for the arrays of the step
        self.program: Program | Graph | None = None
        self.refused = False

    def __call__(self, *inputs: Tensor) -> Outputs:
        if not all(isinstance(x, Tensor) for x in inputs):
            raise TypeError(f"a captured step takes tensors, not {', '.join(type(x).__name__ for x in inputs)}")
        if self.refused or hooks.capturing() or detects_anomaly():
            return self._run(*inputs)
        self.calls += 1
        if isinstance(self.program, Graph):
            return self.program.replay(inputs)
        if isinstance(self.program, Program):
            return _tensors(self.program.replay([x.data for x in inputs]))
        return self._on_gpu(inputs) if any(is_gpu(x.data) for x in inputs) else self._on_cpu(inputs)

    def _run(self, *inputs: Tensor) -> Outputs:
        """The step, op by op. TypeError if it does not return tensors by name."""
        outputs = self.step(*inputs)
        if not isinstance(outputs, dict) or not all(isinstance(x, Tensor) for x in outputs.values()):
            raise TypeError('a captured step returns a dictionary of tensors, such as {"loss": loss}')
        return outputs

    def _on_cpu(self, inputs: Sequence[Tensor]) -> Outputs:
        if self.calls <= WARM_UP or not compiles():  # the reference kernels do not go through `hooks`
            return self._run(*inputs)
        program = Program([x.data for x in inputs])
        outputs = program.capture(lambda *own: {name: x.data for name, x in self._run(*_like(inputs, own)).items()})
        if program.refusal:
            self._refuse(program.refusal)
        else:
            self.program = program
        return _tensors(outputs)

    def _on_gpu(self, inputs: Sequence[Tensor]) -> Outputs:
        self.pool = self.pool or sys.modules["cupy"].cuda.MemoryPool()
        if self.calls <= WARM_UP:
            with cuda_graph.private_stream(self.pool):
                return self._run(*inputs)
        gc.collect()  # destroying an old graph or stream during a capture could invalidate it
        graph = Graph(inputs)
        try:
            graph.capture(self._run, self.pool)
        except Exception as error:  # of CuPy, cuBLAS or CUDA; nothing of the step has run yet, so it runs eagerly
            self.pool = None
            self._refuse(str(error).partition("\n")[0])
            return self._run(*inputs)
        self.program = graph
        return graph.replay(inputs)

    def _refuse(self, reason: str) -> None:
        self.refused = True
        warnings.warn(f"this step cannot be captured and runs op by op ({reason})", RuntimeWarning, stacklevel=4)


def _like(inputs: Sequence[Tensor], arrays: Sequence[Array]) -> list[Tensor]:
    """Tensors of these arrays that require gradients where the inputs do."""
    return [Tensor(own, x.requires_grad) for own, x in zip(arrays, inputs, strict=True)]


def _tensors(outputs: dict[str, Array]) -> Outputs:
    """The program's outputs, copied because the next replay overwrites them."""
    return {name: Tensor(x.copy()) for name, x in outputs.items()}
