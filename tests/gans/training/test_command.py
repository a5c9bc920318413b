"""The command around training: dry runs, unusable data, a missing GPU."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minigrad.arrays.gpu import why_no_gpu
from tests.gans.conftest import TRAIN_IMAGES, Start, Train, files

pytestmark = pytest.mark.usefixtures("plots_stubbed")


def test_a_dry_run_runs_one_step_and_writes_nothing(train: Train, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    for more in ([], ["--out", tmp_path / "new" / "run"]):
        ended = train("--dry-run", *more)
        assert ended.code == 0
        assert "293,136" in ended.out
        assert "267,009" in ended.out
        assert "d_loss" in ended.out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_of_a_resumed_run_does_not_change_it(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 2, "--out", folder)
    before = files(folder)
    assert train("--resume", "--dry-run", "--steps", 4, "--out", folder).code == 0
    assert files(folder) == before


def test_a_dry_run_with_a_rate_too_large_ends_with_one_sentence(train: Train) -> None:
    assert "step 1: " in train("--dry-run", "--lr", "1e30").complaint


def test_a_run_of_few_steps_is_announced_before_the_first_one_with_epochs_that_suffice(train: Train) -> None:
    few = "72 images are 4 steps an epoch, 160 in all"
    ended = train("--dry-run")
    assert few in ended.out and "try --epochs 500" in ended.out
    assert ended.out.index(few) < ended.out.index("one step")
    assert "try --epochs" not in train("--dry-run", "--epochs", 125).out
    short = train("--dry-run", "--epochs", 125, "--steps", 7).out
    assert "72 images are 4 steps an epoch, 7 in all" in short and "try --epochs 500 without --steps" in short


# --- data

BAD_DATA: dict[str, Callable[[bytes], bytes | None]] = {
    "no file": lambda good: None,
    "empty": lambda good: b"",
    "cut in the header": lambda good: good[:9],
    "cut short": lambda good: good[:-1],
    "too long": lambda good: good + b"\0",
    "wrong magic": lambda good: b"\x01\x02" + good[2:],
    "labels for images": lambda good: b"\0\0\x08\x01" + (72).to_bytes(4, "big") + bytes(72),
    "images of another size": lambda good: b"\0\0\x08\x03" + np.array([2, 32, 32], ">u4").tobytes() + bytes(2 * 32 * 32),
    "no images": lambda good: b"\0\0\x08\x03" + np.array([0, 28, 28], ">u4").tobytes(),
    "fewer than a batch": lambda good: b"\0\0\x08\x03" + np.array([15, 28, 28], ">u4").tobytes() + bytes(15 * 784),
    "a damaged gzip file": lambda good: gzip.compress(good)[:-20] + bytes(20),
    "a gzip file cut short": lambda good: gzip.compress(good)[:-100],
    "a web page": lambda good: b"<!DOCTYPE html><title>404</title>",
}


@pytest.mark.parametrize("damage", BAD_DATA.values(), ids=BAD_DATA.keys())
def test_bad_data_gives_one_sentence_and_nothing_is_written(
    damage: Callable[[bytes], bytes | None], train: Train, digits: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    content = damage((digits / TRAIN_IMAGES).read_bytes())
    if content is not None:
        (data / TRAIN_IMAGES).write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    ended = train("--epochs", 1, "--out", tmp_path / "run", data=data)
    assert str(data) in ended.complaint or "--batch-size" in ended.complaint
    assert ended.out == ""
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("case", ["missing folder", "cut short"])
def test_bad_data_ends_the_real_command_with_code_1_and_one_line(case: str, start: Start, digits: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    if case == "cut short":
        data.mkdir()
        (data / TRAIN_IMAGES).write_bytes((digits / TRAIN_IMAGES).read_bytes()[:1000])
    process = start("gans.mnist_gan", "--data", data, "--out", tmp_path / "run")
    out, err = process.communicate()
    assert (process.returncode, out, err.count("\n")) == (1, "", 1), err
    assert err.startswith("python -m gans.mnist_gan: ")
    assert str(data) in err
    assert not (tmp_path / "run").exists()


def test_bad_data_leaves_a_resumed_run_unchanged(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 2, "--out", folder)
    before = files(folder)
    assert "cannot be opened" in train("--resume", "--steps", 4, "--data", tmp_path / "missing", "--out", folder).complaint
    assert files(folder) == before


def test_a_missing_gpu_is_reported_in_one_sentence(train: Train, tmp_path: Path) -> None:
    if why_no_gpu() is None:
        pytest.skip("there is a GPU")
    assert "cannot run here" in train("--backend", "cupy", "--out", tmp_path / "run").complaint
    assert not (tmp_path / "run").exists()
