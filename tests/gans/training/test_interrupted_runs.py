"""An interrupted and resumed run is bit-identical to an uninterrupted one. An epoch has 4 steps."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gans import command
from gans.training import latent as base
from gans.training import schedule
from gans.training.loop import Loop
from tests.gans.conftest import Start, Train, checkpoint_step, files, state
from tests.gans.training.conftest import PowerCut, at_step, cut_power, interrupt

pytestmark = pytest.mark.usefixtures("plots_stubbed")


@pytest.mark.parametrize("stops", [[1], [3], [4], [5], [8], [10], [11], [2, 5, 9]], ids=str)
def test_a_run_in_pieces_equals_a_whole_one(stops: list[int], train: Train, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pieces"
    assert train("--epochs", 3, "--steps", stops[0], "--out", folder).code == 0
    for stop in [*stops[1:], 12]:
        ended = train("--resume", "--steps", stop, "--out", folder)
        assert ended.code == 0, ended.err
        assert checkpoint_step(folder) == stop
    assert state(folder) == state(whole)


def test_more_epochs_continue_a_finished_run(train: Train, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pieces"
    train("--epochs", 1, "--out", folder)
    assert train("--resume", "--epochs", 3, "--out", folder).code == 0
    assert state(folder) == state(whole)


@pytest.mark.parametrize("step", [1, 2, 4, 5, 8, 10, 11])
def test_ctrl_c_finishes_the_step_and_the_printed_command_resumes(
    step: int, train: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "guarded_step", at_step(step, interrupt))
        ended = train("--epochs", 3, "--out", folder)
    assert ended.code == 130
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert checkpoint_step(folder) == step
    assert (folder / "samples" / f"step-{step:06d}.png").exists(), "what the user interrupted can be seen"
    last = ended.out.rstrip().splitlines()[-1]
    assert last.startswith("Interrupted and saved. To resume: python -m gans.mnist_gan ")
    words = shlex.split(last.partition("gans.mnist_gan ")[2])
    assert train(*words).code == 0
    assert state(folder) == state(whole)


def test_the_printed_command_quotes_a_folder_with_a_space(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "guarded_step", at_step(6, interrupt))
        ended = train("--epochs", 3, "--out", tmp_path / "a run")
    words = shlex.split(ended.out.rstrip().splitlines()[-1].partition("gans.mnist_gan ")[2])
    assert words[words.index("--out") + 1] == str(tmp_path / "a run")


@pytest.mark.parametrize("longer", [["--epochs", "3"], ["--steps", "12", "--epochs", "3"]], ids=["epochs", "steps"])
def test_the_printed_command_keeps_the_last_step_given_when_resuming(
    longer: list[str], train: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    train("--epochs", 1, *(["--steps", "2"] if "--steps" in longer else []), "--out", folder)
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "guarded_step", at_step(2, interrupt))
        ended = train("--resume", *longer, "--out", folder)
    assert ended.code == 130
    stopped = checkpoint_step(folder)
    words = shlex.split(ended.out.rstrip().splitlines()[-1].partition("gans.mnist_gan ")[2])
    train(*words)
    assert stopped < 12
    assert checkpoint_step(folder) == 12
    assert state(folder) == state(whole)


@pytest.mark.parametrize("step", [2, 7, 11])
def test_after_a_power_cut_a_run_is_resumed_from_its_last_epoch(
    step: int, train: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "guarded_step", at_step(step, cut_power))
        with pytest.raises(PowerCut):
            train("--epochs", 3, "--out", folder)
    if step < 4:  # before the first checkpoint
        assert "no checkpoint" in train("--resume", "--out", folder).complaint
        assert train("--overwrite", "--epochs", 3, "--out", folder).code == 0
    else:
        assert checkpoint_step(folder) == (step - 1) // 4 * 4
        assert train("--resume", "--out", folder).code == 0
    assert state(folder) == state(whole)


@pytest.mark.parametrize("when", ["3steps", "2epochs,3steps"])
def test_after_a_power_cut_within_an_epoch_a_run_is_resumed_from_the_last_checkpoint_that_was_asked_for(
    when: str, train: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "guarded_step", at_step(8, cut_power))
        with pytest.raises(PowerCut):
            train("--epochs", 3, "--save-every", when, "--out", folder)
    assert checkpoint_step(folder) == 6
    assert train("--resume", "--out", folder).code == 0
    assert state(folder) == state(whole)


def test_a_long_epoch_is_saved_every_five_minutes(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now = 0.0

        @classmethod
        def monotonic(cls) -> float:
            return cls.now

    saved, plain = [], Loop.guarded_step

    def step(self: Loop) -> Any:
        Clock.now += 100  # seconds for one step
        saved.append(self.saved_step)
        return plain(self)

    monkeypatch.setattr(schedule, "time", Clock)
    monkeypatch.setattr(Loop, "guarded_step", step)
    train("--batch-size", 1, "--steps", 8, "--out", tmp_path / "run")  # an epoch has 72
    assert saved == [-1, -1, -1, 3, 3, 3, 6, 6]


@pytest.mark.parametrize(
    ("how", "stop"), [("ctrl-c", 3), ("ctrl-c", 4), ("ctrl-c", 10), ("ctrl-c", 11), ("power cut", 7), ("power cut", 11)]
)
def test_metrics_of_an_interrupted_run_equal_those_of_a_whole_one(
    how: str, stop: int, train: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "guarded_step", at_step(stop, interrupt if how == "ctrl-c" else cut_power))
        with pytest.raises(PowerCut) if how == "power cut" else contextlib.nullcontext():
            train("--epochs", 3, "--out", folder)
    assert train("--resume", "--out", folder).code == 0
    assert (folder / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process alone")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_a_signal_in_the_middle_of_training_loses_nothing(
    name: str, start: Start, train: Train, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = getattr(signal, name)
    monkeypatch.setattr(base, "SAMPLES", 64)  # as in the other process
    folder, endless = tmp_path / "run", ("--epochs", 100_000, "--sample-every", 5)
    process = start("gans.mnist_gan", "--data", digits, "--batch-size", 16, *endless, "--out", folder)
    deadline = time.monotonic() + 60
    while not (folder / "checkpoint.safetensors").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), err
    assert "Traceback" not in err
    assert ("--resume" in out) == (number != signal.SIGKILL)
    stopped = checkpoint_step(folder)
    assert stopped >= 4
    assert train("--resume", "--steps", stopped + 6, "--out", folder).code == 0
    assert train(*endless, "--steps", stopped + 6, "--out", tmp_path / "whole").code == 0
    assert state(folder) == state(tmp_path / "whole")


def test_a_second_ctrl_c_stops_at_once_and_keeps_the_last_checkpoint(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice() -> None:
        before.update(files(folder))
        interrupt()
        command.current.signalled -= command.REPEATED  # time passes
        interrupt()

    folder, before = tmp_path / "run", dict[str, bytes]()
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "guarded_step", at_step(7, twice))
        ended = train("--epochs", 3, "--out", folder)
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert {name: a for name, a in files(folder).items() if name != ".lock"} == {
        name: a for name, a in before.items() if name != ".lock"
    }
    assert checkpoint_step(folder) == 4
    assert train("--resume", "--out", folder).code == 0, "the lock is free again"


def test_ctrl_c_before_the_first_step_saves_the_start(
    train: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Loop.sample

    def interrupted(training: Loop) -> None:
        interrupt()
        plain(training)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "sample", interrupted)
        ended = train("--epochs", 3, "--out", tmp_path / "run")
    assert ended.code == 130
    assert "Interrupted and saved" in ended.out
    assert checkpoint_step(tmp_path / "run") == 0
    assert train("--resume", "--out", tmp_path / "run").code == 0
    assert state(tmp_path / "run") == state(whole)
