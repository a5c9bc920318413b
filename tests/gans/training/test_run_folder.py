from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from gans.training import run_folder
from gans.training.config import ConfigError
from gans.training.run_folder import RunFolder
from minigrad import FileError

SETTINGS = {"trainer": "mnist_gan", "config": {"seed": 0}}
METRICS = {"d_loss": 1.25, "g_loss": 0.5}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "runs" / "one")


@pytest.fixture
def started(folder: RunFolder) -> RunFolder:
    folder.start(SETTINGS)
    return folder


def contents(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def sentence(error: BaseException) -> str:
    text = str(error)
    assert text
    assert "\n" not in text
    return text


def failing(number: int) -> Callable[..., None]:
    def refuse(*arguments: object, **_: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


# --- whose folder it is


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
    before = contents(started.path)
    with pytest.raises(ConfigError) as caught:
        started.check_free(overwrite=False)
    assert all(word in sentence(caught.value) for word in (str(started.path), "--resume", "--out", "--overwrite"))
    started.check_free(overwrite=True)
    assert contents(started.path) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_something_else_is_refused_even_for_overwriting(folder: RunFolder, overwrite: bool) -> None:
    folder.path.mkdir(parents=True)
    (folder.path / "thesis.txt").write_text("two years")
    with pytest.raises(ConfigError, match=r"neither empty nor a run's folder.*--out"):
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
    assert set(contents(started.path)) == {"config.json", "notes.txt", "samples/mine.png"}
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


@pytest.mark.parametrize("name", ["config.json", "checkpoint.safetensors", "generator.safetensors", "samples/epoch-0001.png"])
def test_files_have_the_rights_that_the_users_umask_gives(started: RunFolder, name: str) -> None:
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
        with pytest.raises(FileError, match=r"cannot use the folder .*(Not a directory|File exists)") as caught:
            use()
        assert str(folder.path) in sentence(caught.value)
    assert folder.path.read_text() == "kept"


def test_a_file_in_place_of_the_parent_is_refused_and_kept(folder: RunFolder) -> None:
    folder.path.parent.write_text("kept")
    folder.check_free(False)
    with pytest.raises(FileError, match="Not a directory"):
        folder.start(SETTINGS)
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


# --- writing: all or nothing

WRITERS = {
    "checkpoint": lambda f: f.save_checkpoint({"a": np.zeros(3)}, 2, {"b": np.zeros(3)}),
    "config": lambda f: f.start({**SETTINGS, "new": 1}),
    "samples": lambda f: f.save_samples(1, np.zeros((4, 4, 3), np.uint8)),
    "overview": lambda f: f.save_overview({}),
    "cut": lambda f: f.metrics.cut(10),
}


@contextmanager
def full_disk(patch: pytest.MonkeyPatch, stage: str) -> Iterator[None]:
    with patch.context() as p:
        if stage == "create":
            plain = Path.open
            p.setattr(
                Path, "open", lambda path, mode="r", *more: (failing(errno.ENOSPC) if "x" in mode else plain)(path, mode, *more)
            )
        elif stage == "sync":
            p.setattr(os, "fsync", failing(errno.ENOSPC))
        else:
            p.setattr(os, "replace", failing(errno.ENOSPC))
        yield


@pytest.mark.parametrize("stage", ["create", "sync", "rename"])
@pytest.mark.parametrize("writer", ["checkpoint", "samples", "overview", "cut"])
def test_a_full_disk_leaves_what_was_there_and_nothing_half_written(
    started: RunFolder, writer: str, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "plot_curves", lambda path, *_: None)
    started.save_checkpoint({"a": np.ones(3)}, 1, {"b": np.ones(3)})
    started.metrics.append(10, METRICS)
    started.metrics.append(20, METRICS)
    started.save_samples(1, np.ones((4, 4, 3), np.uint8))
    before = contents(started.path)
    with full_disk(monkeypatch, stage), pytest.raises(FileError, match="No space left on device") as caught:
        WRITERS[writer](started)
    assert str(started.path) in sentence(caught.value)
    assert contents(started.path) == before
    WRITERS[writer](started)  # and once there is room, it works
    assert contents(started.path) != before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux' device that is always full")
def test_a_full_disk_under_the_metrics_is_told_in_one_sentence(started: RunFolder) -> None:
    started.metrics.path.symlink_to("/dev/full")
    with pytest.raises(FileError, match=r"metrics\.csv.*No space left") as caught:
        started.metrics.append(10, METRICS)
    sentence(caught.value)


def test_a_crash_between_the_two_files_of_a_checkpoint_keeps_both_readable(
    started: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    started.save_checkpoint({"a": np.ones(3)}, 1, {"b": np.ones(3)})
    calls: list[object] = []
    rename = os.replace

    def second_time_fails(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        rename(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", second_time_fails)
    with pytest.raises(KeyboardInterrupt):
        started.save_checkpoint({"a": np.zeros(3)}, 2, {"b": np.zeros(3)})
    arrays, step = started.load_checkpoint()
    assert step == 1 + (not arrays["a"].any())
    assert mg.load(started.generator).keys() == {"b"}
    assert sorted(p.name for p in started.path.iterdir() if p.is_file()) == [
        "checkpoint.safetensors", "config.json", "generator.safetensors",
    ]  # fmt: skip


# --- damaged files


def small_checkpoint(folder: RunFolder) -> bytes:
    folder.save_checkpoint({"w": np.arange(3.0), "n": np.array(4)}, 12, {})
    return folder.checkpoint.read_bytes()


def test_a_checkpoint_comes_back_as_it_was(started: RunFolder) -> None:
    small_checkpoint(started)
    arrays, step = started.load_checkpoint()
    assert step == 12
    assert arrays.keys() == {"w", "n"}
    np.testing.assert_array_equal(arrays["w"], np.arange(3.0))
    assert arrays["n"].shape == ()
    assert arrays["n"] == 4


def test_a_checkpoint_cut_at_any_byte_is_refused_in_one_sentence_and_kept(started: RunFolder) -> None:
    whole = small_checkpoint(started)
    for length in range(len(whole)):
        started.checkpoint.write_bytes(whole[:length])
        with pytest.raises(FileError) as caught:
            started.load_checkpoint()
        assert str(started.checkpoint) in sentence(caught.value), length
        assert started.checkpoint.read_bytes() == whole[:length]


def test_a_checkpoint_with_bytes_appended_is_refused(started: RunFolder) -> None:
    started.checkpoint.write_bytes(small_checkpoint(started) + b"\0")
    with pytest.raises(FileError):
        started.load_checkpoint()


def test_a_checkpoint_with_any_byte_of_its_header_destroyed_is_refused_or_still_a_checkpoint(started: RunFolder) -> None:
    whole = small_checkpoint(started)
    header = 8 + int.from_bytes(whole[:8], "little")
    for i in range(header):
        for byte in (0, 0xFF, whole[i] ^ 1):
            started.checkpoint.write_bytes(whole[:i] + bytes([byte]) + whole[i + 1 :])
            try:
                arrays, step = started.load_checkpoint()
            except FileError as error:
                sentence(error)
            else:
                assert isinstance(step, int)
                assert len(arrays) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        b"PK\x03\x04" + b"x" * 50,
        b"rubbish",
        np.random.default_rng(0).bytes(200),
        b"\xff" * 8 + b"{}",
        b"<!doctype html>" * 9,
    ],
    ids=["empty", "zeros", "a zip file", "text", "noise", "absurd length", "a web page"],
)
def test_a_checkpoint_of_rubbish_is_refused_in_one_sentence(started: RunFolder, content: bytes) -> None:
    started.checkpoint.write_bytes(content)
    with pytest.raises(FileError) as caught:
        started.load_checkpoint()
    assert str(started.checkpoint) in sentence(caught.value)


@pytest.mark.parametrize(
    "metadata", [None, {}, {"format": "pt"}, {"step": ""}, {"step": "twelve"}, {"step": "1.5"}, {"step": "-4"}]
)
def test_another_programs_safetensors_is_not_a_checkpoint(started: RunFolder, metadata: dict[str, str] | None) -> None:
    mg.save(started.checkpoint, {"w": np.ones(2)}, metadata)
    with pytest.raises(FileError, match="damaged or another program's") as caught:
        started.load_checkpoint()
    sentence(caught.value)


def test_a_folder_in_place_of_the_checkpoint_is_refused(started: RunFolder) -> None:
    started.checkpoint.mkdir()
    with pytest.raises(FileError, match="Is a directory"):
        started.load_checkpoint()


def test_without_a_checkpoint_the_sentence_says_what_to_do(started: RunFolder) -> None:
    with pytest.raises(ConfigError, match=r"no checkpoint.*--overwrite"):
        started.load_checkpoint()


def test_settings_of_a_folder_without_a_run_are_refused(folder: RunFolder) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        folder.settings()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"3", b'"text"', b"{}", b'{"trainer": 3}', b"\xff\xfe\0", b'{"trainer": "mnist_gan"}',
     b'{"trainer": "mnist_gan", "config": []}', b'{"trainer": "mnist_gan", "config": null}'],
)  # fmt: skip
def test_damaged_settings_are_refused_in_one_sentence(started: RunFolder, content: bytes) -> None:
    started.config.write_bytes(content)
    with pytest.raises(FileError, match="damaged") as caught:
        started.settings()
    assert str(started.config) in sentence(caught.value)
    assert started.config.read_bytes() == content


def test_settings_cut_at_any_byte_are_refused(started: RunFolder) -> None:
    whole = started.config.read_bytes().rstrip()
    for length in range(len(whole)):
        started.config.write_bytes(whole[:length])
        with pytest.raises(FileError):
            started.settings()


# --- metrics


def test_metrics_come_back_in_order(started: RunFolder) -> None:
    for step in (10, 20, 25):
        started.metrics.append(step, {"d_loss": step / 4, "g_loss": 0.1})
    steps, curves = started.metrics.read()
    assert steps.tolist() == [10, 20, 25]
    assert {name: values.tolist() for name, values in curves.items()} == {"d_loss": [2.5, 5, 6.25], "g_loss": [0.1] * 3}
    assert started.metrics.path.read_bytes().splitlines()[0] == b"step,d_loss,g_loss"


def test_cutting_forgets_the_rows_beyond_a_step_and_later_rows_follow_on(started: RunFolder) -> None:
    for step in (10, 20, 30):
        started.metrics.append(step, METRICS)
    whole = started.metrics.path.read_bytes()
    started.metrics.cut(20)
    assert started.metrics.read()[0].tolist() == [10, 20]
    started.metrics.append(30, METRICS)
    assert started.metrics.path.read_bytes() == whole


def test_cutting_forgets_a_row_of_fewer_steps_that_an_interrupted_run_has_left(started: RunFolder) -> None:
    for step in (10, 20, 25):
        started.metrics.append(step, METRICS)
    started.metrics.cut(25)
    assert started.metrics.read()[0].tolist() == [10, 20]


def test_without_rows_there_are_no_curves(started: RunFolder) -> None:
    steps, curves = started.metrics.read()
    assert len(steps) == 0
    assert curves == {}
    started.metrics.cut(0)
    started.save_overview({})
    assert not started.losses.exists()
    assert not started.gif.exists()


def test_when_cutting_leaves_the_header_alone_there_are_no_curves(started: RunFolder) -> None:
    started.metrics.append(10, METRICS)
    started.metrics.cut(5)
    assert started.metrics.path.read_bytes().splitlines() == [b"step,d_loss,g_loss"]
    steps, _ = started.metrics.read()
    assert len(steps) == 0
    started.save_overview({})
    assert not started.losses.exists()


def test_a_last_line_cut_anywhere_is_left_out_and_does_not_spoil_the_next(started: RunFolder) -> None:
    started.metrics.append(10, {"d_loss": 1.25, "g_loss": 0.375})
    good = len(started.metrics.path.read_bytes())
    started.metrics.append(20, {"d_loss": 2.5, "g_loss": 0.625})
    whole = started.metrics.path.read_bytes()
    line_end = len(whole.rstrip())
    for length in range(good, line_end):
        started.metrics.path.write_bytes(whole[:length])
        steps, curves = started.metrics.read()
        assert (steps.tolist(), curves["g_loss"].tolist()) == ([10], [0.375]), whole[good:length]
        started.metrics.cut(20)  # what --resume does first
        started.metrics.append(30, {"d_loss": 3.0, "g_loss": 1.0})
        steps, curves = started.metrics.read()
        assert (steps.tolist(), curves["g_loss"].tolist()) == ([10, 30], [0.375, 1.0]), whole[good:length]


def test_a_header_cut_anywhere_is_made_anew(started: RunFolder) -> None:
    started.metrics.append(10, METRICS)
    header = started.metrics.path.read_bytes().splitlines()[0]
    for length in range(len(header) + 1):
        started.metrics.path.write_bytes(header[:length])
        started.metrics.cut(0)  # what --resume does first
        started.metrics.append(10, METRICS)
        steps, curves = started.metrics.read()
        assert (steps.tolist(), list(curves)) == ([10], list(METRICS)), header[:length]


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x80\n", b"\0" * 64, b"step,d_loss,g_loss\n10,a,b\n", b"step,d_loss,g_loss\nx,1,2\n"]
)
def test_metrics_of_rubbish_give_one_sentence_and_are_kept(started: RunFolder, content: bytes) -> None:
    started.metrics.path.write_bytes(content)
    for use in (started.metrics.read, lambda: started.metrics.cut(5)):
        try:
            use()
        except FileError as refused:
            complaint = sentence(refused)
            assert str(started.metrics.path) in complaint
            assert started.metrics.path.read_bytes() == content


