"""A run only uses a folder that is empty or may be overwritten, only touches its own files, and locks the folder."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from gans.training.config import ConfigError
from gans.training.run_folder import RunFolder
from minigrad import FileError
from minigrad.io import files as io
from tests.gans.conftest import files
from tests.gans.training.conftest import METRICS, SETTINGS, failing, sentence

# --- free and taken folders


def test_nothing_is_touched_before_the_start(folder: RunFolder) -> None:
    folder.check_free(overwrite=False)
    assert not folder.holds_run()
    assert folder.sample_paths() == []
    assert not folder.path.exists()
    assert not folder.path.parent.exists()


def test_a_missing_or_empty_folder_is_free(folder: RunFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.check_free(overwrite=False)
    folder.start(SETTINGS)
    assert folder.settings() == SETTINGS


def test_a_folder_with_a_run_is_refused_unless_overwriting_is_asked_for(started: RunFolder) -> None:
    before = files(started.path)
    with pytest.raises(ConfigError) as caught:
        started.check_free(overwrite=False)
    assert all(word in sentence(caught.value) for word in (str(started.path), "--resume", "--out", "--overwrite"))
    started.check_free(overwrite=True)
    assert files(started.path) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_something_else_is_refused_even_for_overwriting(folder: RunFolder, overwrite: bool) -> None:
    folder.path.mkdir(parents=True)
    (folder.path / "thesis.txt").write_text("two years")
    with pytest.raises(ConfigError, match=r"contains other files than a run's.*--out"):
        folder.check_free(overwrite)


@pytest.mark.parametrize("content", ['{"model_type": "bert"}', "[]", "port: 80"])
def test_another_programs_config_json_is_not_taken_for_a_run_to_overwrite(folder: RunFolder, content: str) -> None:
    folder.path.mkdir(parents=True)
    folder.config.write_text(content)
    with pytest.raises((ConfigError, FileError)):
        folder.check_free(overwrite=True)


def test_overwriting_removes_the_files_of_the_old_run_and_no_others(started: RunFolder) -> None:
    started.save_checkpoint({"a": np.ones(2)}, 3, {"b": np.ones(2)})
    started.metrics.append(10, METRICS)
    started.save_samples(7, np.zeros((4, 4, 3), np.uint8))
    (started.samples / "mine.png").write_bytes(b"kept")
    (started.path / "notes.txt").write_text("kept")
    started.start({**SETTINGS, "new": 1})
    assert set(files(started.path)) == {"config.json", "notes.txt", "samples/mine.png"}
    assert started.settings()["new"] == 1


def test_after_a_start_that_failed_on_a_full_disk_the_folder_is_free_again(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.ENOSPC))
        with pytest.raises(FileError, match="No space left on device"), folder.locked():
            folder.start(SETTINGS)
    folder.check_free(overwrite=False)
    folder.start(SETTINGS)
    assert folder.holds_run()


@pytest.mark.parametrize("name", ["config.json", "checkpoint.safetensors", "generator.safetensors", "samples/step-000001.png"])
def test_files_have_the_permissions_of_the_users_umask(started: RunFolder, name: str) -> None:
    started.save_checkpoint({}, 1, {})
    started.save_samples(1, np.zeros((4, 4, 3), np.uint8))
    (started.path / "plain").touch()
    rights = [stat.S_IMODE((started.path / each).stat().st_mode) for each in (name, "plain")]
    assert oct(rights[0]) == oct(rights[1])


# --- folders that cannot be used


def test_a_file_in_place_of_the_folder_is_refused_and_kept(folder: RunFolder) -> None:
    folder.path.parent.mkdir()
    folder.path.write_text("kept")
    for use in (lambda: folder.check_free(False), lambda: folder.start(SETTINGS), folder.locked().__enter__):
        with pytest.raises(FileError, match=r"cannot use the folder .*(Not a directory|it is a file)") as caught:
            use()
        assert str(folder.path) in sentence(caught.value)
    assert folder.path.read_text() == "kept"


def test_a_file_in_place_of_the_parent_is_refused_and_kept(folder: RunFolder) -> None:
    folder.path.parent.write_text("kept")
    for use in (lambda: folder.check_free(False), lambda: folder.start(SETTINGS)):
        with pytest.raises(FileError, match="Not a directory"):
            use()
    assert folder.path.parent.read_text() == "kept"


def test_a_name_too_long_for_the_system_is_refused_in_one_sentence(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / ("x" * 300))
    for use in (lambda: folder.check_free(False), lambda: folder.start(SETTINGS), folder.locked().__enter__):
        with pytest.raises(FileError, match="name too long"):
            use()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_made_is_refused_with_the_systems_reason(
    folder: RunFolder, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "mkdir", failing(number))
    for use in (lambda: folder.start(SETTINGS), folder.locked().__enter__):
        with pytest.raises(FileError, match=os.strerror(number)) as caught:
            use()
        assert str(folder.path) in sentence(caught.value)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom the system refuses, not root")
def test_a_folder_without_the_right_to_write_is_refused(started: RunFolder) -> None:
    started.path.chmod(0o500)
    try:
        for write in (lambda: started.save_checkpoint({}, 1, {}), lambda: started.metrics.append(1, METRICS)):
            with pytest.raises(FileError, match="Permission denied"):
                write()
    finally:
        started.path.chmod(0o700)


# --- the lock

HOLDER = """
import sys
from pathlib import Path
from gans.training.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_by_another_process(folder: RunFolder) -> Iterator[subprocess.Popen[str]]:
    root = Path(sys.modules["gans"].__file__ or "").parents[1]
    command = [sys.executable, "-c", HOLDER, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield process
        finally:
            process.stdin.close()


def test_a_lock_of_another_process_is_respected_until_that_process_ends(started: RunFolder) -> None:
    with held_by_another_process(started) as other:
        with pytest.raises(ConfigError, match="another process") as caught, started.locked():
            pass
        assert str(started.path) in sentence(caught.value)
        other.kill()  # it cannot clean up
        other.wait()
        with started.locked():
            pass


def test_a_folder_is_free_after_its_lock_is_released(folder: RunFolder) -> None:
    with folder.locked():
        pass
    folder.check_free(overwrite=False)


def test_a_folder_with_the_lock_file_of_a_killed_process_is_free(folder: RunFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.lock.touch()
    folder.check_free(overwrite=False)


def test_two_processes_never_hold_the_lock_when_a_third_one_releases_it(
    started: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process opens the lock file, then its holder releases it, and a third process comes: only one may get it."""
    first = started.locked()
    first.__enter__()
    take = io.lock

    def late(file: IO[bytes]) -> None:
        monkeypatch.setattr(io, "lock", take)
        first.__exit__(None, None, None)  # between the opening and the locking of the second
        take(file)

    monkeypatch.setattr(io, "lock", late)
    with started.locked(), pytest.raises(ConfigError), RunFolder(started.path).locked():
        pass


def test_a_new_run_deletes_the_evaluation_of_the_old_one_and_no_other_file(started: RunFolder) -> None:
    (started.path / "evaluation").mkdir()
    (started.path / "evaluation" / "mine").mkdir()
    names = "evaluation.md", "evaluation.json", "evaluation.png", "evaluation/neighbours.png"
    written = [started.path / name for name in names]
    for path in (*written, started.path / "evaluation.txt"):
        path.write_text("old")
    started.start(SETTINGS)
    assert not any(path.exists() for path in written)
    assert (started.path / "evaluation.txt").exists() and (started.path / "evaluation" / "mine").exists()
