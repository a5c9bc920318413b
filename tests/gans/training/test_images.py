from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gans.output import save_image
from gans.training.images import GAP, SMALL, grid, read_png, save_gif
from minigrad import FileError

RNG = np.random.default_rng(0)


def random_images(count: int, channels: int, height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 200, (count, channels, height, width), np.uint8)  # nothing as white as the gaps


def cells(sheet: np.ndarray, height: int, width: int) -> list[np.ndarray]:
    """The cells of a sheet that was not enlarged, row by row."""
    return [
        sheet[top : top + height, left : left + width]
        for top in range(GAP, len(sheet), height + GAP)
        for left in range(GAP, sheet.shape[1], width + GAP)
    ]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 12, 13, 64, 100])
def test_a_grid_shows_every_image_in_order_on_white(count: int, channels: int) -> None:
    images = random_images(count, channels, 28, 20)
    sheet = grid(images)
    assert sheet.dtype == np.uint8
    assert sheet.shape[2] == 3
    once = sheet[::2, ::2]
    np.testing.assert_array_equal(once.repeat(2, 0).repeat(2, 1), sheet)  # small images are enlarged twice, pixel by pixel
    found = cells(once, 28, 20)
    for image, cell in zip(images, found, strict=False):
        np.testing.assert_array_equal(cell, np.broadcast_to(image.transpose(1, 2, 0), cell.shape))
    assert all((cell == 255).all() for cell in found[count:])
    assert count <= len(found)
    assert (once != 255).any(2).sum() == count * 28 * 20, "between the images everything is white"


@pytest.mark.parametrize(
    ("count", "across", "down"), [(1, 1, 1), (2, 2, 1), (3, 2, 2), (5, 3, 2), (7, 3, 3), (64, 8, 8), (65, 9, 8)]
)
def test_a_grid_is_as_square_as_possible(count: int, across: int, down: int) -> None:
    sheet = grid(random_images(count, 1, SMALL, SMALL))
    assert sheet.shape == (down * (SMALL + GAP) + GAP, across * (SMALL + GAP) + GAP, 3)


def test_a_png_round_trip_changes_nothing(tmp_path: Path) -> None:
    sheet = grid(random_images(5, 3, 16, 16))
    save_image(tmp_path / "a.png", sheet)
    np.testing.assert_array_equal(read_png(tmp_path / "a.png"), sheet)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def gif(path: Path) -> tuple[list[np.ndarray], list[int], int]:
    with Image.open(path) as picture:
        frames, durations = [], []
        for i in range(picture.n_frames):
            picture.seek(i)
            durations.append(picture.info["duration"])
            frames.append(np.asarray(picture.convert("RGB")))
        return frames, durations, picture.info["loop"]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_gif_shows_each_frame_in_order_endlessly_and_the_last_one_longest(tmp_path: Path, count: int) -> None:
    frames = [np.full((20, 30, 3), 40 * i, np.uint8) for i in range(count)]
    for i, frame in enumerate(frames):
        frame[:5, :5] = (255, 0, 40 * i)
    save_gif(tmp_path / "a.gif", frames, milliseconds=150, last=1500)
    shown, durations, loop = gif(tmp_path / "a.gif")
    assert durations == [150] * (count - 1) + [1500]
    assert loop == 0
    for frame, original in zip(shown, frames, strict=True):
        assert np.abs(frame.astype(int) - original).max() <= 8, "64 colours are enough for two"


def test_equal_frames_do_not_shorten_a_gif(tmp_path: Path) -> None:
    frame = np.zeros((10, 10, 3), np.uint8)
    save_gif(tmp_path / "a.gif", [frame, frame, frame + 90, frame + 90], milliseconds=100, last=700)
    assert sum(gif(tmp_path / "a.gif")[1]) == 3 * 100 + 700


@pytest.mark.parametrize("save", [save_image, lambda path, sheet: save_gif(path, [sheet])])
def test_an_image_in_a_missing_folder_is_refused_in_one_sentence(
    save: Callable[[Path, np.ndarray], None], tmp_path: Path
) -> None:
    with pytest.raises(FileError, match="No such file or directory") as caught:
        save(tmp_path / "missing" / "a.png", np.zeros((4, 4, 3), np.uint8))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "missing" / "a.png") in str(caught.value)
