"""Folders with two kinds of pictures: read as laid out, with some held out where no test folder is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gans.data import folder as module
from gans.data.errors import DataError
from gans.data.pairs import LAYOUT, _spread, load_two_folders

EMOJI = Path(__file__).parents[4] / "shared/data/emoji64"


def fill(folder: Path, count: int, first: int = 0, suffix: str = ".png") -> None:
    """Grey pictures of the values first, first + 1, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("L", (6, 6), first + i).save(folder / f"{i:04}{suffix}")


def values(images: np.ndarray) -> list[int]:
    assert images.dtype == np.uint8 and images.shape[1:] == (3, 4, 4)
    assert (images == images[:, :1, :1, :1]).all()
    return images[:, 0, 0, 0].tolist()


def test_each_folder_becomes_its_array(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i, name in enumerate(("trainA", "trainB", "testA", "testB")):
        fill(tmp_path / name, 16 + i, first=50 * i)
    data = load_two_folders(tmp_path, 4)
    for i, images in enumerate((data.train_a, data.train_b, data.test_a, data.test_b)):
        assert values(images) == list(range(50 * i, 50 * i + 16 + i))
    assert data.source == str(tmp_path)
    assert capsys.readouterr().err == ""


def test_a_path_may_be_a_string_and_pictures_of_any_kind(tmp_path: Path) -> None:
    fill(tmp_path / "trainA", 20, suffix=".bmp")
    fill(tmp_path / "trainB" / "deeper", 20, suffix=".webp")
    assert len(load_two_folders(str(tmp_path), 4).train_b) == 18


@pytest.mark.parametrize(("count", "held_out"), [(16, 2), (30, 3), (200, 20)])
def test_without_test_folders_a_tenth_is_held_out_which_is_said(
    tmp_path: Path, count: int, held_out: int, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "trainA", count)
    fill(tmp_path / "trainB", count)
    data, again = load_two_folders(tmp_path, 4), load_two_folders(tmp_path, 4)
    for train, test in ((data.train_a, data.test_a), (data.train_b, data.test_b)):
        assert len(test) == held_out
        assert sorted(values(train) + values(test)) == list(range(count))
        assert max(np.diff(values(test)), default=0) <= count / held_out + 1, "spread over all of them"
    assert values(data.test_a) == values(data.test_b) == values(again.test_a), "the same ones each time, and of both kinds"
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first == f"{tmp_path} has no testA: {held_out} of the {count} images in trainA are held out."
    assert second == f"{tmp_path} has no testB: {held_out} of the {count} images in trainB are held out."


def test_no_more_than_a_hundred_are_held_out() -> None:
    for count in (1_000, 1_001, 6_287, 100_000):
        places = _spread(count)
        assert len(set(places)) == 100 and places.min() >= 0 and places.max() < count


def test_only_the_kind_without_a_test_folder_loses_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("trainA", "trainB", "testB"):
        fill(tmp_path / name, 20)
    data = load_two_folders(tmp_path, 4)
    assert [len(images) for images in (data.train_a, data.test_a, data.train_b, data.test_b)] == [18, 2, 20, 20]
    (line,) = capsys.readouterr().err.splitlines()
    assert "testA" in line


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        (["trainA"], "has no folder trainB"),
        (["trainB", "testA"], "has no folder trainA"),
        (["testA"], "has no folder trainA and no folder trainB"),
        (["a", "b"], "has no folder trainA and no folder trainB"),
    ],
)
def test_a_missing_training_folder_is_named_with_what_the_folder_must_look_like(
    tmp_path: Path, there: list[str], missing: str
) -> None:
    for name in there:
        fill(tmp_path / name, 1)
    with pytest.raises(DataError) as caught:
        load_two_folders(tmp_path, 4)
    assert str(caught.value) == f"{tmp_path} {missing}; it must have {LAYOUT}."


def test_a_file_in_place_of_a_training_folder_is_no_folder(tmp_path: Path) -> None:
    fill(tmp_path / "trainA", 1)
    (tmp_path / "trainB").touch()
    with pytest.raises(DataError, match="has no folder trainB"):
        load_two_folders(tmp_path, 4)


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist; it must be a folder that has trainA/"):
        load_two_folders(tmp_path / "nowhere", 4)
    (tmp_path / "a.zip").touch()
    with pytest.raises(DataError, match=r"a\.zip is a file, not a folder; it must be a folder that has trainA/"):
        load_two_folders(tmp_path / "a.zip", 4)


def test_a_training_folder_with_too_few_pictures_is_named(tmp_path: Path) -> None:
    fill(tmp_path / "trainA", 16)
    fill(tmp_path / "trainB", module.FEWEST - 1)
    with pytest.raises(DataError, match="trainB has too few images: 15"):
        load_two_folders(tmp_path, 4)


@pytest.mark.skipif(not EMOJI.is_dir(), reason="needs the emoji folder")
def test_the_emoji_are_read() -> None:
    data = load_two_folders(EMOJI, 64)
    assert all(len(images) > 10 for images in (data.train_a, data.train_b, data.test_a, data.test_b))