def test_a_damaged_sample_is_left_out_of_the_gif_and_stops_nothing(started: RunFolder) -> None:
    for epoch in range(3):
        started.save_samples(epoch, np.full((8, 8, 3), 40 * epoch, np.uint8))
    (started.samples / "epoch-0001.png").write_bytes(b"rubbish")
    started.save_overview({})
    with Image.open(started.gif) as gif:
        assert gif.n_frames == 2


def test_samples_are_listed_in_order(started: RunFolder) -> None:
    for epoch in (10, 2, 0, 1):
        started.save_samples(epoch, np.zeros((4, 4, 3), np.uint8))
    assert [path.name for path in started.sample_paths()] == [f"epoch-{i:04d}.png" for i in (0, 1, 2, 10)]


def test_samples_of_more_than_9999_epochs_stay_in_order(started: RunFolder) -> None:
    for epoch in (9999, 10000, 20000, 100000):
        started.save_samples(epoch, np.zeros((4, 4, 3), np.uint8))
    assert [int(path.stem.removeprefix("epoch-")) for path in started.sample_paths()] == [9999, 10000, 20000, 100000]


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


def test_a_lock_held_by_another_process_is_respected_until_that_process_is_gone(started: RunFolder) -> None:
    with held_by_another_process(started) as other:
        with pytest.raises(ConfigError, match="another process") as caught, started.locked():
            pass
        assert str(started.path) in sentence(caught.value)
        other.kill()  # it cannot tidy up
        other.wait()
        with started.locked():
            pass


