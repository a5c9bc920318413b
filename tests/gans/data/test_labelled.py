"""Labels stay with their images: through batches, and from folders whose subfolders are the classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gans.data import folder as folders
from gans.data.batches import Batches
from gans.data.drawn.digits import synthetic_digits
from gans.data.errors import DataError
from gans.data.idx import write_idx
from gans.data.labelled import DIGITS, LabelledBatches, class_names, load_labelled


@pytest.fixture(autouse=True)
def _one_image_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MIN_IMAGES", 1)


@given(st.integers(1, 60), st.integers(0, 3), st.lists(st.integers(0, 200), min_size=1, max_size=4))
def test_every_image_of_a_batch_comes_with_its_label(batch_size: int, seed: int, steps: list[int]) -> None:
    numbers = np.arange(60, dtype=np.uint8)
    plain = Batches(numbers.reshape(60, 1, 1, 1), batch_size, seed)
    batches = LabelledBatches(Batches(numbers.reshape(60, 1, 1, 1), batch_size, seed), numbers % 7)
    assert (batches.digest, batches.per_epoch) == (plain.digest, plain.per_epoch)
    for step in steps:
        images, labels = batches[step]
        np.testing.assert_array_equal(images.numpy(), plain[step][0].numpy())
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(np.rint((images.numpy().ravel() + 1) * 127.5) % 7, labels.numpy())


def test_the_same_images_with_other_labels_have_the_same_digest_and_another_one_of_labels() -> None:
    images = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    a, b = (LabelledBatches(Batches(images, 2, 0), np.arange(6, dtype=np.uint8) // n) for n in (2, 3))
    assert a.digest == b.digest and a.label_digest != b.label_digest


def save(folder: Path, *names: str) -> None:
    """Save grey images, the first one black, the next ones brighter."""
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 9), 10 * i).save(folder / name)


def test_the_label_of_an_image_is_its_subfolder_also_where_files_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, "dogs/a.png", "cats/z.png", "cats/deep/er.png", "emus/a.png", ".hidden/x.png")
    (tmp_path / "cats" / "broken.png").write_bytes(b"no image")
    assert class_names(str(tmp_path), 8) == ("cats", "dogs", "emus")
    data = load_labelled(str(tmp_path), 8)
    assert sorted(zip((data.images[:, 0, 0, 0] // 10).tolist(), data.labels.tolist(), strict=True)) == [
        (0, 1), (1, 0), (2, 0), (3, 2),
    ]  # fmt: skip
    assert "broken.png" in capsys.readouterr().err


def test_digits_have_the_labels_of_their_files(tmp_path: Path) -> None:
    images, labels = synthetic_digits(20)
    write_idx(tmp_path / "train-images-idx3-ubyte", images)
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels)
    data = load_labelled(str(tmp_path), 28)
    assert class_names(str(tmp_path), 28) == DIGITS
    np.testing.assert_array_equal(data.images[:, 0], images)
    np.testing.assert_array_equal(data.labels, labels)


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["a.png", "b.png"], "has no subfolders, so its images have no classes; move those of each class into a subfolder."),
        (["one/a.png", "one/b.png"], "has one subfolder, so its images have no classes"),
        (["one/a.png", "two/b.png", "c.png"], "c.png has no class; move it into the subfolder of its class."),
        (["one/a.png", "two/b.txt"], "two has no readable images, but each subfolder is a class"),
    ],
)
def test_a_folder_without_classes_is_refused_in_a_sentence(names: list[str], complaint: str, tmp_path: Path) -> None:
    save(tmp_path, *(name for name in names if name.endswith("png")))
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=complaint):
        load_labelled(str(tmp_path), 8)


def test_a_missing_folder_and_the_drawn_faces_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere cannot be opened .*; it must be a folder with a subfolder for each class"):
        class_names(str(tmp_path / "nowhere"), 64)
    with pytest.raises(DataError, match="the drawn faces have no classes; give a folder whose subfolders are classes"):
        class_names(None, 64)


def test_a_folder_of_runs_is_no_class(tmp_path: Path) -> None:
    save(tmp_path, *(f"{name}/{i}.png" for name in ("one", "two") for i in range(16)))
    for run in ("runs/cgan", "run", "one/run"):
        save(tmp_path, f"{run}/samples/step-000001.png")
        (tmp_path / run / "config.json").write_text('{"trainer": "cgan", "minigrad": "0.1.0"}')
    assert class_names(str(tmp_path), 8) == ("one", "two")
    assert len(load_labelled(str(tmp_path), 8).images) == 32
