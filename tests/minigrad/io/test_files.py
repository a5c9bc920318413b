"""Files are read whole and within a limit, replaced at once, and only if they are regular files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import FileError
from minigrad.io import files

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has neither named pipes nor, for most users, symbolic links")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def test_a_file_is_read_up_to_its_limit(path: Path) -> None:
    assert files.read(path) == files.read(path, 7) == b"content"
    with pytest.raises(FileError, match=r"^cannot read .*/file: it has 7 bytes, more than the 6 that can be right$"):
        files.read(path, 6)


@posix
@pytest.mark.parametrize("read", [files.read, lambda p: files.append(p, b"x", b""), lambda p: files.opened(p, "rb")])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda p: os.symlink("/dev/zero", p)], ids=["folder", "pipe", "device"])
def test_what_is_no_regular_file_is_refused_and_nothing_waits(make: Any, read: Any, tmp_path: Path) -> None:
    make(tmp_path / "strange")
    with pytest.raises((FileError, OSError)):
        read(tmp_path / "strange")


@posix
def test_a_link_is_followed_only_where_the_caller_says_so(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    assert files.read(link, follow=True) == b"content"
    for use in (lambda: files.read(link), lambda: files.append(link, b"x", b""), lambda: files.entries(link)):
        with pytest.raises(FileError, match="it is a symbolic link, which is not followed"):
            use()
    files.write_atomically(link, b"new")  # replaces the link
    assert (link.is_symlink(), path.read_bytes(), link.read_bytes()) == (False, b"content", b"new")


@posix
def test_weights_may_be_a_link_but_no_device(tmp_path: Path) -> None:
    mg.save(tmp_path / "blob", {"a": np.ones(2)})
    (tmp_path / "weights").symlink_to("blob")  # as in the cache of a model hub
    assert mg.load(tmp_path / "weights").keys() == {"a"}
    with pytest.raises(FileError, match="it is not a regular file"):
        mg.load("/dev/zero")


@posix
def test_a_pipe_behind_a_link_is_refused_where_links_are_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(FileError, match="it is not a regular file"):
        files.read(tmp_path / "link", follow=True)


def test_a_refused_file_is_closed(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(3):
        with pytest.raises(FileError):
            files.read(tmp_path)
    assert not before or len(os.listdir("/proc/self/fd")) == before


def test_appending_writes_the_heading_once(tmp_path: Path) -> None:
    for line in (b"1\n", b"2\n"):
        files.append(tmp_path / "table", line, heading=b"n\n")
    assert (tmp_path / "table").read_bytes() == b"n\n1\n2\n"


def test_entries_are_sorted_and_match_their_pattern(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", ".hidden", "c.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in files.entries(tmp_path, "*.png")] == ["a.png", "b.png"]
    assert len(files.entries(tmp_path)) == 4
    assert files.entries(tmp_path / "none") == []
    with pytest.raises(FileError, match="Not a directory"):
        files.entries(tmp_path / "c.txt")


def test_an_unfinished_file_has_a_name_by_which_it_is_found(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "weights") as file:
        file.write(b"x")
        assert len(files.entries(tmp_path, files.UNFINISHED)) == 1
    assert [p.name for p in files.entries(tmp_path)] == ["weights"]


# --- the folder's fsync


def sync_of_folders_raises(number: int) -> Callable[[int], None]:
    plain = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        plain(handle)

    return fsync


@posix
@pytest.mark.parametrize("number", sorted(files.NO_SYNC))
def test_a_system_that_cannot_flush_folders_writes_all_the_same(
    number: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", sync_of_folders_raises(number))
    files.write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


@posix
def test_a_folder_that_fails_to_be_flushed_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", sync_of_folders_raises(errno.EIO))
    with pytest.raises(FileError, match=rf"cannot write {path}: Input/output error"):
        files.write_atomically(path, b"new")
    assert os.listdir(path.parent) == [path.name]


# --- the lock


def test_a_second_lock_in_the_same_process_is_refused(path: Path) -> None:
    with files.opened(path, "ab") as first, files.opened(path, "ab") as second:
        files.lock(first)
        with pytest.raises(OSError) as caught:
            files.lock(second)
        assert caught.value.errno in files.HELD
    assert path.read_bytes() == b"content"


@posix
@pytest.mark.parametrize("mode", ["rb", "ab"])
def test_a_named_pipe_is_refused_with_the_same_reason_to_read_and_to_write(mode: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is not a regular file"):
        files.opened(tmp_path / "pipe", mode)
