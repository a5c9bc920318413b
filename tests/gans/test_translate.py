"""`python -m gans.translate` with pictures of every size and kind, on whole and on damaged runs."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gans import translate as module
from gans.cyclegan import CycleGAN
from gans.trainers import load_run
from tests.gans.conftest import Ended, files

pytestmark = pytest.mark.usefixtures("plots_stubbed")

Command = Callable[..., Ended]
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def run(cyclegan: Command, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run with a ResNet, whose pictures are multiples of 8 pixels; made once, for reading only."""
    monkeypatch.chdir(tmp_path)
    if not (made / "resnet").exists():
        assert cyclegan("--steps", 1, "--out", made / "resnet").code == 0
    return made / "resnet"


@pytest.fixture
def unet_run(cyclegan: Command, made: Path) -> Path:
    """The same with a U-Net, whose pictures are multiples of 32 pixels."""
    if not (made / "unet").exists():
        assert cyclegan("--generator", "unet", "--steps", 1, "--out", made / "unet").code == 0
    return made / "unet"


def trainer_of(run: Path) -> CycleGAN:
    trainer = load_run(run, "numpy")
    assert isinstance(trainer, CycleGAN)
    return trainer


def pixels(height: int, width: int, channels: int = 3) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)


def put(path: Path, array: np.ndarray | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(10, 12) if array is None else array).save(path, **options)
    return path


def shown(path: Path) -> np.ndarray:
    """(3, height, width)"""
    with Image.open(path) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        return np.asarray(picture).transpose(2, 0, 1)


def go(translate: Command, run: Path, source: object, *more: object, direction: str = "AtoB", out: object = "out") -> Ended:
    return translate(run, "--direction", direction, "--input", source, "--out", out, *more)


# --- sizes


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 50), (3, 2), (7, 9), (32, 32), (33, 47), (64, 5)])
@pytest.mark.parametrize("which", ["run", "unet_run"])
def test_a_picture_of_any_size_keeps_it(
    which: str, height: int, width: int, translate: Command, run: Path, unet_run: Path
) -> None:
    put(Path("a.png"), pixels(height, width))
    ended = go(translate, run if which == "run" else unet_run, "a.png")
    assert (ended.code, ended.out, ended.err) == (0, "1 in out\n", "")
    assert shown(Path("out/a.png")).shape == (3, height, width)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_a_picture_that_fits_is_translated_as_it_is(direction: str, translate: Command, run: Path) -> None:
    image = pixels(24, 40)
    put(Path("a.png"), image)
    assert go(translate, run, "a.png", direction=direction).code == 0
    expected = trainer_of(run).translate(image.transpose(2, 0, 1)[None], direction)[0]
    np.testing.assert_array_equal(shown(Path("out/a.png")), expected)


def test_the_two_directions_differ(translate: Command, run: Path) -> None:
    put(Path("a.png"))
    for direction in ("AtoB", "BtoA"):
        go(translate, run, "a.png", direction=direction, out=direction)
    assert not np.array_equal(shown(Path("AtoB/a.png")), shown(Path("BtoA/a.png")))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 40), st.integers(1, 40))
