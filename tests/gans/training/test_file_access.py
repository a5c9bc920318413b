"""Only minigrad.io.files touches a run folder, and it follows no link, waits for no pipe, and truncates no file."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from gans.data.errors import DataError
from gans.data.idx import write_idx
from gans.output import save_image
from gans.training.config import ConfigError
from gans.training.images import save_gif
from gans.training.run_folder import RunFolder
from minigrad import FileError
from minigrad.io import files as io
from tests.gans.conftest import ROOT, Train, files
from tests.gans.training.conftest import METRICS, SETTINGS, failing, sentence

# --- everything goes through one module

LISTENER = """
import json, os, sys
import gans.generate, gans.mnist_gan
from gans.training.cli import main
from minigrad.io import files

folder, data = sys.argv[1:]
seen, past = {}, []

def listen(event, arguments):
    names = [os.fsdecode(a) for a in arguments if isinstance(a, (str, bytes, os.PathLike))]
    if any(name.startswith(folder) for name in names):
        frame, through = sys._getframe(), False
        while frame := frame.f_back:
            through = through or frame.f_code.co_filename == files.__file__
        seen[event] = seen.get(event, 0) + 1
        if not through:
            past.append((event, names))

sys.addaudithook(listen)
fresh = ["--data", data, "--batch-size", "16", "--epochs", "1", "--out", folder]
for flags in fresh, ["--resume", "--epochs", "2", "--out", folder], [*fresh, "--overwrite"]:
    main(gans.mnist_gan.MnistGAN, flags)
