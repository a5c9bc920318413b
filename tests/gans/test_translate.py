"""`python -m gans.translate` with images of every size and format, and with intact and damaged runs."""

from __future__ import annotations

import errno
import os
import shutil
import sys
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
    """The folder of a run with a ResNet, which takes multiples of 8 pixels. It is shared by the tests: do not change it."""
    monkeypatch.chdir(tmp_path)
    if not (made / "resnet").exists():
        assert cyclegan("--steps", 1, "--out", made / "resnet").code == 0
    return made / "resnet"


@pytest.fixture
def unet_run(cyclegan: Command, made: Path) -> Path:
    """The same with a U-Net, which takes multiples of 32 pixels."""
    if not (made / "unet").exists():
        assert cyclegan("--generator", "unet", "--steps", 1, "--out", made / "unet").code == 0
    return made / "unet"


def trainer_of(run: Path) -> CycleGAN:
    trainer = load_run(run, "numpy")
    assert isinstance(trainer, CycleGAN)
    return trainer


def pixels(height: int, width: int, channels: int = 3) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)


def save(path: Path, array: np.ndarray | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(10, 12) if array is None else array).save(path, **options)
    return path


def load(path: Path) -> np.ndarray:
    """The pixels of a PNG, (3, height, width)."""
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image).transpose(2, 0, 1)


def call(translate: Command, run: Path, source: object, *more: object, direction: str = "AtoB", out: object = "out") -> Ended:
    return translate(run, "--direction", direction, "--input", source, "--out", out, *more)


# --- sizes


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 50), (3, 2), (7, 9), (32, 32), (33, 47), (64, 5)])
@pytest.mark.parametrize("which", ["run", "unet_run"])
def test_a_translation_has_the_size_of_its_input(
    which: str, height: int, width: int, translate: Command, run: Path, unet_run: Path
) -> None:
    save(Path("a.png"), pixels(height, width))
    ended = call(translate, run if which == "run" else unet_run, "a.png")
    assert (ended.code, ended.out, ended.err) == (0, "translated 1 of 1 images to out\n", "")
    assert load(Path("out/a.png")).shape == (3, height, width)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_an_image_of_a_suitable_size_is_not_padded(direction: str, translate: Command, run: Path) -> None:
    image = pixels(24, 40)
    save(Path("a.png"), image)
    assert call(translate, run, "a.png", direction=direction).code == 0
    expected = trainer_of(run).translate(image.transpose(2, 0, 1)[None], direction)[0]
    np.testing.assert_array_equal(load(Path("out/a.png")), expected)


def test_the_two_directions_differ(translate: Command, run: Path) -> None:
    save(Path("a.png"))
    for direction in ("AtoB", "BtoA"):
        call(translate, run, "a.png", direction=direction, out=direction)
    assert not np.array_equal(load(Path("AtoB/a.png")), load(Path("BtoA/a.png")))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 40), st.integers(1, 40))
