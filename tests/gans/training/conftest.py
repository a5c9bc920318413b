"""Fixtures: uninterrupted runs, interruptions, and folders with and without a started run."""

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

SETTINGS = {
    "trainer": "mnist_gan",
    "config": {"seed": 0},
    "data": {"source": "drawn", "images": 72, "hash": "0123456789abcdef"},
    "samples": "fixed noise",
    "minigrad": "1.0",
}
METRICS = {"d_loss": 1.25, "g_loss": 0.5}


def at_step(number: int, action: Callable[[], None]) -> Callable[..., Any]:
    """A replacement for the loop's step that does something before call `number`; 1 is the first."""
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


class PowerCut(BaseException):
    """The process ends without another word."""


def cut_power() -> None:
    raise PowerCut


def sentence(error: BaseException) -> str:
    """The message of an error, which must be a single line."""
    text = str(error)
    assert text
    assert "\n" not in text
    return text


def failing(number: int) -> Callable[..., None]:
    """A function that raises the OSError with this number."""

    def refuse(*arguments: object, **_: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A folder that does not exist yet, in a parent that does not exist either."""
    return RunFolder(tmp_path / "runs" / "one")


@pytest.fixture
def started(folder: RunFolder) -> RunFolder:
    """A folder with the settings of a run."""
    folder.start(SETTINGS)
    return folder


@pytest.fixture(scope="session")
def folder_of_whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole") / "run"


@pytest.fixture
def whole(train: Train, folder_of_whole: Path) -> Path:
    """The folder of an uninterrupted run of 3 epochs, 12 steps. Made once; do not change it."""
    if not folder_of_whole.exists():
        ended = train("--epochs", 3, "--out", folder_of_whole)
        assert ended.code == 0, ended.err
    return folder_of_whole