def test_what_does_not_fit_is_continued_by_mirror_images_on_both_sides(run: Path, height: int, width: int) -> None:
    asked = []

    class Echo:
        granularity = 8

        def translate(self, images: np.ndarray, direction: str) -> np.ndarray:
            asked.append(images)
            return images

    image = pixels(height, width).transpose(2, 0, 1)
    np.testing.assert_array_equal(module.translate(Echo(), image, "AtoB"), image)  # type: ignore[arg-type]
    (padded,) = asked
    assert padded.shape == (1, 3, -(-height // 8) * 8, -(-width // 8) * 8)
    before = [(after - n) // 2 for after, n in zip(padded.shape[2:], (height, width), strict=True)]
    for axis, (length, first) in enumerate(zip((height, width), before, strict=True)):
        place = (np.arange(padded.shape[2 + axis]) - first) % (2 * length)
        image = image.take(np.minimum(place, 2 * length - 1 - place), axis=1 + axis)
    np.testing.assert_array_equal(padded[0], image)


@pytest.mark.parametrize(("size", "expected"), [(16, (16, 32)), (30, (30, 60)), (1, (1, 2))])
def test_with_size_the_shorter_side_has_so_many_pixels(
    size: int, expected: tuple[int, int], translate: Command, run: Path
) -> None:
    put(Path("a.png"), pixels(20, 40))
    put(Path("in/b.png"), pixels(40, 20))
    assert go(translate, run, "a.png", "--size", size).code == go(translate, run, "in", "--size", size).code == 0
    assert shown(Path("out/a.png")).shape[1:] == expected
    assert shown(Path("out/b.png")).shape[1:] == expected[::-1]


# --- kinds of pictures


def test_grey_transparent_deep_and_turned_pictures_are_what_they_show(translate: Command, run: Path) -> None:
    grey = pixels(16, 16, 1)[..., 0]
    colour = np.stack([grey] * 3, axis=2)
    put(Path("in/colour.png"), colour)
    put(Path("in/grey.png"), grey)
    put(Path("in/sixteen.png"), grey.astype(np.uint16) * 256)
    put(Path("in/opaque.png"), np.dstack([colour, np.full((16, 16), 255, np.uint8)]))
    turned = Image.Exif()
    turned[0x112] = 6  # to be turned right
    put(Path("in/turned.png"), np.rot90(colour).copy(), exif=turned)
    put(Path("in/white.png"), np.full((16, 16), 255, np.uint8))
    put(Path("in/clear.png"), np.dstack([pixels(16, 16), np.zeros((16, 16), np.uint8)]))
    put(Path("in/black.png"), np.zeros((16, 16), np.uint8) > 0)
    with Image.open("in/black.png") as picture:
        assert picture.mode == "1"
    with Image.open("in/sixteen.png") as picture:
        assert picture.mode == "I;16"
    Image.fromarray(colour).quantize(256).save("in/palette.png")
    Image.fromarray(colour).convert("CMYK").save("in/cmyk.jpg")
    assert go(translate, run, "in").code == 0
    assert len(list(Path("out").iterdir())) == 10
    for name in ("grey", "sixteen", "opaque", "turned", "palette"):
        np.testing.assert_array_equal(shown(Path(f"out/{name}.png")), shown(Path("out/colour.png")), err_msg=name)
    np.testing.assert_array_equal(shown(Path("out/clear.png")), shown(Path("out/white.png")))


def damaged(folder: Path) -> None:
    whole = put(folder / "cut.png", pixels(60, 60))
    whole.write_bytes(whole.read_bytes()[:3000])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "rubbish.webp").write_bytes(b"rubbish")


def test_pictures_that_cannot_be_read_are_left_out_and_named(translate: Command, run: Path) -> None:
    damaged(Path("in"))
    put(Path("in/good.png"))
    ended = go(translate, run, "in")
    assert (ended.code, ended.out) == (0, "1 in out\n")
    assert ended.err == (
        "3 of the 4 images in in cannot be translated: "
        "cut.png (damaged), empty.jpg (not an image), rubbish.webp (not an image).\n"
    )
    assert set(files(Path("out"))) == {"good.png"}


@pytest.mark.parametrize("source", ["in", "in/cut.png"])
def test_where_nothing_can_be_read_the_command_fails_and_makes_no_folder(source: str, translate: Command, run: Path) -> None:
    damaged(Path("in"))
    ended = go(translate, run, source)
    assert ended.code == 1
    first, second = ended.err.splitlines()
    assert "cannot be translated: cut.png (damaged)" in first
    assert second == f"python -m gans.translate: nothing in {source} could be translated"
    assert not Path("out").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_not_waited_for(translate: Command, run: Path) -> None:
    os.mkfifo("a.png")
    assert "a.png (not a regular file)" in go(translate, run, "a.png").err


def test_what_pillow_says_of_large_pictures_and_odd_metadata_stays_with_it(
    translate: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(Path("in/large.png"), pixels(20, 20))
    put(Path("in/larger.png"), pixels(30, 30))
    put(Path("in/odd.jpg"), exif=b"Exif\0\0rubbish")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)  # a warning up to twice as many, an error beyond
    ended = go(translate, run, "in")
    assert (ended.code, ended.out) == (0, "2 in out\n")
    assert ended.err == "1 of the 3 images in in cannot be translated: larger.png (too large).\n"


def test_a_picture_too_large_for_the_memory_is_left_out_and_named(
    translate: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short_of_memory(self: CycleGAN, images: np.ndarray, direction: str) -> np.ndarray:
        if images.shape[3] > 40:
            raise MemoryError
        return plain(self, images, direction)

    plain = CycleGAN.translate
    put(Path("in/large.png"), pixels(20, 50))
    put(Path("in/small.png"), pixels(20, 20))
    monkeypatch.setattr(CycleGAN, "translate", short_of_memory)
    ended = go(translate, run, "in")
    assert (ended.code, ended.out) == (0, "1 in out\n")
    assert "large.png (50 x 20 pixels are too many for the memory there is; try --size)" in ended.err


# --- where translations go


def test_a_folder_is_translated_with_its_subfolders_and_keeps_its_names(translate: Command, run: Path) -> None:
    for name in ("a.png", "b.JPG", "deep/er/c.webp", "deep/a.bmp", ".hidden.png", "deep/notes.txt.png"):
        put(Path("in", name))
    Path("in/notes.txt").write_text("left alone")
    assert go(translate, run, "in").out == "5 in out\n"
    assert set(files(Path("out"))) == {"a.png", "b.png", "deep/er/c.png", "deep/a.png", "deep/notes.txt.png"}


def test_pictures_of_one_name_keep_their_suffixes_and_none_replaces_another(translate: Command, run: Path) -> None:
    names = ("a.jpg", "a.png", "a.jpg.webp", "b.jpg", "b.jpg.png", "c.png", "deep/a.png", "e.jpg", "E.png")
    for i, name in enumerate(names):
        put(Path("in", name), np.full((8, 8, 3), 30 * i, np.uint8))
    assert go(translate, run, "in").out == "9 in out\n"
    assert set(files(Path("out"))) == {
        "a.jpg.png", "a.png.png", "a.jpg.webp.png", "b.png", "b.jpg.png.png", "c.png", "deep/a.png", "e.jpg.png", "E.png.png",
    }  # fmt: skip


def test_nothing_is_replaced_without_being_asked(translate: Command, run: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        put(Path("in", name))
    put(Path("out/b.png"))
    put(Path("out/c.png"))
    before = files(Path("out"))
    assert "out/b.png and 1 more exist already" in go(translate, run, "in").complaint
    assert files(Path("out")) == before
    assert go(translate, run, "in", "--overwrite").code == 0
    after = files(Path("out"))
    assert set(after) == {"a.png", "b.png", "c.png"} and all(after[name] != before[name] for name in before)


@pytest.mark.parametrize("more", [[], ["--overwrite"]], ids=str)
@pytest.mark.parametrize("out", ["in", "in/../in", "link"])
def test_the_picture_itself_is_never_replaced(out: str, more: list[str], translate: Command, run: Path) -> None:
    put(Path("in/a.png"))
    Path("link").symlink_to("in")
    before = files(Path("in"))
    assert "would replace the picture itself" in go(translate, run, "in", *more, out=out).complaint
    assert "would replace the picture itself" in go(translate, run, "in/a.png", *more, out=out).complaint
    assert files(Path("in")) == before


def test_translations_may_lie_beside_and_below_the_pictures_and_are_not_translated_again(translate: Command, run: Path) -> None:
    put(Path("in/a.jpg"))
    assert go(translate, run, "in", out="in/night").out == "1 in in/night\n"
    before = files(Path("in"))
    assert go(translate, run, "in", "--overwrite", out="in/night").complaint
    assert files(Path("in")) == before
    assert go(translate, run, "in/a.jpg", out="in").out == "1 in in\n"
    assert set(files(Path("in"))) == {"a.jpg", "a.png", "night/a.png"}


def test_ctrl_c_keeps_what_is_done_and_leaves_nothing_half_written(
    translate: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 3:
            raise KeyboardInterrupt
        sync(handle)

    calls, sync = list[int](), os.fsync
    for name in "abcd":
        put(Path(f"in/{name}.png"))
    monkeypatch.setattr(os, "fsync", interrupted)
    ended = go(translate, run, "in")
    assert ended.code == 130 and "Traceback" not in ended.err
    assert set(files(Path("out"))) == {"a.png", "b.png"}
    assert shown(Path("out/b.png")).shape == (3, 10, 12)


def test_a_full_disk_gives_one_sentence(translate: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    put(Path("a.png"))
    monkeypatch.setattr(os, "fsync", full)
    assert os.strerror(errno.ENOSPC) in go(translate, run, "a.png").complaint
    assert files(Path("out")) == {}


@pytest.mark.parametrize("where", ["a file", "below a file", "a name too long", "a link to itself"])
def test_a_folder_that_cannot_be_is_refused_in_one_sentence(where: str, translate: Command, run: Path) -> None:
    put(Path("a.png"))
    Path("file").write_text("kept")
    Path("loop").symlink_to("loop")
    out = {"a file": "file", "below a file": "file/out", "a name too long": "x" * 300, "a link to itself": "loop"}[where]
    assert f"cannot use the folder {out}" in go(translate, run, "a.png", out=out).complaint
    assert Path("file").read_text() == "kept"


def test_a_folder_in_place_of_a_translation_is_kept(translate: Command, run: Path) -> None:
    put(Path("a.png"))
    put(Path("out/a.png/kept.png"))
    assert "exist already" in go(translate, run, "a.png").complaint
    assert "cannot write out/a.png" in go(translate, run, "a.png", "--overwrite").complaint
    assert set(files(Path("out"))) == {"a.png/kept.png"}


# --- refusals


@pytest.mark.parametrize("source", ["nowhere", "x" * 300, "loop"])
def test_input_that_is_not_there_is_refused(source: str, translate: Command, run: Path) -> None:
    Path("loop").symlink_to("loop")
    assert f"--input {source} does not exist" in go(translate, run, source).complaint


def test_a_folder_without_pictures_is_refused(translate: Command, run: Path) -> None:
    Path("in").mkdir()
    Path("in/notes.txt").write_text("none")
    assert "--input in has no pictures" in go(translate, run, "in").complaint


def test_a_run_that_makes_new_pictures_is_refused_with_the_command_for_it(
    translate: Command, generate: Command, train: Command, run: Path, tmp_path: Path
) -> None:
    assert train("--steps", 1, "--out", tmp_path / "digits").code == 0
    put(tmp_path / "a.png")
    complaint = go(translate, tmp_path / "digits", tmp_path / "a.png", out=tmp_path / "out").complaint
    assert "a run of gans.mnist_gan" in complaint and "use gans.generate" in complaint
    complaint = generate(run).complaint
    assert "a run of gans.cyclegan" in complaint and "use gans.translate" in complaint


def test_a_folder_without_a_run_and_damaged_weights_are_refused(translate: Command, run: Path) -> None:
    put(Path("a.png"))
    assert "nowhere holds no run" in go(translate, Path("nowhere"), "a.png").complaint
    shutil.copytree(run, "copy")
    weights = Path("copy/generator.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "generator.safetensors" in go(translate, Path("copy"), "a.png").complaint
    weights.unlink()
    assert "first checkpoint" in go(translate, Path("copy"), "a.png").complaint
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "arguments",
    [(), ("--direction", "AtoC"), ("--size", "0"), ("--size", "-1"), ("--size", "8193"), ("--size", "²"), ("--size", "1.5"),
     ("--backend", "tpu"), ("--nonsense",)],
    ids=str,
)  # fmt: skip
def test_a_wrong_command_line_gives_one_line_and_exit_code_2(arguments: tuple[str, ...], translate: Command) -> None:
    given = ("run", "--direction", "AtoB", "--input", "a", "--out", "b") if arguments else ("run",)
    ended = translate(*given, *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("python -m gans.translate: ")


def test_a_narrow_picture_that_would_get_too_long_is_named(translate: Command, run: Path) -> None:
    Image.new("RGB", (2, 1000)).save("narrow.png")
    ended = go(translate, run, "narrow.png", "--size", 8192)
    assert ended.code == 1
    assert "cannot be translated: narrow.png (too large)" in ended.err
