"""Translate images with a trained CycleGAN.

Example: `python -m gans.translate runs/cyclegan --direction AtoB --input photos --out translated`.
Translations have the size of their inputs: where the network needs another size, images are padded
by reflection and the result is cropped.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gans.command import running
from gans.cyclegan import CycleGAN
from gans.data.image_files import SUFFIXES, find_images, pillow_warnings_ignored, read_image, report_failures, why_unreadable
from gans.output import save_image
from gans.trainers import load_run
from gans.training.arguments import add_backend, add_run, add_weights, integer_up_to
from gans.training.cli import USER_ERRORS
from gans.training.config import ConfigError, OneLineParser
from minigrad.arrays import backend
from minigrad.io import files

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SIZE = 8192  # of --size, in pixels
MAX_PIXELS = 2**27  # of a resized image: resizing the shorter side of a narrow image can make it very long


@running("python -m gans.translate", USER_ERRORS)
def main(argv: Sequence[str] | None = None) -> None:
    parser = OneLineParser("python -m gans.translate", description=__doc__)
    add_run(parser, "runs/cyclegan")
    parser.add_argument(
        "--direction", choices=("AtoB", "BtoA"), required=True, help="from domain A to domain B, or from B to A"
    )
    parser.add_argument("--input", type=Path, metavar="PATH", required=True, help="an image or a folder of images")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="folder for the translations, which are PNG files"
    )
    parser.add_argument("--size", type=integer_up_to(MAX_SIZE), metavar="N", help="first resize the shorter side to N pixels")
    parser.add_argument("--overwrite", action="store_true", help="replace existing translations")
    add_weights(parser)
    add_backend(parser)
    print(_run(parser.parse_args(argv)))


def _run(arguments: argparse.Namespace) -> str:
    from tqdm import tqdm

    trainer = load_run(arguments.run, backend.resolve(arguments.backend), arguments.best, arguments.checkpoint)
    if not isinstance(trainer, CycleGAN):
        raise ConfigError(
            f"{arguments.run} is a run of gans.{trainer.name}, which generates images instead of translating them: "
            "use gans.generate"
        )
    if arguments.out.suffix.lower() in SUFFIXES and not os.path.isdir(arguments.out):
        raise ConfigError(f"--out is the folder for the translations, but {arguments.out} is the name of an image")
    folder, outputs = _output_paths(arguments.input, arguments.out)
    _check_outputs(outputs, arguments.overwrite)
    failures: dict[Path, str] = {}
    bar = tqdm(outputs.items(), desc="translating", unit="", delay=1, disable=None)  # None: no bar in a log file
    for source, output in bar:
        try:
            image = _read(source, arguments.size)
        except Exception as error:  # damaged files make Pillow's decoders raise many kinds of errors
            failures[source] = why_unreadable(error)
            continue
        try:
            translated = translate(trainer, image, arguments.direction)
        except MemoryError:
            failures[source] = f"{image.shape[2]} x {image.shape[1]} pixels need too much memory; try a smaller --size"
            continue
        _save(output, translated)
    if failures:
        report_failures(failures, folder, len(outputs), "translated")
    if len(failures) == len(outputs):
        raise ConfigError(f"nothing in {arguments.input} could be translated")
    return f"translated {len(outputs) - len(failures)} of {len(outputs)} images to {arguments.out}"


def _output_paths(source: Path, out: Path) -> tuple[Path, dict[Path, Path]]:
    """The folder of the input images, and a dict from each image to the path of its translation.

    Translations keep the subfolder and the name, with the suffix .png. Images whose translations
    would get the same path keep their old suffix too: a.jpg becomes a.jpg.png. If `out` is below the source,
    the translations of an earlier call are no inputs.
    """
    if not os.path.exists(source):
        raise ConfigError(f"--input {source} does not exist")
    folder, files = (source, find_images(source)) if os.path.isdir(source) else (source.parent, [source])
    if not files:
        raise ConfigError(f"--input {source} has no images")
    place = Path(os.path.realpath(out))
    outside = [file for file in files if not Path(os.path.realpath(file)).is_relative_to(place)]
    if 0 < len(outside) < len(files):
        earlier = {os.path.realpath(output) for output in _translations(outside, folder, out).values()}
        files = [file for file in files if os.path.realpath(file) not in earlier]
    return folder, _translations(files, folder, out)


def _translations(files: list[Path], folder: Path, out: Path) -> dict[Path, Path]:
    """The path of the translation of each image."""
    # Counted without case, as some file systems ignore it, and with suffixes too: a.jpg.webp must not become a.jpg.png,
    # which may be the translation of a.jpg.
    names = Counter(str(name).casefold() for file in files for name in (file, file.with_suffix("")))
    outputs = {}
    for file in files:
        unique = names[str(file.with_suffix("")).casefold()] == 1
        outputs[file] = out / file.relative_to(folder).with_name(f"{file.stem if unique else file.name}.png")
    return outputs


def _check_outputs(outputs: dict[Path, Path], overwrite: bool) -> None:
    """Raise ConfigError if an output would replace an input or, unless `overwrite`, any existing file."""
    inputs = {os.path.realpath(source) for source in outputs}
    if replaced := {os.path.realpath(output) for output in outputs.values()} & inputs:
        raise ConfigError(f"the translation would replace its input {min(replaced)}: choose another --out")
    existing = [output for output in outputs.values() if os.path.exists(output)]
    if existing and not overwrite:
        if len(existing) == 1:
            raise ConfigError(f"{existing[0]} already exists: choose another --out, or replace it with --overwrite")
        raise ConfigError(
            f"{existing[0]} and {len(existing) - 1} more already exist: choose another --out, or replace them with --overwrite"
        )


def translate(trainer: CycleGAN, image: np.ndarray, direction: str) -> np.ndarray:
    """Translate one image, uint8 (3, height, width) of any size; the result has the same shape."""
    height, width = image.shape[1:]
    missing = [-length % trainer.granularity for length in (height, width)]
    top, left = (n // 2 for n in missing)
    borders = (0, 0), (top, missing[0] - top), (left, missing[1] - left)
    translated = trainer.translate(np.pad(image, borders, mode="symmetric")[None], direction)[0]
    return translated[:, top : top + height, left : left + width]


def _save(path: Path, image: np.ndarray) -> None:
    files.make_folder(path.parent, follow=True)
    save_image(path, np.ascontiguousarray(image.transpose(1, 2, 0)))


def _read(path: Path, side: int | None) -> np.ndarray:
    """Read one image, uint8 (3, height, width), with its shorter side resized to `side`, if given.

    Raises whatever Pillow raises.
    """
    with pillow_warnings_ignored():
        return read_image(path, lambda image: _resize(image, side))


def _resize(image: Image, side: int | None) -> Image:
    """The image with its shorter side resized to `side`, if given. MemoryError above MAX_PIXELS."""
    from PIL.Image import Resampling

    if side is None:
        return image
    scale = side / min(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    if width * height > MAX_PIXELS:
        raise MemoryError
    return image.resize((width, height), Resampling.BICUBIC, reducing_gap=3)


if __name__ == "__main__":
    main()
