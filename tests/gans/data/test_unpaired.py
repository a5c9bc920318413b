"""Unpaired folders: the four subfolders are read, and images are held out where a test folder is missing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gans.data import unpaired as module
from gans.data.errors import DataError
from gans.data.folder import MIN_IMAGES
from gans.data.unpaired import LAYOUT, UnpairedImages, held_out_indices, load_unpaired, load_unpaired_folder

EMOJI = Path(__file__).parents[4] / "shared/data/emoji64"


def fill(folder: Path, count: int, first: int = 0, suffix: str = ".png") -> None:
    """Add grey images whose pixels are first, first + 1, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("L", (6, 6), first + i).save(folder / f"{i:04}{suffix}")


def values(images: np.ndarray) -> list[int]:
    """The grey value of each image."""
    assert images.dtype == np.uint8 and images.shape[1:] == (3, 4, 4)
    assert (images == images[:, :1, :1, :1]).all()
    return images[:, 0, 0, 0].tolist()


def test_each_folder_becomes_its_array(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i, name in enumerate(("trainA", "trainB", "testA", "testB")):
        fill(tmp_path / name, 16 + i, first=50 * i)
    data = load_unpaired_folder(tmp_path, 4)
    for i, images in enumerate((data.train_a, data.train_b, data.test_a, data.test_b)):
        assert values(images) == list(range(50 * i, 50 * i + 16 + i))
    assert data.source == str(tmp_path)
    assert capsys.readouterr().err == ""


def test_the_path_may_be_a_string_and_the_images_of_any_format(tmp_path: Path) -> None:
    fill(tmp_path / "trainA", 20, suffix=".bmp")
    fill(tmp_path / "trainB" / "deeper", 20, suffix=".webp")
    assert len(load_unpaired_folder(str(tmp_path), 4).train_b) == 18


def test_held_out_images_of_the_same_names_are_pairs(tmp_path: Path) -> None:
    for name in ("trainA", "trainB"):
        fill(tmp_path / name, 16, suffix=".png" if name == "trainA" else ".bmp")
    assert load_unpaired_folder(tmp_path, 4).paired
    fill(tmp_path / "testA", 3)
    assert not load_unpaired_folder(tmp_path, 4).paired
    fill(tmp_path / "testB", 3, suffix=".webp")
    assert load_unpaired_folder(tmp_path, 4).paired
    (tmp_path / "testB" / "0001.webp").rename(tmp_path / "testB" / "other.webp")
    assert not load_unpaired_folder(tmp_path, 4).paired
    (tmp_path / "testB" / "other.webp").write_bytes(b"damaged")
    assert not load_unpaired_folder(tmp_path, 4).paired


@pytest.mark.parametrize(("count", "held_out"), [(16, 2), (30, 3), (200, 20)])
def test_without_test_folders_a_tenth_is_held_out_and_a_line_says_so(
    tmp_path: Path, count: int, held_out: int, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "trainA", count)
    fill(tmp_path / "trainB", count)
    data, again = load_unpaired_folder(tmp_path, 4), load_unpaired_folder(tmp_path, 4)
    for train, test in ((data.train_a, data.test_a), (data.train_b, data.test_b)):
        assert len(test) == held_out
        assert sorted(values(train) + values(test)) == list(range(count))
        assert max(np.diff(values(test)), default=0) <= count / held_out + 1, "evenly spaced"
    assert values(data.test_a) == values(data.test_b) == values(again.test_a), "the same indices each time, and in both domains"
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first == f"{tmp_path} has no testA, so {held_out} of the {count} images in trainA are held out."
    assert second == f"{tmp_path} has no testB, so {held_out} of the {count} images in trainB are held out."


def test_at_most_a_hundred_images_are_held_out() -> None:
    for count in (1_000, 1_001, 6_287, 100_000):
        indices = held_out_indices(count)
        assert len(set(indices)) == 100 and indices.min() >= 0 and indices.max() < count


def test_only_the_domain_without_a_test_folder_loses_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("trainA", "trainB", "testB"):
        fill(tmp_path / name, 20)
    data = load_unpaired_folder(tmp_path, 4)
    assert [len(images) for images in (data.train_a, data.test_a, data.train_b, data.test_b)] == [18, 2, 20, 20]
    (line,) = capsys.readouterr().err.splitlines()
    assert "testA" in line


@pytest.mark.parametrize(
    ("present", "missing"),
    [
        (["trainA"], "has no folder trainB"),
        (["trainB", "testA"], "has no folder trainA"),
        (["testA"], "has no folder trainA and no folder trainB"),
        (["a", "b"], "has no folder trainA and no folder trainB"),
    ],
)
def test_the_error_names_a_missing_training_folder_and_the_expected_layout(
    tmp_path: Path, present: list[str], missing: str
) -> None:
    for name in present:
        fill(tmp_path / name, 1)
    with pytest.raises(DataError) as caught:
        load_unpaired_folder(tmp_path, 4)
    assert str(caught.value) == f"{tmp_path} {missing}; it must contain {LAYOUT}."


def test_a_file_in_place_of_a_training_folder_is_an_error(tmp_path: Path) -> None:
    fill(tmp_path / "trainA", 1)
    (tmp_path / "trainB").touch()
    with pytest.raises(DataError, match="has no folder trainB"):
        load_unpaired_folder(tmp_path, 4)


def test_a_path_that_is_not_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"nowhere cannot be opened \(No such file or directory\); it must be a folder that contains trainA/"
    ):
        load_unpaired_folder(tmp_path / "nowhere", 4)
    (tmp_path / "a.zip").touch()
    with pytest.raises(
        DataError, match=r"a\.zip cannot be opened \(Not a directory\); it must be a folder that contains trainA/"
    ):
        load_unpaired_folder(tmp_path / "a.zip", 4)