def test_other_sizes_are_padded_by_reflection_on_both_sides(run: Path, height: int, width: int) -> None:
    inputs = []

    class Identity:
        granularity = 8

        def translate(self, images: np.ndarray, direction: str) -> np.ndarray:
            inputs.append(images)
            return images

    image = pixels(height, width).transpose(2, 0, 1)
    np.testing.assert_array_equal(module.translate(Identity(), image, "AtoB"), image)  # type: ignore[arg-type]
    (padded,) = inputs
    assert padded.shape == (1, 3, -(-height // 8) * 8, -(-width // 8) * 8)
    before = [(after - n) // 2 for after, n in zip(padded.shape[2:], (height, width), strict=True)]
    for axis, (length, first) in enumerate(zip((height, width), before, strict=True)):
        position = (np.arange(padded.shape[2 + axis]) - first) % (2 * length)
        image = image.take(np.minimum(position, 2 * length - 1 - position), axis=1 + axis)
    np.testing.assert_array_equal(padded[0], image)


@pytest.mark.parametrize(("size", "expected"), [(16, (16, 32)), (30, (30, 60)), (1, (1, 2))])
def test_size_sets_the_length_of_the_shorter_side(size: int, expected: tuple[int, int], translate: Command, run: Path) -> None:
    save(Path("a.png"), pixels(20, 40))
    save(Path("in/b.png"), pixels(40, 20))
    assert call(translate, run, "a.png", "--size", size).code == call(translate, run, "in", "--size", size).code == 0
    assert load(Path("out/a.png")).shape[1:] == expected
    assert load(Path("out/b.png")).shape[1:] == expected[::-1]


# --- formats and modes


def test_every_mode_and_orientation_is_translated_as_upright_rgb(translate: Command, run: Path) -> None:
    grey = pixels(16, 16, 1)[..., 0]
    colour = np.stack([grey] * 3, axis=2)
    save(Path("in/colour.png"), colour)
    save(Path("in/grey.png"), grey)
    save(Path("in/sixteen.png"), grey.astype(np.uint16) * 256)
    save(Path("in/opaque.png"), np.dstack([colour, np.full((16, 16), 255, np.uint8)]))
    turned = Image.Exif()
    turned[0x112] = 6  # rotate clockwise
    save(Path("in/turned.png"), np.rot90(colour).copy(), exif=turned)
    save(Path("in/white.png"), np.full((16, 16), 255, np.uint8))
    save(Path("in/clear.png"), np.dstack([pixels(16, 16), np.zeros((16, 16), np.uint8)]))
    save(Path("in/black.png"), np.zeros((16, 16), np.uint8) > 0)
    with Image.open("in/black.png") as image:
        assert image.mode == "1"
    with Image.open("in/sixteen.png") as image:
        assert image.mode == "I;16"
    Image.fromarray(colour).quantize(256).save("in/palette.png")
    Image.fromarray(colour).convert("CMYK").save("in/cmyk.jpg")
    assert call(translate, run, "in").code == 0
    assert len(list(Path("out").iterdir())) == 10
    for name in ("grey", "sixteen", "opaque", "turned", "palette"):
        np.testing.assert_array_equal(load(Path(f"out/{name}.png")), load(Path("out/colour.png")), err_msg=name)
    np.testing.assert_array_equal(load(Path("out/clear.png")), load(Path("out/white.png")))


def save_damaged(folder: Path) -> None:
    """Three files that cannot be read."""
    whole = save(folder / "cut.png", pixels(60, 60))
    whole.write_bytes(whole.read_bytes()[:3000])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "rubbish.webp").write_bytes(b"rubbish")


def test_unreadable_images_are_skipped_and_named(translate: Command, run: Path) -> None:
    save_damaged(Path("in"))
    save(Path("in/good.png"))
    ended = call(translate, run, "in")
    assert (ended.code, ended.out) == (0, "translated 1 of 4 images to out\n")
    assert ended.err == (
        "3 of the 4 images in in cannot be translated: "
        "cut.png (damaged), empty.jpg (not an image), rubbish.webp (not an image).\n"
    )
    assert set(files(Path("out"))) == {"good.png"}


@pytest.mark.parametrize("source", ["in", "in/cut.png"])
def test_if_no_image_can_be_read_the_command_fails_and_creates_no_folder(source: str, translate: Command, run: Path) -> None:
    save_damaged(Path("in"))
    ended = call(translate, run, source)
    assert ended.code == 1
    first, second = ended.err.splitlines()
    assert "cannot be translated: cut.png (damaged)" in first
    assert second == f"python -m gans.translate: nothing in {source} could be translated"
    assert not Path("out").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have fewer names")
def test_strange_names_are_kept_and_printed_in_one_line(translate: Command, run: Path) -> None:
    names = ["\udcff", "a\nb", "\x1b[2J", "画像", "$\\frac$", "-x", "{}"]
    for name in names:
        save(Path(f"in/{name}.png"))
        Path(f"in/{name}.jpg.webp").write_bytes(b"")
    ended = call(translate, run, "in")
    assert ended.code == 0
    assert ended.err.count("\n") == 1 and ended.err[:-1].isprintable()
    assert set(files(Path("out"))) == {f"{name}.png" for name in names}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this platform")
def test_a_named_pipe_does_not_block(translate: Command, run: Path) -> None:
    os.mkfifo("a.png")
    assert "a.png (not a regular file)" in call(translate, run, "a.png").err


def test_pillows_warnings_about_large_images_and_odd_metadata_are_silenced(
    translate: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(Path("in/large.png"), pixels(20, 20))
    save(Path("in/larger.png"), pixels(30, 30))
    save(Path("in/odd.jpg"), exif=b"Exif\0\0rubbish")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)  # Pillow warns above this, and raises above twice this
    ended = call(translate, run, "in")
    assert (ended.code, ended.out) == (0, "translated 2 of 3 images to out\n")
    assert ended.err == "1 of the 3 images in in cannot be translated: larger.png (too large).\n"


def test_an_image_that_needs_too_much_memory_is_skipped_and_named(
    translate: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(self: CycleGAN, images: np.ndarray, direction: str) -> np.ndarray:
        if images.shape[3] > 40:
            raise MemoryError
        return original(self, images, direction)

    original = CycleGAN.translate
    save(Path("in/large.png"), pixels(20, 50))
    save(Path("in/small.png"), pixels(20, 20))
    monkeypatch.setattr(CycleGAN, "translate", out_of_memory)
    ended = call(translate, run, "in")
    assert (ended.code, ended.out) == (0, "translated 1 of 2 images to out\n")
    assert "large.png (50 x 20 pixels need too much memory; try a smaller --size)" in ended.err


# --- output paths


def test_a_folder_is_translated_with_its_subfolders_under_the_same_names(translate: Command, run: Path) -> None:
    for name in ("a.png", "b.JPG", "deep/er/c.webp", "deep/a.bmp", ".hidden.png", "deep/notes.txt.png"):
        save(Path("in", name))
    Path("in/notes.txt").write_text("ignored")
    assert call(translate, run, "in").out == "translated 5 of 5 images to out\n"
    assert set(files(Path("out"))) == {"a.png", "b.png", "deep/er/c.png", "deep/a.png", "deep/notes.txt.png"}


def test_images_that_differ_only_in_suffix_do_not_replace_each_other(translate: Command, run: Path) -> None:
    names = ("a.jpg", "a.png", "a.jpg.webp", "b.jpg", "b.jpg.png", "c.png", "deep/a.png", "e.jpg", "E.png")
    for i, name in enumerate(names):
        save(Path("in", name), np.full((8, 8, 3), 30 * i, np.uint8))
    assert call(translate, run, "in").out == "translated 9 of 9 images to out\n"
    assert set(files(Path("out"))) == {
        "a.jpg.png", "a.png.png", "a.jpg.webp.png", "b.png", "b.jpg.png.png", "c.png", "deep/a.png", "e.jpg.png", "E.png.png",
    }  # fmt: skip


def test_existing_files_are_only_replaced_with_overwrite(translate: Command, run: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        save(Path("in", name))
    save(Path("out/b.png"))
    save(Path("out/c.png"))
    before = files(Path("out"))
    assert "out/b.png and 1 more already exist" in call(translate, run, "in").complaint
    assert files(Path("out")) == before
    assert call(translate, run, "in", "--overwrite").code == 0
    after = files(Path("out"))
    assert set(after) == {"a.png", "b.png", "c.png"} and all(after[name] != before[name] for name in before)


@pytest.mark.parametrize("more", [[], ["--overwrite"]], ids=str)
@pytest.mark.parametrize("out", ["in", "in/../in", "link"])
def test_an_input_is_never_replaced(out: str, more: list[str], translate: Command, run: Path) -> None:
    save(Path("in/a.png"))
    Path("link").symlink_to("in")
    before = files(Path("in"))
    assert "would replace its input" in call(translate, run, "in", *more, out=out).complaint
    assert "would replace its input" in call(translate, run, "in/a.png", *more, out=out).complaint
    assert files(Path("in")) == before


def test_outputs_may_be_beside_or_below_the_inputs(translate: Command, run: Path) -> None:
    save(Path("in/a.jpg"))
    assert call(translate, run, "in", out="in/night").out == "translated 1 of 1 images to in/night\n"
    assert call(translate, run, "in", "--overwrite", out="in/night").out == "translated 1 of 1 images to in/night\n"
    assert set(files(Path("in"))) == {"a.jpg", "night/a.png"}
    save(Path("in/night/b.png"))  # an input, although it is there
    assert call(translate, run, "in", "--overwrite", out="in/night").out == "translated 2 of 2 images to in/night\n"
    shutil.rmtree("in/night/night")
    Path("in/night/b.png").unlink()
    assert call(translate, run, "in/a.jpg", out="in").out == "translated 1 of 1 images to in\n"
    assert set(files(Path("in"))) == {"a.jpg", "a.png", "night/a.png"}


def test_ctrl_c_keeps_finished_translations_and_no_partial_file(
    translate: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 5:  # for each file and then its folder
            raise KeyboardInterrupt
        sync(handle)

    calls, sync = list[int](), os.fsync
    for name in "abcd":
        save(Path(f"in/{name}.png"))
    monkeypatch.setattr(os, "fsync", interrupt)
    ended = call(translate, run, "in")
    assert ended.code == 130 and "Traceback" not in ended.err
    assert set(files(Path("out"))) == {"a.png", "b.png"}
    assert load(Path("out/b.png")).shape == (3, 10, 12)


def test_a_full_disk_is_an_error_in_one_sentence(translate: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    save(Path("a.png"))
    monkeypatch.setattr(os, "fsync", disk_full)
    assert os.strerror(errno.ENOSPC) in call(translate, run, "a.png").complaint
    assert files(Path("out")) == {}


@pytest.mark.parametrize("where", ["a file", "below a file", "a name too long", "a link to itself"])
def test_an_output_folder_that_cannot_be_created_is_an_error_in_one_sentence(where: str, translate: Command, run: Path) -> None:
    save(Path("a.png"))
    Path("file").write_text("kept")
    Path("loop").symlink_to("loop")
    out = {"a file": "file", "below a file": "file/out", "a name too long": "x" * 300, "a link to itself": "loop"}[where]
    assert f"cannot use the folder {out}" in call(translate, run, "a.png", out=out).complaint
    assert Path("file").read_text() == "kept"


def test_a_folder_with_the_name_of_a_translation_is_kept(translate: Command, run: Path) -> None:
    save(Path("a.png"))
    save(Path("out/a.png/kept.png"))
    assert "already exists" in call(translate, run, "a.png").complaint
    assert "cannot write out/a.png" in call(translate, run, "a.png", "--overwrite").complaint
    assert set(files(Path("out"))) == {"a.png/kept.png"}


# --- errors


@pytest.mark.parametrize("source", ["nowhere", "x" * 300, "loop"])
def test_a_missing_input_is_an_error(source: str, translate: Command, run: Path) -> None:
    Path("loop").symlink_to("loop")
    assert f"--input {source} does not exist" in call(translate, run, source).complaint


def test_the_name_of_an_image_is_no_folder(translate: Command, run: Path) -> None:
    save(Path("a.png"))
    assert "but result.png is the name of an image" in call(translate, run, "a.png", out="result.png").complaint
    assert not Path("result.png").exists()
    Path("folder.png").mkdir()
    assert call(translate, run, "a.png", out="folder.png").code == 0


def test_a_folder_without_images_is_an_error(translate: Command, run: Path) -> None:
    Path("in").mkdir()
    Path("in/notes.txt").write_text("none")
    assert "--input in has no images" in call(translate, run, "in").complaint


def test_a_run_of_another_kind_is_an_error_that_names_the_right_command(
    translate: Command, generate: Command, train: Command, run: Path, tmp_path: Path
) -> None:
    assert train("--steps", 1, "--out", tmp_path / "digits").code == 0
    save(tmp_path / "a.png")
    complaint = call(translate, tmp_path / "digits", tmp_path / "a.png", out=tmp_path / "out").complaint
    assert "a run of gans.mnist_gan" in complaint and "use gans.generate" in complaint
    complaint = generate(run).complaint
    assert "a run of gans.cyclegan" in complaint and "use gans.translate" in complaint


def test_a_folder_without_a_run_and_damaged_weights_are_errors(translate: Command, run: Path) -> None:
    save(Path("a.png"))
    assert "nowhere holds no run" in call(translate, Path("nowhere"), "a.png").complaint
    shutil.copytree(run, "copy")
    weights = Path("copy/generator.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "generator.safetensors" in call(translate, Path("copy"), "a.png").complaint
    weights.unlink()
    assert "next checkpoint" in call(translate, Path("copy"), "a.png").complaint
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


def test_a_narrow_image_that_would_become_too_long_is_named(translate: Command, run: Path) -> None:
    Image.new("RGB", (2, 1000)).save("narrow.png")
    ended = call(translate, run, "narrow.png", "--size", 8192)
    assert ended.code == 1
    assert "cannot be translated: narrow.png (too large)" in ended.err
