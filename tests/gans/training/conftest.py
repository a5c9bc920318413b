"""Runs that nothing disturbed, and what disturbs the others; folders without and with the start of a run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gans.training.loop import Loop
from gans.training.run_folder import RunFolder
from tests.gans.conftest import Train

POWER_CUT = "power cut"
SETTINGS = {"trainer": "mnist_gan", "config": {"seed": 0}}
METRICS = {"d_loss": 1.25, "g_loss": 0.5}


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


def sentence(error: BaseException) -> str:
    """What the error says, which has to be a single line."""
    text = str(error)
    assert text
    assert "\n" not in text
    return text


def failing(number: int) -> Callable[..., None]:
    """A call that the system refuses with this error."""

    def refuse(*arguments: object, **_: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Not there yet, nor is its parent."""
    return RunFolder(tmp_path / "runs" / "one")


@pytest.fixture
def started(folder: RunFolder) -> RunFolder:
    """With the settings of a run in it."""
    folder.start(SETTINGS)
    return folder


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
