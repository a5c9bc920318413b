"""Running compiled loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad import program
from minigrad.program import POOL


def launch(kernel: Callable[..., None], *args: Any) -> None:
    """Run a compiled loop, which is given arrays to write to, and record it where a step is recorded."""
    recording = program.here()
    with POOL:
        if recording is None:
            kernel(*args)
        else:
            recording.call(kernel, *args)
