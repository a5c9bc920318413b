"""Running compiled loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad.recorder import POOL, here


def launch(kernel: Callable[..., None], *args: Any) -> None:
    """Run a compiled loop, which is given arrays to write to, and record it where a step is recorded."""
    program = here()
    with POOL:
        if program is None:
            kernel(*args)
        else:
            program.call(kernel, *args)
