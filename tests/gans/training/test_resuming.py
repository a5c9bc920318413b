"""What `--resume` accepts and refuses: changed settings, other data, damaged files. Nothing is ever lost."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from gans.data.idx import write_idx
from tests.gans.conftest import TRAIN_IMAGES, Train, files, state

pytestmark = pytest.mark.usefixtures("plots_stubbed")


@pytest.mark.parametrize(
    ("flag", "value", "was"), [("--lr", "1e-3", "0.0003"), ("--batch-size", "8", "16"), ("--seed", "1", "0")]
)
def test_settings_that_define_the_run_cannot_change_when_resuming(
    flag: str, value: str, was: str, train: Train, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    train("--steps", 2, "--out", folder)
    before = files(folder)
    complaint = train("--resume", "--steps", 4, flag, value, "--out", folder).complaint
    assert flag in complaint
    assert was in complaint
    assert files(folder) == before
    assert train("--resume", "--steps", 4, flag, was, "--out", folder).code == 0, "the same value is not a change"


def test_resuming_without_a_run_says_so_and_makes_nothing(train: Train, tmp_path: Path) -> None:
    assert "holds no run" in train("--resume", "--out", tmp_path / "run").complaint
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("how", [["--steps", "2"], ["--epochs", "1"]], ids=["steps", "epochs"])
def test_resuming_a_finished_run_says_so_and_names_the_flag_that_continues_it(
    how: list[str], train: Train, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    train(*how, "--out", folder)
    before = files(folder)
    ended = train("--resume", "--out", folder)
    assert ended.code == 0
    assert "is finished" in ended.out
    assert files(folder) == before
    assert how[0] in ended.out, "more --epochs do not continue a run that --steps ended"


def test_fewer_steps_than_a_run_has_made_change_nothing(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 3, "--out", folder)
    before = files(folder)
    assert "give more --steps than 3" in train("--resume", "--steps", 2, "--out", folder).out
    assert files(folder) == before


def test_resuming_and_overwriting_at_once_is_refused_with_both_flags_named(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 2, "--out", folder)
    before = files(folder)
    ended = train("--resume", "--overwrite", "--out", folder)
    assert ended.code in (1, 2)
    assert "--resume" in ended.err
    assert "--overwrite" in ended.err
    assert "None" not in ended.err
    assert files(folder) == before


def test_resuming_on_other_data_is_refused(train: Train, digits: Path, tmp_path: Path) -> None:
    """For example, synthetic digits were used without a network connection, and the next day MNIST is downloaded."""
    folder, other = tmp_path / "run", tmp_path / "other"
    train("--steps", 2, "--out", folder)
    before = files(folder)
    write_idx(other / TRAIN_IMAGES, np.full((40, 28, 28), 9, np.uint8))
    complaint = train("--resume", "--data", other, "--epochs", 4, "--steps", 7, "--out", folder).complaint
    assert "72" in complaint or "data" in complaint
    assert files(folder) == before


def test_resuming_follows_the_same_data_to_another_folder(train: Train, digits: Path, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--epochs", 3, "--steps", 5, "--out", folder)
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / f"{TRAIN_IMAGES}.gz").write_bytes(gzip.compress((digits / TRAIN_IMAGES).read_bytes()))
    assert train("--resume", "--data", tmp_path / "moved", "--steps", 12, "--out", folder).code == 0
    assert state(folder) == state(whole)
    saved = json.loads((folder / "config.json").read_text())
    assert saved["data"]["source"] == str(tmp_path / "moved" / f"{TRAIN_IMAGES}.gz")
    assert saved["config"]["data"] == str(tmp_path / "moved")
    assert saved["config"]["steps"] == 12


def test_a_run_of_a_version_that_had_other_settings_is_resumed(train: Train, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--epochs", 2, "--out", folder)
    settings = json.loads((folder / "config.json").read_text())
    del settings["config"]["save_every"]
    settings["config"]["sample_every"] = 1
    (folder / "config.json").write_text(json.dumps(settings))
    assert train("--resume", "--epochs", 3, "--out", folder).code == 0
    assert state(folder) == state(whole)
    assert (folder / "config.json").read_text() == (whole / "config.json").read_text().replace('"1epoch"', '"1"')


def damaged(good: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "one byte": good[:1],
        "cut in the header": good[:500],
        "cut in half": good[: len(good) // 2],
        "one byte short": good[:-1],
        "one byte long": good + b"\0",
        "rubbish": b"rubbish" * 1000,
        "zeros": bytes(len(good)),
    }


def test_a_damaged_checkpoint_gives_one_sentence_and_nothing_is_lost(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 5, "--out", folder)
    good = (folder / "checkpoint.safetensors").read_bytes()
    for name, content in damaged(good).items():
        (folder / "checkpoint.safetensors").write_bytes(content)
        before = files(folder)
        complaint = train("--resume", "--epochs", 3, "--out", folder).complaint
        assert "checkpoint.safetensors" in complaint, name
        assert files(folder) == before, name


FOREIGN: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "other names": lambda saved: {"w": np.ones(3)},
    "no optimizer": lambda saved: {name: a for name, a in saved.items() if "optimizer" not in name},
    "no random state": lambda saved: {name: a for name, a in saved.items() if name != "random.counter"},
    "a random state of four": lambda saved: {**saved, "random.counter": np.zeros(4, np.int64)},
    "an infinite random state": lambda saved: {**saved, "random.counter": np.array(np.inf)},
    "other shapes": lambda saved: {**saved, "generator.0.weight": np.zeros((256, 50), np.float32)},
    "a moment of another shape": lambda saved: {**saved, "g_optimizer.first.0": np.zeros((2, 2), np.float32)},
    "metrics of unequal numbers of steps": lambda saved: {**saved, "pending.00.d_loss": np.zeros(3)},
    "steps of another shape": lambda saved: {**saved, "d_optimizer.steps": np.zeros(2, np.int64)},
    "other dtypes": lambda saved: {**saved, "generator.0.weight": saved["generator.0.weight"].astype(np.float64)},
    "a counter of another dtype": lambda saved: {**saved, "d_optimizer.steps": np.array(5.0)},
    "a negative counter": lambda saved: {**saved, "d_optimizer.steps": np.array(-1)},
    "a counter near its end": lambda saved: {**saved, "random.counter": np.array(2**63 - 1)},
    "a weight that is NaN": lambda saved: {**saved, "generator.0.bias": saved["generator.0.bias"] * np.float32("nan")},
    "a weight that is infinite": lambda saved: {**saved, "generator.0.bias": saved["generator.0.bias"] + np.float32("inf")},
    "a negative second moment": lambda saved: {**saved, "d_optimizer.second.0": -1 - saved["d_optimizer.second.0"]},
    "an unknown metric": lambda saved: {**saved, "pending.04.x": np.zeros(5)},
    "a metric without a number": lambda saved: {**saved, "pending": np.zeros(5)},
    "a metric of NaN": lambda saved: {**saved, "pending.00.d_loss": np.full(5, np.nan)},
    "skipped steps of another number of parameters": lambda saved: {**saved, "d_optimizer.skipped": np.zeros(99, np.int64)},
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_checkpoint_that_does_not_fit_gives_one_sentence(change: Any, train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 5, "--out", folder)
    path = folder / "checkpoint.safetensors"
    mg.save(path, change(mg.load(path)), {"step": "5"})
    before = files(folder)
    complaint = train("--resume", "--epochs", 3, "--out", folder).complaint
    assert "checkpoint.safetensors" in complaint
    assert files(folder) == before


@pytest.mark.parametrize("step", ["", "-5", "5.0", "9" * 5000, str(2**62 + 1), "٥", "6", "15"])
def test_a_step_that_cannot_be_gives_one_sentence(step: str, train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 5, "--out", folder)
    path = folder / "checkpoint.safetensors"
    mg.save(path, mg.load(path), {"step": step})
    assert "checkpoint.safetensors" in train("--resume", "--epochs", 3, "--out", folder).complaint


@pytest.mark.parametrize(
    "change",
    [{"epochs": "many"}, {"epochs": 0}, {"batch_size": 0}, {"batch_size": 16.5}, {"lr": None}, {"lr": -1}, {"seed": -1},
     {"seed": "x"}, {"steps": []}, {"sample_every": 0}, {"backend": "tpu"}, {"data": 7}, {"data": "a\0b"}, {"data": "\ud800"},
     {"data": "\x1b[2J"}, {"epochs": 10**400}, {"lr": 10**400}, {"lr": float("nan")}, {"seed": True}, {"backend": []}],
    ids=str,
)  # fmt: skip
def test_wrong_values_in_config_json_give_one_sentence(change: dict[str, Any], train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 2, "--out", folder)
    saved = json.loads((folder / "config.json").read_text())
    saved["config"].update(change)
    (folder / "config.json").write_text(json.dumps(saved))
    before = files(folder)
    given = [] if "steps" in change else ["--steps", 3]
    assert train("--resume", *given, "--out", folder).complaint
    assert files(folder) == before


def test_a_run_of_another_trainer_is_not_resumed(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 2, "--out", folder)
    saved = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**saved, "trainer": "dcgan"}))
    assert "dcgan" in train("--resume", "--steps", 4, "--out", folder).complaint