def test_the_lock_leaves_no_trace_that_makes_the_folder_look_taken(folder: RunFolder) -> None:
    with folder.locked():
        pass
    folder.check_free(overwrite=False)


def test_a_lock_file_left_by_a_killed_process_does_not_make_the_folder_look_taken(folder: RunFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.lock.touch()
    folder.check_free(overwrite=False)


def test_two_can_never_hold_the_lock_when_a_third_one_lets_go(started: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process has opened the lock file, then its holder lets go, and a third comes: only one may have it."""
    first = started.locked()
    first.__enter__()
    take = run_folder._try_lock

    def late(file: IO[str]) -> bool:
        monkeypatch.setattr(run_folder, "_try_lock", take)
        first.__exit__(None, None, None)  # between the opening and the locking of the second
        return take(file)

    monkeypatch.setattr(run_folder, "_try_lock", late)
    with started.locked(), pytest.raises(ConfigError), RunFolder(started.path).locked():
        pass


@pytest.mark.parametrize("count", [0, 1, 59, 60, 61, 200])
def test_a_gif_has_no_more_frames_than_it_should_and_the_first_and_the_last_one(count: int) -> None:
    chosen = run_folder.evenly(range(count), 60)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, 60)
    assert not count or (chosen[0], chosen[-1]) == (0, count - 1)


def test_large_sheets_are_made_smaller_for_the_gif(folder: RunFolder) -> None:
    folder.start(SETTINGS)
    folder.save_samples(0, np.zeros((2066, 1550, 3), np.uint8))
    folder.save_overview({})
    with Image.open(folder.gif) as picture:
        assert picture.size == (750, 1000)
    with Image.open(folder.sample_paths()[0]) as picture:
        assert picture.size == (1550, 2066)
