"""Folders of pictures: every usual kind is read, upright and square; what cannot be read is named and left out."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gans.data import folder as module
from gans.data.errors import DataError
from gans.data.folder import FEWEST, load_folder

COLOUR = (200, 100, 50)
EMOJI = Path(__file__).parents[4] / "shared/data/emoji64/trainA"


@pytest.fixture(autouse=True)
def _one_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEWEST", 1)


def read(folder: Path, size: int = 8) -> np.ndarray:
    images, source = load_folder(folder, size)
    assert source == str(folder)
    assert images.dtype == np.uint8 and images.shape[1:] == (3, size, size)
    return images


def read_one(folder: Path, picture: Image.Image, name: str = "a.png", size: int = 8, **options: object) -> np.ndarray:
    picture.save(folder / name, **options)
    (image,) = read(folder, size)
    return image


def numbered(folder: Path, *names: str) -> None:
    """Pictures that are grey, the first of value 0, the next of 10, ..."""
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 9), 10 * i).save(folder / name)


def numbers(images: np.ndarray) -> list[int]:
    assert (images == images[:, :1, :1, :1]).all()
    return (images[:, 0, 0, 0] // 10).tolist()


def quadrants(size: int = 64) -> Image.Image:
    """Red, green, blue and white quarters."""
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 0], pixels[0, 1], pixels[1, 0], pixels[1, 1] = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
    return Image.fromarray(pixels).resize((size, size), Image.Resampling.NEAREST)


# --- kinds of pictures


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.bmp", "a.webp", "a.jpg", "a.JPEG", "a.Jpg"])
def test_every_format_is_read_whatever_the_case_of_its_suffix(tmp_path: Path, name: str) -> None:
    options = {"lossless": True} if name.endswith("webp") else {"quality": 95} if "j" in name.lower() else {}
    image = read_one(tmp_path, Image.new("RGB", (20, 20), COLOUR), name, **options)
    atol = 3 if "j" in name.lower() else 0
    np.testing.assert_allclose(image, np.broadcast_to(np.array(COLOUR)[:, None, None], (3, 8, 8)), atol=atol)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
def test_the_content_decides_not_the_suffix(tmp_path: Path, name: str) -> None:
    image = read_one(tmp_path, Image.new("RGB", (8, 8), COLOUR), name, format="PNG")
    assert tuple(image[:, 0, 0]) == COLOUR


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 255), (77, 77, 77)),
        ("LA", (77, 0), (255, 255, 255)),
        ("RGB", COLOUR, COLOUR),
        ("RGBA", (*COLOUR, 255), COLOUR),
        ("RGBA", (*COLOUR, 0), (255, 255, 255)),
        ("RGBA", (200, 0, 100, 51), (244, 204, 224)),  # a fifth of the colour, the rest white
    ],
)
def test_modes_become_rgb_on_white(tmp_path: Path, mode: str, colour: object, expected: tuple[int, int, int]) -> None:
    image = read_one(tmp_path, Image.new(mode, (16, 16), colour))  # type: ignore[arg-type]
    np.testing.assert_allclose(image.reshape(3, -1), np.repeat(np.array(expected)[:, None], 64, 1), atol=1)


@pytest.mark.parametrize("value", [0, 300, 0x4D4D, 40_000, 65_535])
def test_sixteen_bits_of_grey_are_scaled_not_clipped(tmp_path: Path, value: int) -> None:
    image = read_one(tmp_path, Image.fromarray(np.full((16, 16), value, np.uint16)))
    assert (image == value >> 8).all()


def test_palettes_keep_their_colours_and_their_transparent_one(tmp_path: Path) -> None:
    picture = quadrants().quantize(4)
    picture.save(tmp_path / "a.png")
    white = picture.getpixel((63, 63))
    picture.putpalette([c if i // 3 != white else 9 for i, c in enumerate(picture.getpalette() or [])])
    picture.save(tmp_path / "b.png", transparency=white)
    plain, transparent = read(tmp_path, 64)
    np.testing.assert_array_equal(plain, np.asarray(quadrants()).transpose(2, 0, 1))
    np.testing.assert_array_equal(transparent, plain)


def test_a_colour_declared_transparent_becomes_white(tmp_path: Path) -> None:
    assert (read_one(tmp_path, Image.new("RGB", (8, 8), COLOUR), transparency=COLOUR) == 255).all()


def test_what_is_transparent_does_not_bleed_into_its_neighbours(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)  # transparent black ...
    pixels[:, :31] = 255  # ... beside opaque white
    assert (read_one(tmp_path, Image.fromarray(pixels)) == 255).all()


def test_cmyk_jpegs_are_read(tmp_path: Path) -> None:
    image = read_one(tmp_path, Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "a.jpg", quality=95)
    np.testing.assert_allclose(image.mean((1, 2)), (255, 0, 0), atol=6)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(tmp_path: Path, name: str, orientation: int) -> None:
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what turns an upright picture into one stored that way
    stored = quadrants() if orientation == 1 else quadrants().transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read_one(tmp_path, stored, name, exif=exif, quality=95)
    np.testing.assert_allclose(image[:, 1::5, 1::5], np.asarray(quadrants(8))[1::5, 1::5].transpose(2, 0, 1), atol=20)


def test_damaged_orientation_does_not_lose_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_one(tmp_path, Image.new("RGB", (8, 8)), "a.jpg", exif=b"Exif\0\0rubbish")
    assert capsys.readouterr().err == ""


# --- crop and size


def test_a_picture_of_the_right_size_is_not_changed(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    np.testing.assert_array_equal(read_one(tmp_path, Image.fromarray(pixels), size=24), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(24, 31), (31, 24), (24, 200), (200, 24)])
def test_the_middle_square_is_taken(tmp_path: Path, shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    top, left = (shape[0] - 24) // 2, (shape[1] - 24) // 2
    expected = pixels[top : top + 24, left : left + 24].transpose(2, 0, 1)
    np.testing.assert_array_equal(read_one(tmp_path, Image.fromarray(pixels), size=24), expected)


def test_large_pictures_are_averaged_not_sampled(tmp_path: Path) -> None:
    stripes = np.indices((512, 512)).sum(0) % 2 * np.uint8(255)
    image = read_one(tmp_path, Image.fromarray(stripes.astype(np.uint8)), size=16)
    assert np.abs(image.astype(int) - 127.5).max() < 3


def test_a_large_jpeg_that_is_decoded_small_looks_the_same(tmp_path: Path) -> None:
    waves = 128 + 120 * np.sin(np.arange(1000) / 40)[:, None, None] * np.cos(np.arange(800) / 50)[:, None] * [1, 0.5, -1]
    picture = Image.fromarray(waves.astype(np.uint8))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=95)
    with Image.open(stream) as full:
        full.convert("RGB").save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(stream.getvalue())
    exact, drafted = read(tmp_path, 32).astype(int)
    assert np.abs(exact - drafted).mean() < 0.5


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.sampled_from(["png", "bmp"]))
def test_any_size_and_aspect_gives_the_same_square(tmp_path: Path, width: int, height: int, size: int, suffix: str) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    image = read_one(tmp_path, Image.new("RGB", (width, height), COLOUR), f"a.{suffix}", size)
    assert (image == np.array(COLOUR)[:, None, None]).all()


@pytest.mark.parametrize("size", [0, -3, 2.5, None])
def test_a_bad_size_is_refused(tmp_path: Path, size: object) -> None:
    with pytest.raises(ValueError, match="image_size must be a whole number of pixels"):
        load_folder(tmp_path, size)  # type: ignore[arg-type]


# --- which files, in which order


def test_pictures_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    numbered(tmp_path, "B.png", "a.png", "a/a.png", "a/z/1.png", "a/z/10.png", "a/z/2.png", "b.jpg", "é.png")
    assert numbers(read(tmp_path)) == list(range(8))


def test_order_and_images_do_not_depend_on_threads_and_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbered(tmp_path, *(f"{i:02}.png" for i in range(25)))
    monkeypatch.setattr(module, "_CHUNK", 3)
    for threads in (1, 3):
        monkeypatch.setattr(os, "cpu_count", lambda threads=threads: threads)
        assert numbers(read(tmp_path)) == list(range(25))


def test_hidden_files_and_other_files_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbered(tmp_path, "a.png", ".b.png", ".cache/c.png", "sub/.d.png", "sub/e.png")
    for name in ("notes.txt", "Thumbs.db", "png", "movie.mp4"):
        (tmp_path / name).write_bytes(b"x")
    assert numbers(read(tmp_path)) == [0, 4]
    assert capsys.readouterr().err == ""


def test_a_hidden_folder_that_is_asked_for_is_read(tmp_path: Path) -> None:
    numbered(tmp_path, ".data/a.png")
    assert numbers(read(tmp_path / ".data")) == [0]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    numbered(tmp_path, "elsewhere/a.png", "data/b.png")
    try:
        (tmp_path / "data/more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        (tmp_path / "elsewhere/back").symlink_to(tmp_path / "data", target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    assert numbers(read(tmp_path / "data")) == [1, 0]


# --- what cannot be read


def damaged(kind: str) -> bytes:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    stream = io.BytesIO()
    noise.save(stream, kind)
    return stream.getvalue()[: len(stream.getvalue()) // 2]


def test_unreadable_files_are_named_in_one_line_and_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbered(tmp_path, "a.png", "c.png", "sub/e.png", "z.png")
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "d.jpg").write_bytes(damaged("JPEG"))
    (tmp_path / "sub/b.png").write_bytes(damaged("PNG"))
    (tmp_path / "sub/f.webp").write_bytes(damaged("WEBP"))
    (tmp_path / "t.bmp").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    assert numbers(read(tmp_path)) == [0, 1, 2, 3]
    assert capsys.readouterr().err == (
        f"5 of the 9 images in {tmp_path} cannot be read: b.png (not an image), d.jpg (damaged), "
        f"{Path('sub/b.png')} (damaged) and 2 more.\n"
    )


def test_a_picture_that_would_fill_the_memory_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    numbered(tmp_path, "a.png")
    Image.new("1", (100, 100)).save(tmp_path / "b.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4_000)  # Pillow refuses twice as many
    assert numbers(read(tmp_path)) == [0]
    assert capsys.readouterr().err.endswith("cannot be read: b.png (too large).\n")


def test_a_picture_that_is_merely_large_is_read_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6_000)
    read_one(tmp_path, Image.new("L", (100, 100)))
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_and_a_broken_link_are_skipped_without_waiting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbered(tmp_path, "a.png")
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to(tmp_path / "nowhere")
    assert len(read(tmp_path)) == 1
    line = capsys.readouterr().err
    assert line.startswith("2 of the 3 images") and "c.png (No such file" in line


# --- folders that cannot be used


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_folder(folder, 8)
    message = str(caught.value)
    assert message.startswith(str(folder)) and message.endswith(".") and "\n" not in message
    return message


def test_a_folder_that_is_missing_empty_or_a_file_is_refused(tmp_path: Path) -> None:
    numbered(tmp_path, "full/a.png")
    (tmp_path / "empty").mkdir()
    assert "No such file" in refusal(tmp_path / "nowhere")
    assert "has no images (.png, .jpg" in refusal(tmp_path / "empty")
    assert "is a file, not a folder" in refusal(tmp_path / "full/a.png")


def test_too_few_pictures_are_refused_and_sixteen_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "FEWEST", FEWEST)
    numbered(tmp_path, *(f"{i}.png" for i in range(FEWEST - 1)))
    assert "too few images: 15, but it takes 16" in refusal(tmp_path)
    (tmp_path / "x.png").write_bytes(b"rubbish")
    assert "too few images that can be read: 15" in refusal(tmp_path)
    assert "x.png" in capsys.readouterr().err
    numbered(tmp_path, "x.png")
    assert len(read(tmp_path)) == 16


def test_a_folder_of_nothing_but_rubbish_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"rubbish")
    assert "too few images that can be read: 0" in refusal(tmp_path)


def test_images_that_memory_cannot_hold_are_refused(tmp_path: Path) -> None:
    numbered(tmp_path, "a.png")
    with pytest.raises(DataError, match=r"1 images of 100000000 x 100000000 pixels need .* GiB of memory"):
        load_folder(tmp_path, 100_000_000)


@pytest.mark.skipif(not EMOJI.is_dir(), reason=f"no emoji in {EMOJI}")
def test_real_emoji_are_read() -> None:
    images = read(EMOJI, 32)
    assert len(images) == 1440
    assert (images[:, :, 0, 0] > 240).mean() > 0.8, "they stand on white"
