"""What each thread can switch on and off: whether graphs are built, whether NaN and infinity are looked for, who observes."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import isasyncgenfunction, isclass, iscoroutinefunction, isgeneratorfunction
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from minigrad.engine import Node, Op
    from minigrad.tensor import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])


class Observer:
    """What the engine reports to the observer of a thread. A subclass overrides what it wants to know.

    The ops that a backward method applies are reported between `walking` and `walked`, before the `sent` that they led to.
    """

    def applying(self, op: Op, inputs: Sequence[Any]) -> None:
        """An op is about to be applied."""

    def applied(self, op: Op, inputs: Sequence[Any], out: Tensor) -> None:
        """An op was applied. It has `parents` if it joined the graph."""

    def drawn(self, x: Tensor, distribution: str) -> None:
        """Random numbers were drawn: from "N(0, 1)" or "U(0, 1)"."""

    def walking(self, output: Tensor, targets: Sequence[Node], create_graph: bool) -> None:
        """A walk back from `output` to the targets begins."""

    def sent(self, op: Op, i: int, g: Tensor, contribution: Tensor, total: Tensor) -> None:
        """The cotangent `g` of an op's output gave a contribution to input number `i`, whose consumers so far sent `total`."""

    def walked(self, gradients: Mapping[Node, Tensor]) -> None:
        """The walk has ended with the gradients of those targets that the output depends on."""


class _Mode(threading.local):
    grad_enabled = True
    anomaly = False
    observer: Observer | None = None
    order = 0  # of the backward pass that runs with create_graph: see `engine.Op.order`


mode = _Mode()


class set_grad_enabled:
    """Add ops to the graph, or not, in this thread: from now on, or in a `with` block until its end. As in PyTorch."""

    def __init__(self, on: bool) -> None:
        self._before, mode.grad_enabled = mode.grad_enabled, on

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        mode.grad_enabled = self._before


def is_grad_enabled() -> bool:
    """Whether ops applied now are added to the graph."""
    return mode.grad_enabled


class _NoGrad:
    def __init__(self) -> None:
        self._blocks: list[set_grad_enabled] = []

    def __enter__(self) -> None:
        self._blocks.append(set_grad_enabled(False))

    def __exit__(self, *error: object) -> None:
        self._blocks.pop().__exit__(*error)

    def __call__(self, function: Function) -> Function:
        if not callable(function):
            raise TypeError(f"no_grad takes nothing, or the function that it decorates, not {function!r}")
        if isclass(function) or isgeneratorfunction(function) or iscoroutinefunction(function) or isasyncgenfunction(function):
            raise TypeError(
                f"no_grad decorates functions that end with their call; {function.__qualname__} is "
                f"{'a class' if isclass(function) else 'a generator or a coroutine'}: write `with mg.no_grad():` inside it"
            )

        @functools.wraps(function)
        def without_graph(*args: Any, **options: Any) -> Any:
            with set_grad_enabled(False):
                return function(*args, **options)

        return without_graph  # type: ignore[return-value]


@overload
def no_grad(function: None = None) -> _NoGrad: ...
@overload
def no_grad(function: Function) -> Function: ...
def no_grad(function: Any = None) -> Any:
    """Context or decorator, with or without parentheses, in which no graph is built: results do not require gradients.

    Raises TypeError for a generator function: most of it would run after the call, where graphs are built.
    """
    return _NoGrad() if function is None else _NoGrad()(function)


@contextlib.contextmanager
def detect_anomaly() -> Iterator[None]:
    """Context in which the first op, forward or backward, that gives a NaN or an infinity raises FloatingPointError."""
    before, mode.anomaly = mode.anomaly, True
    try:
        yield
    finally:
        mode.anomaly = before


def detects_anomaly() -> bool:
    """Whether `detect_anomaly` is on in this thread."""
    return mode.anomaly


@contextlib.contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Context in which the engine reports to an observer what it does in this thread."""
    before, mode.observer = mode.observer, observer
    try:
        yield
    finally:
        mode.observer = before
