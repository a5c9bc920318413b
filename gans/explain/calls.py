"""What capture noted of a step, call by call, and which op or backward method made each call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from gans.training.trainer import Trainer
from minigrad.arrays import backend
from minigrad.capture.program import Program
from minigrad.engine import Op
from minigrad.modes import Observer, observing
from minigrad.tensor import Tensor

MOST_ARGUMENTS = 6  # of a call, shown


class _Counter(Observer):
    """Notes, for each event of a `Recorder`, between which numbers of calls it happened."""

    def __init__(self, calls: list[Any]) -> None:
        self.calls = calls
        self.ranges: list[tuple[int, int]] = []
        self.start = self.last = 0  # the number of calls before this op, and before this backward method
        self.is_hidden = False  # whether ops that are applied now are no events

    def applying(self, op: Op, inputs: Sequence[Any]) -> None:
        self.start = len(self.calls)

    def applied(self, op: Op, inputs: Sequence[Any], out: Tensor) -> None:
        if not self.is_hidden:
            self.ranges.append((self.start, len(self.calls)))

    def walking(self, output: Tensor, targets: Any, create_graph: bool) -> None:
        self.is_hidden, self.last = not create_graph, len(self.calls)

    def sent(self, *_: Any) -> None:
        self.ranges.append((self.last, len(self.calls)))
        self.last = len(self.calls)

    def walked(self, gradients: Any) -> None:
        self.is_hidden = False


def captured_calls(trainer: Trainer, batch: Sequence[Tensor], events: list[dict[str, Any]]) -> tuple[list[str], str]:
    """Capture the step that the trainer has just run, and give each of its events the range of its "calls".

    Returns the calls as text, or none and why there are none.
    """
    if not backend.compiles():
        return [], "NUMBA_DISABLE_JIT is set, and the reference kernels are not captured"
    program = Program([x.data for x in batch])
    counter = _Counter(program.calls)
    with observing(counter):
        program.capture(lambda *own: {name: x.data for name, x in trainer.step(*map(Tensor, own)).items()})
    if program.refusal:
        return [], program.refusal
    for event, between in zip(events, counter.ranges, strict=True):
        event["calls"] = between
    places: dict[int, str] = {}
    return [_text(call, places) for call in program.calls], ""


def _text(call: Any, places: dict[int, str]) -> str:
    """A call as its function's name and the memory it works on: m3(8, 100) is the third piece of memory, an array (8, 100)."""
    name, arguments = _parts(call)
    shown = [_place(x, places) if isinstance(x, np.ndarray) else repr(x) for x in arguments]
    more = ", ..." if len(shown) > MOST_ARGUMENTS else ""
    return f"{name}  {', '.join(shown[:MOST_ARGUMENTS])}{more}"


def _parts(call: Any) -> tuple[str, list[Any]]:
    f, args, options = (call.func, call.args, call.keywords) if isinstance(call, partial) else (call, (), {})
    owner = getattr(f, "__self__", None)
    if isinstance(owner, Program):
        return f"on the host: {args[0].__qualname__.replace('.<locals>', '')}", []
    if isinstance(owner, np.ndarray):
        return f"{f.__name__}", [owner, *args]
    name = getattr(getattr(f, "py_func", f), "__name__", "")
    if isinstance(owner, np.ufunc):
        name = owner.__name__ + ("" if name == "__call__" else f".{name}")
    if name == "_put":
        out, function, inner, _ = args
        name, args, options = getattr(function, "__name__", str(function)), tuple(_flat(inner)), {"out": out}
    out = [] if options.get("out") is None else _flat(options["out"])
    return name.strip("_"), [x for x in (*_flat(args), *out) if isinstance(x, np.ndarray | int | float)]


def _flat(x: Any) -> Iterator[Any]:
    if isinstance(x, list | tuple):
        for part in x:
            yield from _flat(part)
    else:
        yield x


def _place(x: np.ndarray, places: dict[int, str]) -> str:
    address = x.__array_interface__["data"][0]
    return places.setdefault(address, f"m{len(places) + 1}") + str(x.shape).replace(" ", "")
