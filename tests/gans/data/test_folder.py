"""Image folders: every common format is read, upright and square; unreadable files are reported and left out."""

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
from gans.data.folder import MIN_IMAGES, load_folder

COLOUR = (200, 100, 50)
EMOJI = Path(__file__).parents[4] / "shared/data/emoji64/trainA"


@pytest.fixture(autouse=True)
def _one_image_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIN_IMAGES", 1)


def read(folder: Path, size: int = 8) -> np.ndarray:
    images, source = load_folder(folder, size)
    assert source == str(folder)
    assert images.dtype == np.uint8 and images.shape[1:] == (3, size, size)
    return images


def read_one(folder: Path, image: Image.Image, name: str = "a.png", size: int = 8, **options: object) -> np.ndarray:
    """Save an image and read the folder, which must have only this one."""
    image.save(folder / name, **options)
    (array,) = read(folder, size)
    return array


def save_numbered(folder: Path, *names: str) -> None:
    """Save grey images whose pixels are 0 in the first, 10 in the second, ..."""
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 9), 10 * i).save(folder / name)


def numbers(images: np.ndarray) -> list[int]:
    """Which of the numbered images these are."""
    assert (images == images[:, :1, :1, :1]).all()
    return (images[:, 0, 0, 0] // 10).tolist()


def quadrants(size: int = 64) -> Image.Image:
    """Red, green, blue and white quarters."""
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 0], pixels[0, 1], pixels[1, 0], pixels[1, 1] = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
    return Image.fromarray(pixels).resize((size, size), Image.Resampling.NEAREST)


# --- formats and modes


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.bmp", "a.webp", "a.jpg", "a.JPEG", "a.Jpg"])
def test_every_format_is_read_and_the_case_of_the_suffix_is_ignored(tmp_path: Path, name: str) -> None:
    options = {"lossless": True} if name.endswith("webp") else {"quality": 95} if "j" in name.lower() else {}
    image = read_one(tmp_path, Image.new("RGB", (20, 20), COLOUR), name, **options)
    atol = 3 if "j" in name.lower() else 0
    np.testing.assert_allclose(image, np.broadcast_to(np.array(COLOUR)[:, None, None], (3, 8, 8)), atol=atol)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
def test_the_format_is_detected_from_the_content_not_the_suffix(tmp_path: Path, name: str) -> None:
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
        ("RGBA", (200, 0, 100, 51), (244, 204, 224)),  # one fifth the colour, four fifths white
    ],
)
def test_every_mode_becomes_rgb_on_white(tmp_path: Path, mode: str, colour: object, expected: tuple[int, int, int]) -> None:
    image = read_one(tmp_path, Image.new(mode, (16, 16), colour))  # type: ignore[arg-type]
    np.testing.assert_allclose(image.reshape(3, -1), np.repeat(np.array(expected)[:, None], 64, 1), atol=1)


@pytest.mark.parametrize("value", [0, 300, 0x4D4D, 40_000, 65_535])
def test_sixteen_bits_of_grey_are_scaled_not_clipped(tmp_path: Path, value: int) -> None:
    image = read_one(tmp_path, Image.fromarray(np.full((16, 16), value, np.uint16)))
    assert (image == value >> 8).all()


