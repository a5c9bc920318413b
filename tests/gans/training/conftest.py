"""Runs that nothing disturbed, and what disturbs the others."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gans.training.loop import Loop
from tests.gans.conftest import Train

POWER_CUT = "power cut"


def at_step(number: int, action: Callable[[], None]) -> Callable[..., Any]:
    """The loop's step that does something before call `number` (1 is the first)."""
    calls = []
    plain = Loop.guarded_step

    def step(self: Loop) -> Any:
        calls.append(self.step)
        if len(calls) == number:
            action()
        return plain(self)

    return step


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def cut_power() -> None:
    raise RuntimeError(POWER_CUT)


@pytest.fixture(scope="session")
def folder_of_whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole") / "run"


@pytest.fixture
def whole(train: Train, folder_of_whole: Path) -> Path:
    """The folder of a run of 3 epochs, 12 steps, that nothing disturbed; made once, for reading only."""
    if not folder_of_whole.exists():
        ended = train("--epochs", 3, "--out", folder_of_whole)
        assert ended.code == 0, ended.err
    return folder_of_whole
