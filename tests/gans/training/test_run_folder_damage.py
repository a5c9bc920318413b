"""After a full disk or a crash all files are complete, and a damaged checkpoint or config is refused in one sentence."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from gans.training import run_folder
from gans.training.config import ConfigError
from gans.training.run_folder import RunFolder
from minigrad import FileError
from minigrad.io.files import write_atomically
from minigrad.io.safetensors import load_with_metadata
from tests.gans.conftest import Train, files
from tests.gans.training.conftest import METRICS, SETTINGS, failing, sentence

# --- writing: all or nothing

WRITERS = {
    "checkpoint": lambda f: f.save_checkpoint({"a": np.zeros(3)}, 2, {"b": np.zeros(3)}),
    "config": lambda f: f.start({**SETTINGS, "new": 1}),
    "samples": lambda f: f.save_samples(1, np.zeros((4, 4, 3), np.uint8)),
    "cut": lambda f: f.metrics.cut(10),
}


@contextmanager
def full_disk(patch: pytest.MonkeyPatch, stage: str) -> Iterator[None]:
    with patch.context() as p:
        if stage == "create":
            plain, refuse = os.open, failing(errno.ENOSPC)
            p.setattr(os, "open", lambda name, flags, *more: (refuse if flags & os.O_EXCL else plain)(name, flags, *more))
        elif stage == "sync":
            p.setattr(os, "fsync", failing(errno.ENOSPC))
        else:
            p.setattr(os, "replace", failing(errno.ENOSPC))
        yield


@pytest.mark.parametrize("stage", ["create", "sync", "rename"])
@pytest.mark.parametrize("writer", ["checkpoint", "samples", "cut"])
def test_a_full_disk_keeps_the_old_files_and_leaves_no_partial_ones(
    started: RunFolder, writer: str, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "plot_curves", lambda path, *_: None)
    started.save_checkpoint({"a": np.ones(3)}, 1, {"b": np.ones(3)})
    started.metrics.append(10, METRICS)
    started.metrics.append(20, METRICS)
    started.save_samples(1, np.ones((4, 4, 3), np.uint8))
    before = files(started.path)
    with full_disk(monkeypatch, stage), pytest.raises(FileError, match="No space left on device") as caught:
        WRITERS[writer](started)
    assert str(started.path) in sentence(caught.value)
    assert files(started.path) == before
    WRITERS[writer](started)  # and once there is room, it works
    assert files(started.path) != before


@pytest.mark.parametrize("stage", ["create", "sync", "rename"])
def test_a_full_disk_keeps_the_old_drawings_and_each_is_said_once(
    started: RunFolder, stage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        run_folder, "plot_curves", lambda path, steps, *_: write_atomically(path, bytes(steps.astype(np.uint8)))
    )
    started.metrics.append(10, METRICS)
    started.save_samples(1, np.ones((4, 4, 3), np.uint8))
    started.save_overview({})
    started.save_samples(2, np.ones((4, 4, 3), np.uint8))
    started.metrics.append(20, METRICS)
    before = files(started.path)
    with full_disk(monkeypatch, stage):
        for _ in range(3):
            started.save_overview({})
    assert files(started.path) == before
    curves, gif = capsys.readouterr().err.splitlines()
    assert curves.startswith("losses.png cannot be drawn (") and gif.startswith("training.gif cannot be drawn (")
    assert all(line.endswith("No space left on device); training goes on.") for line in (curves, gif))
    started.save_overview({})
    assert {name for name, content in files(started.path).items() if content != before[name]} == {"losses.png", "training.gif"}


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
    arrays, step = started.load_checkpoint({})
    assert step == 1 + (not arrays["a"].any())
    assert mg.load(started.generator).keys() == {"b"}
    assert sorted(p.name for p in started.path.iterdir() if p.is_file()) == [
        "checkpoint.safetensors", "config.json", "generator.safetensors",
    ]  # fmt: skip


# --- damaged files


def small_checkpoint(folder: RunFolder) -> bytes:
    folder.save_checkpoint({"w": np.arange(3.0), "n": np.array(4)}, 12, {})
    return folder.checkpoint.read_bytes()


def test_a_checkpoint_round_trip_changes_nothing(started: RunFolder) -> None:
    small_checkpoint(started)
    arrays, step = started.load_checkpoint({})
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
            started.load_checkpoint({})
        assert str(started.checkpoint) in sentence(caught.value), length
        assert started.checkpoint.read_bytes() == whole[:length]


def test_a_checkpoint_with_bytes_appended_is_refused(started: RunFolder) -> None:
    started.checkpoint.write_bytes(small_checkpoint(started) + b"\0")
    with pytest.raises(FileError):
        started.load_checkpoint({})


def test_a_checkpoint_with_any_byte_of_its_header_destroyed_is_refused_or_still_a_checkpoint(started: RunFolder) -> None:
    whole = small_checkpoint(started)
    header = 8 + int.from_bytes(whole[:8], "little")
    for i in range(header):
        for byte in (0, 0xFF, whole[i] ^ 1):
            started.checkpoint.write_bytes(whole[:i] + bytes([byte]) + whole[i + 1 :])
            try:
                arrays, step = started.load_checkpoint({})
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
def test_an_invalid_checkpoint_is_refused_in_one_sentence(started: RunFolder, content: bytes) -> None:
    started.checkpoint.write_bytes(content)
    with pytest.raises(FileError) as caught:
        started.load_checkpoint({})
    assert str(started.checkpoint) in sentence(caught.value)


@pytest.mark.parametrize(
    "metadata", [None, {}, {"format": "pt"}, {"step": ""}, {"step": "twelve"}, {"step": "1.5"}, {"step": "-4"}]
)
def test_another_programs_safetensors_is_not_a_checkpoint(started: RunFolder, metadata: dict[str, str] | None) -> None:
    mg.save(started.checkpoint, {"w": np.ones(2)}, metadata)
    with pytest.raises(FileError, match="damaged or another program's") as caught:
        started.load_checkpoint({})
    sentence(caught.value)


@pytest.mark.parametrize("step", [12, 2**31 + 4, 2**62 - 2])  # as many metrics wait as after 2 steps
def test_a_step_that_the_weights_have_not_been_trained_for_is_refused(step: int, train: Train, tmp_path: Path) -> None:
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    train("--steps", 2, "--out", tmp_path / "run")
    arrays, _ = load_with_metadata(checkpoint)
    mg.save(checkpoint, arrays, {"step": str(step)})
    before = files(tmp_path / "run")
    assert f"its step is {step}, after only 4 updates of weights" in train("--resume", "--out", tmp_path / "run").complaint
    assert files(tmp_path / "run") == before


def test_a_folder_in_place_of_the_checkpoint_is_refused(started: RunFolder) -> None:
    started.checkpoint.mkdir()
    with pytest.raises(FileError, match="not a regular file"):
        started.load_checkpoint({})


def test_without_a_checkpoint_the_sentence_says_what_to_do(started: RunFolder) -> None:
    with pytest.raises(ConfigError, match=r"no checkpoint.*--overwrite"):
        started.load_checkpoint({})
    for step in (4, 12):
        started.keep_checkpoint({}, step)
    with pytest.raises(ConfigError, match=r"no checkpoint.*; go back to a numbered checkpoint, such as --checkpoint 12$"):
        started.load_checkpoint({})
    started.checkpoint.write_bytes(b"cut")
    with pytest.raises(FileError, match=r"damaged.*; go back to a numbered checkpoint, such as --checkpoint 12$"):
        started.load_checkpoint({})


def test_settings_of_a_folder_without_a_run_are_refused(folder: RunFolder) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        folder.settings()


def settings(**changes: Any) -> bytes:
    return json.dumps({**SETTINGS, **changes}).encode()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"3", b'"text"', b"{}", b'{"trainer": 3}', b"\xff\xfe\0", b'{"trainer": "mnist_gan"}',
     b'{"trainer": "mnist_gan", "config": []}', b'{"trainer": "mnist_gan", "config": null}',
     b"[" * 200_000, b'{"a": ' * 100_000, settings(data=5), settings(data=None), settings(data={}),
     settings(trainer="a\nb"), settings(samples="\x1b[2J"),
     settings(data={**SETTINGS["data"], "images": True}), settings(data={**SETTINGS["data"], "source": "\ud800"}),
     b"9" * 5000, settings()[:-1] + b', "x": ' + b"9" * 5000 + b"}"],
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