def test_the_error_names_a_training_folder_with_too_few_images(tmp_path: Path) -> None:
    fill(tmp_path / "trainA", 16)
    fill(tmp_path / "trainB", MIN_IMAGES - 1)
    with pytest.raises(DataError, match="trainB has too few images: 15"):
        load_unpaired_folder(tmp_path, 4)


@pytest.mark.skipif(not EMOJI.is_dir(), reason=f"no emoji in {EMOJI}")
def test_the_emoji_are_read() -> None:
    data = load_unpaired_folder(EMOJI, 64)
    assert all(len(images) > 10 for images in (data.train_a, data.train_b, data.test_a, data.test_b))


# --- a folder or the synthetic landscapes


def test_a_folder_is_loaded_if_given(two_domains: Path) -> None:
    data = load_unpaired(str(two_domains), 10)
    assert [len(x) for x in (data.train_a, data.train_b, data.test_a, data.test_b)] == [18, 26, 3, 2]
    assert data.train_a.shape[1:] == (3, 10, 10)
    assert (data.train_a[:, 0] == 255).all() and (data.train_b[:, 2] == 255).all()


def test_without_a_folder_landscapes_by_day_are_a_and_those_by_night_are_b(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [np.full((1 + i, 3, 4, 4), i, np.uint8) for i in range(4)]
    sizes = []
    monkeypatch.setattr(module, "load_landscapes", lambda size: sizes.append(size) or UnpairedImages(*parts, "drawn"))
    data = load_unpaired(None, 4)
    assert sizes == [4] and data.source == "drawn"
    for found, part in zip((data.train_a, data.train_b, data.test_a, data.test_b), parts, strict=True):
        assert found is part


def test_a_folder_that_cannot_be_opened_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(path: Path) -> list[str]:  # not chmod, which does not stop root
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", deny)
    with pytest.raises(DataError, match=r"cannot be opened \(Permission denied\); it must be a folder that contains trainA/"):
        load_unpaired_folder(tmp_path, 4)
