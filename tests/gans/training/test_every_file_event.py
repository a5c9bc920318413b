"""A run that is killed, or meets an error of the disk, at any event by which it changes its files can go on.

By default a sample of the events; `pytest -m long` takes every one of them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_trainers import dense_discriminator, dense_generator

from gans.mnist_gan import MnistGAN
from tests.gans.conftest import ROOT, Train, checkpoint_step, files
from tests.gans.training.disk import Disk, Killed

pytestmark = [
    pytest.mark.usefixtures("plots_stubbed", "tiny"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the names of open files from /proc"),
]
RUN = "--epochs", 3, "--no-capture"  # 12 steps, with a full row of metrics.csv and a partial one
MOST_EVENTS = 110  # of such a run, with room for some more
EVERY = pytest.param(range(MOST_EVENTS), marks=pytest.mark.long, id="every")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks with 16 hidden units."""
    monkeypatch.setattr(MnistGAN, "make_generator", dense_generator)
    monkeypatch.setattr(MnistGAN, "make_discriminator", dense_discriminator)


@pytest.fixture
def whole(train: Train, tmp_path: Path) -> dict[str, bytes]:
    """The files of a run that nothing disturbs."""
    with Disk(tmp_path / "whole").in_use() as disk:
        assert train(*RUN, "--out", tmp_path / "whole").code == 0
    assert 60 < len(disk.log) < MOST_EVENTS, disk.log
    return files(tmp_path / "whole")


def folders(tmp_path: Path, numbers: range) -> Iterator[tuple[int, Path]]:
    for number in numbers:
        yield number, tmp_path / f"event-{number}"


def without_paths(kept: dict[str, bytes]) -> dict[str, bytes]:
    """The files that must be those of an undisturbed run: all but config.json, whose --out differs, and the stub."""
    return {name: content for name, content in kept.items() if name != "losses.png"}


def go_on(train: Train, folder: Path, overwrite: bool) -> None:
    """Finish the run as the program says it can be finished."""
    if (folder / "checkpoint.safetensors").exists() and not overwrite:
        ended = train("--resume", "--no-capture", "--out", folder)
    else:
        ended = train(*RUN, "--out", folder, *(["--overwrite"] if (folder / "config.json").exists() else []))
    assert ended.code == 0, ended.err


@pytest.mark.parametrize("numbers", [pytest.param(range(0, MOST_EVENTS, 11), id="some"), EVERY])
def test_after_a_kill_at_a_file_event_the_run_goes_on_to_the_same_files(
    numbers: range, train: Train, whole: dict[str, bytes], tmp_path: Path
) -> None:
    for number, folder in folders(tmp_path, numbers):
        with Disk(folder, number, Killed()).in_use() as disk:
            try:
                train(*RUN, "--out", folder)
            except Killed:
                pass
            else:
                assert number >= len(disk.log)
        go_on(train, folder, overwrite=number % 3 == 0)
        assert without_paths(files(folder)) == without_paths(whole), disk.log[number:]


@pytest.mark.parametrize("numbers", [pytest.param(range(3, MOST_EVENTS, 13), id="some"), EVERY])
def test_after_a_kill_while_resuming_or_overwriting_the_run_goes_on_to_the_same_files(
    numbers: range, train: Train, whole: dict[str, bytes], tmp_path: Path
) -> None:
    for number, folder in folders(tmp_path, numbers):
        again = ["--resume", "--no-capture"] if number % 2 else [*RUN, "--overwrite"]
        train(*RUN, "--steps", 6, "--out", folder)
        with Disk(folder, number // 2, Killed()).in_use() as disk, contextlib.suppress(Killed):
            train(*again, *(["--steps", 12] if number % 2 else []), "--out", folder)
        if (folder / "checkpoint.safetensors").exists():
            assert train("--resume", "--no-capture", "--steps", 12, "--out", folder).code == 0
        else:
            go_on(train, folder, overwrite=True)
        left, right = without_paths(files(folder)), without_paths(whole)
        del left["config.json"], right["config.json"]  # one has steps
        assert left == right, disk.log[number // 2 :]


KILL = """
import os, signal, sys
from unittest import mock
import gans.mnist_gan
from gans.training.cli import main
from tiny_trainers import dense_discriminator, dense_generator

number, folder, *argv = sys.argv[1:]
left = int(number)

def listen(event, arguments):
    global left
    if event in ("open", "os.mkdir", "os.rename", "os.remove") and str(arguments[0]).startswith(folder):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

gan = gans.mnist_gan.MnistGAN
gan.make_generator, gan.make_discriminator = dense_generator, dense_discriminator
sys.addaudithook(listen)
with mock.patch("gans.training.latent.SAMPLES", 4):
    main(gan, argv)
"""


@pytest.mark.long
@pytest.mark.parametrize("number", range(0, 60, 5))
def test_after_sigkill_at_a_file_event_the_run_goes_on_to_the_same_files(
    number: int, train: Train, whole: dict[str, bytes], digits: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-c", KILL, str(number), str(folder), *RUN, "--data", str(digits), "--batch-size", "16"]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "capture")])
    done = subprocess.run(
        [*map(str, command), "--out", folder], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    go_on(train, folder, overwrite=False)
    assert without_paths(files(folder)) == without_paths(whole)


NUMBERS = errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT


@pytest.mark.parametrize("numbers", [pytest.param(range(2, MOST_EVENTS, 11), id="some"), EVERY])
def test_a_disk_that_fails_at_an_event_gives_one_sentence_and_keeps_the_checkpoint(
    numbers: range, train: Train, whole: dict[str, bytes], tmp_path: Path
) -> None:
    for number, folder in folders(tmp_path, numbers):
        reason = NUMBERS[number % len(NUMBERS)]
        with Disk(folder, number, OSError(reason, os.strerror(reason))).in_use() as disk:
            ended = train(*RUN, "--out", folder)
        failed = number < len(disk.log)
        assert os.strerror(reason) in ended.err or not failed, disk.log[number:]
        if not any("training.gif" in name for _, name in disk.log[number - 1 : number + 1]):  # which may fail alone
            assert ended.code == (1 if failed else 0), (ended.err, disk.log[number:])
        if ended.code:
            assert os.strerror(reason) in ended.complaint
            assert not [name for name in files(folder) if name.endswith(".part")], disk.log[number]
        done = sum(event == ("replace", "checkpoint.safetensors") for event in disk.log)
        if (folder / "checkpoint.safetensors").exists():
            assert checkpoint_step(folder) in (4 * done, 4 * done - 4)
        go_on(train, folder, overwrite=False)
        assert without_paths(files(folder)) == without_paths(whole), disk.log[number:]