gans.generate.main([folder, "--count", "4"])
print(json.dumps([seen, past]))
"""


def test_every_access_to_a_run_folder_comes_from_one_module(digits: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LISTENER, str(tmp_path / "run"), str(digits)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    seen, past = json.loads(done.stdout.splitlines()[-1])
    assert past == []
    assert seen["open"] > 40
    assert {"os.mkdir", "os.remove", "os.rename"} < seen.keys()


# --- what is no regular file

USES: dict[str, Callable[[RunFolder], Any]] = {
    ".lock": lambda f: f.locked().__enter__(),
    "config.json": lambda f: f.settings(),
    "checkpoint.safetensors": lambda f: f.load_checkpoint({}),
    "generator.safetensors": lambda f: f.load_weights({}),
    "metrics.csv": lambda f: f.metrics.append(10, METRICS),
    "metrics.csv when resuming": lambda f: f.metrics.cut(10),
    "samples": lambda f: f.locked().__enter__(),
    "checkpoints": lambda f: f.locked().__enter__(),
    "checkpoints when keeping": lambda f: f.keep_checkpoint({}, 10),
    "samples when starting": lambda f: f.start(SETTINGS),
}


def link_to_file(path: Path) -> None:
    path.symlink_to(path.parent.parent / "precious")


def link_to_folder(path: Path) -> None:
    path.symlink_to(path.parent.parent / "precious-folder")


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


STRANGE = [link_to_file, link_to_folder, endless, os.mkdir, os.mkfifo] if os.name == "posix" else [os.mkdir]


@pytest.mark.parametrize("make", STRANGE, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", USES)
def test_what_is_no_regular_file_is_refused_in_one_sentence(name: str, make: Any, started: RunFolder) -> None:
    precious = started.path.parent / "precious"
    precious.write_text("two years")
    folder = started.path.parent / "precious-folder"
    folder.mkdir()
    for kept in ("epoch-0001.png", ".epoch-0001.png.01234567.part"):
        (folder / kept).write_text("two years")
    path = started.path / name.split()[0]
    if path.suffix == "" and path.name != ".lock":  # a folder
        if make is os.mkdir:
            return
        if path.exists():
            path.rmdir()
    path.unlink(missing_ok=True)
    make(path)
    with pytest.raises(FileError) as caught:
        USES[name](started)
    assert str(path) in sentence(caught.value)
    assert precious.read_text() == "two years"
    assert len(files(folder)) == 2


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(path))  # the path of a socket must be short


PIXELS = np.zeros((4, 4, 3), np.uint8)
WRITERS: dict[str, Callable[[Path], Any]] = {
    "a.safetensors": lambda path: mg.save(path, {"a": np.zeros(2)}),
    "a.png": lambda path: save_image(path, PIXELS),
    "a.gif": lambda path: save_gif(path, [PIXELS]),
    "a.jpg": lambda path: save_image(path, PIXELS),
    "a.idx": lambda path: write_idx(path, PIXELS),
    "a.svg": lambda path: mg.draw(mg.Tensor([1.0], requires_grad=True) * 2).save(path),
}


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, bind] if os.name == "posix" else [os.mkdir], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", WRITERS)
def test_no_output_replaces_what_is_no_regular_file(
    name: str, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / name)
    before = (tmp_path / name).lstat()
    with pytest.raises((FileError, DataError), match="not a regular file") as caught:
        WRITERS[name](tmp_path / name)
    assert str(tmp_path / name) in sentence(caught.value)
    assert (tmp_path / name).lstat().st_ino == before.st_ino
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links")
@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_a_lock_that_is_a_link_empties_no_file(link: Any, started: RunFolder) -> None:
    precious = started.path.parent / "precious"
    precious.write_text("two years")
    link(precious, started.lock)
    try:
        with started.locked():
            pass
    except FileError as error:
        sentence(error)
    assert precious.read_text() == "two years"


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links")
def test_the_run_folder_itself_may_be_a_link(train: Train, tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "large disk")
    assert train("--steps", 2, "--out", tmp_path / "run").code == 0
    assert train("--steps", 3, "--resume", "--out", tmp_path / "run").code == 0
    assert (tmp_path / "large disk" / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("use", [RunFolder.settings, lambda f: f.load_checkpoint({}), lambda f: f.metrics.read()])
def test_a_file_of_ten_gigabytes_is_refused_without_reading_it(use: Any, started: RunFolder) -> None:
    for path in (started.config, started.checkpoint, started.metrics.path):
        with path.open("wb") as file:
            file.truncate(10**10)
    with pytest.raises(FileError, match="10,000,000,000 bytes, more than"):
        use(started)


# --- locks


@pytest.mark.parametrize("number", sorted(io.NO_LOCKS))
def test_without_locks_a_run_goes_on_and_says_so(
    number: int, folder: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(io, "lock", failing(number))
    with folder.locked():
        folder.start(SETTINGS)
    assert capsys.readouterr().err == f"{folder.path} has a file system without locks: start only one process there\n"


def test_a_lock_that_another_process_holds_is_told_from_an_error(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in sorted(io.HELD):
        monkeypatch.setattr(io, "lock", failing(number))
        with pytest.raises(ConfigError, match="another process is writing"), folder.locked():
            pass
    for number in (errno.EIO, errno.EINVAL, errno.EBADF):
        monkeypatch.setattr(io, "lock", failing(number))
        with pytest.raises(FileError, match=rf"\.lock: {os.strerror(number)}"), folder.locked():
            pass


# --- leftovers


def test_leftovers_of_a_killed_process_are_deleted_under_the_lock_and_nothing_else_is(started: RunFolder) -> None:
    (started.path / ".checkpoint.safetensors.0123abcd.part").touch()
    (started.samples / ".epoch-0001.png.0123abcd.part").touch()
    (started.path / "mine.part").touch()
    (started.path / ".hidden").touch()
    with started.locked():
        assert set(files(started.path)) == {".hidden", ".lock", "config.json", "mine.part"}


def test_a_folder_whose_process_was_killed_at_its_first_file_is_free(folder: RunFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.lock.touch()
    (folder.path / ".config.json.0123abcd.part").touch()
    folder.check_free(overwrite=False)
