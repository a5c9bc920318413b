"""What each thread can switch on and off: whether graphs are built, and whether NaN and infinity are looked for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class _Mode(threading.local):
    grad_enabled = True
    anomaly = False
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


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Context (or decorator) in which no graph is built: results do not require gradients."""
    with set_grad_enabled(False):
        yield


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