def test_palette_images_keep_their_colours_and_their_transparency(tmp_path: Path) -> None:
    image = quadrants().quantize(4)
    image.save(tmp_path / "a.png")
    white = image.getpixel((63, 63))
    image.putpalette([c if i // 3 != white else 9 for i, c in enumerate(image.getpalette() or [])])
    image.save(tmp_path / "b.png", transparency=white)
    plain, transparent = read(tmp_path, 64)
    np.testing.assert_array_equal(plain, np.asarray(quadrants()).transpose(2, 0, 1))
    np.testing.assert_array_equal(transparent, plain)


def test_a_colour_declared_transparent_becomes_white(tmp_path: Path) -> None:
    assert (read_one(tmp_path, Image.new("RGB", (8, 8), COLOUR), transparency=COLOUR) == 255).all()


def test_transparent_pixels_do_not_bleed_into_their_neighbours(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)  # transparent black ...
    pixels[:, :31] = 255  # ... beside opaque white
    assert (read_one(tmp_path, Image.fromarray(pixels)) == 255).all()


def test_cmyk_jpegs_are_read(tmp_path: Path) -> None:
    image = read_one(tmp_path, Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "a.jpg", quality=95)
    np.testing.assert_allclose(image.mean((1, 2)), (255, 0, 0), atol=6)


def test_of_an_animated_png_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    image = read_one(tmp_path, frames[0], "a.png", save_all=True, append_images=frames[1:])
    assert image[:, 3, 3].tolist() == [255, 0, 0]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(tmp_path: Path, name: str, orientation: int) -> None:
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that stores an upright image with this orientation
    stored = quadrants() if orientation == 1 else quadrants().transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read_one(tmp_path, stored, name, exif=exif, quality=95)
    np.testing.assert_allclose(image[:, 1::5, 1::5], np.asarray(quadrants(8))[1::5, 1::5].transpose(2, 0, 1), atol=20)


def test_an_image_with_damaged_exif_data_is_still_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_one(tmp_path, Image.new("RGB", (8, 8)), "a.jpg", exif=b"Exif\0\0rubbish")
    assert capsys.readouterr().err == ""


# --- crop and size


def test_an_image_of_the_requested_size_is_not_changed(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    np.testing.assert_array_equal(read_one(tmp_path, Image.fromarray(pixels), size=24), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(24, 31), (31, 24), (24, 200), (200, 24)])
def test_the_central_square_is_cropped(tmp_path: Path, shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    top, left = (shape[0] - 24) // 2, (shape[1] - 24) // 2
    expected = pixels[top : top + 24, left : left + 24].transpose(2, 0, 1)
    np.testing.assert_array_equal(read_one(tmp_path, Image.fromarray(pixels), size=24), expected)


def test_large_images_are_averaged_not_subsampled(tmp_path: Path) -> None:
    stripes = np.indices((512, 512)).sum(0) % 2 * np.uint8(255)
    image = read_one(tmp_path, Image.fromarray(stripes.astype(np.uint8)), size=16)
    assert np.abs(image.astype(int) - 127.5).max() < 3


def test_a_large_jpeg_decoded_at_reduced_size_looks_the_same(tmp_path: Path) -> None:
    waves = 128 + 120 * np.sin(np.arange(1000) / 40)[:, None, None] * np.cos(np.arange(800) / 50)[:, None] * [1, 0.5, -1]
    image = Image.fromarray(waves.astype(np.uint8))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95)
    with Image.open(stream) as full:
        full.convert("RGB").save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(stream.getvalue())
    exact, drafted = read(tmp_path, 32).astype(int)
    assert np.abs(exact - drafted).mean() < 0.5


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.sampled_from(["png", "bmp"]))
def test_any_size_and_aspect_ratio_gives_the_same_square(
    tmp_path: Path, width: int, height: int, size: int, suffix: str
) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    image = read_one(tmp_path, Image.new("RGB", (width, height), COLOUR), f"a.{suffix}", size)
    assert (image == np.array(COLOUR)[:, None, None]).all()


@pytest.mark.parametrize("size", [0, -3, 2.5, None])
def test_an_invalid_size_is_an_error(tmp_path: Path, size: object) -> None:
    with pytest.raises(ValueError, match="image_size must be a positive integer"):
        load_folder(tmp_path, size)  # type: ignore[arg-type]


# --- which files, in which order


def test_images_are_in_the_order_of_their_paths(tmp_path: Path) -> None:
    save_numbered(tmp_path, "B.png", "a.png", "a/a.png", "a/z/1.png", "a/z/10.png", "a/z/2.png", "b.jpg", "é.png")
    assert numbers(read(tmp_path)) == list(range(8))


def test_the_order_does_not_depend_on_threads_and_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_numbered(tmp_path, *(f"{i:02}.png" for i in range(25)))
    monkeypatch.setattr(module, "_CHUNK", 3)
    for threads in (1, 3):
        monkeypatch.setattr(os, "cpu_count", lambda threads=threads: threads)
        assert numbers(read(tmp_path)) == list(range(25))


def test_hidden_files_and_other_types_of_files_are_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_numbered(tmp_path, "a.png", ".b.png", ".cache/c.png", "sub/.d.png", "sub/e.png")
    for name in ("notes.txt", "Thumbs.db", "png", "movie.mp4"):
        (tmp_path / name).write_bytes(b"x")
    assert numbers(read(tmp_path)) == [0, 4]
    assert capsys.readouterr().err == ""


def test_a_hidden_folder_is_read_if_it_is_the_one_requested(tmp_path: Path) -> None:
    save_numbered(tmp_path, ".data/a.png")
    assert numbers(read(tmp_path / ".data")) == [0]


def test_symbolic_links_are_followed_but_cycles_are_not(tmp_path: Path) -> None:
    save_numbered(tmp_path, "elsewhere/a.png", "data/b.png")
    try:
        (tmp_path / "data/more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        (tmp_path / "elsewhere/back").symlink_to(tmp_path / "data", target_is_directory=True)
    except OSError:
        pytest.skip("no symbolic links on this platform")
    assert numbers(read(tmp_path / "data")) == [1, 0]


# --- what cannot be read


def truncated(image_format: str) -> bytes:
    """The first half of an image file."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    stream = io.BytesIO()
    noise.save(stream, image_format)
    return stream.getvalue()[: len(stream.getvalue()) // 2]


def test_unreadable_files_are_skipped_and_named_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_numbered(tmp_path, "a.png", "c.png", "sub/e.png", "z.png")
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "d.jpg").write_bytes(truncated("JPEG"))
    (tmp_path / "sub/b.png").write_bytes(truncated("PNG"))
    (tmp_path / "sub/f.webp").write_bytes(truncated("WEBP"))
    (tmp_path / "t.bmp").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    assert numbers(read(tmp_path)) == [0, 1, 2, 3]
    assert capsys.readouterr().err == (
        f"5 of the 9 images in {tmp_path} cannot be read: b.png (not an image), d.jpg (damaged), "
        f"{Path('sub/b.png')} (damaged) and 2 more.\n"
    )


def test_an_image_too_large_to_decode_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_numbered(tmp_path, "a.png")
    Image.new("1", (100, 100)).save(tmp_path / "b.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4_000)  # Pillow raises above twice this, and only warns below
    assert numbers(read(tmp_path)) == [0]
    assert capsys.readouterr().err.endswith("cannot be read: b.png (too large).\n")


def test_an_image_that_is_merely_large_is_read_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6_000)
    read_one(tmp_path, Image.new("L", (100, 100)))
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this platform")
def test_a_named_pipe_and_a_broken_link_are_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_numbered(tmp_path, "a.png")
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to(tmp_path / "nowhere")
    assert len(read(tmp_path)) == 1
    line = capsys.readouterr().err
    assert line.startswith("2 of the 3 images") and "c.png (No such file" in line


# --- folders that cannot be used


def error_message(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_folder(folder, 8)
    message = str(caught.value)
    assert message.startswith(str(folder)) and message.endswith(".") and "\n" not in message
    return message


def test_a_missing_or_empty_folder_and_a_file_are_errors(tmp_path: Path) -> None:
    save_numbered(tmp_path, "full/a.png")
    (tmp_path / "empty").mkdir()
    assert "No such file" in error_message(tmp_path / "nowhere")
    assert "has no images (.png, " in error_message(tmp_path / "empty")
    assert "is a file, not a folder" in error_message(tmp_path / "full/a.png")


def test_fifteen_images_are_too_few_and_sixteen_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "MIN_IMAGES", MIN_IMAGES)
    save_numbered(tmp_path, *(f"{i}.png" for i in range(MIN_IMAGES - 1)))
    assert "too few images: 15, where at least 16" in error_message(tmp_path)
    (tmp_path / "x.png").write_bytes(b"rubbish")
    assert "too few readable images: 15" in error_message(tmp_path)
    assert "x.png" in capsys.readouterr().err
    save_numbered(tmp_path, "x.png")
    assert len(read(tmp_path)) == 16


def test_a_folder_of_only_damaged_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"rubbish")
    assert "too few readable images: 0" in error_message(tmp_path)


def test_images_that_do_not_fit_into_memory_are_an_error(tmp_path: Path) -> None:
    save_numbered(tmp_path, "a.png")
    with pytest.raises(DataError, match=r"1 images of 100000000 x 100000000 pixels need .* GiB of memory"):
        load_folder(tmp_path, 100_000_000)


@pytest.mark.skipif(not EMOJI.is_dir(), reason=f"no emoji in {EMOJI}")
def test_real_emoji_are_read() -> None:
    images = read(EMOJI, 32)
    assert len(images) == 1440
    assert (images[:, :, 0, 0] > 240).mean() > 0.8, "they stand on white"


def test_a_run_in_the_folder_is_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_numbered(tmp_path, "a.png", "runs/dcgan/samples/step-000001.png", "runs/dcgan/losses.png", "samples/b.png")
    (tmp_path / "runs/dcgan/config.json").write_text('{"trainer": "dcgan", "minigrad": "0.1.0"}')
    (tmp_path / "config.json").write_text('{"dataset": "mine"}')
    assert numbers(read(tmp_path)) == [0, 3], "a folder called samples is no run"
    assert capsys.readouterr().err == f"Runs in {tmp_path} are left out: runs/dcgan (generated images).\n"
