"""Pictures translated by a CycleGAN: `python -m gans.translate runs/cyclegan --direction AtoB --input photos --out there`.

Pictures keep their size: to fit the network they are continued beyond their borders by mirror images, which are cut off again.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gans.cyclegan import CycleGAN
from gans.data.folder import image_files, read_image, reason, warn_of, without_warnings
from gans.trainers import load_run
from gans.training.cli import one_line_errors
from gans.training.config import ConfigError, OneLineParser
from gans.training.images import save_png
from minigrad.arrays import backend

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_SIDE = 8192  # of --size, in pixels
MOST_PIXELS = 2**27  # of a resized picture: a narrow one may get very long


def main(argv: Sequence[str] | None = None) -> None:
    parser = OneLineParser("python -m gans.translate", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder, such as runs/cyclegan")
    parser.add_argument("--direction", choices=("AtoB", "BtoA"), required=True, help="from which kind to which")
    parser.add_argument("--input", type=Path, metavar="PATH", required=True, help="a picture, or a folder of pictures")
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder for the translations, as PNG")
    parser.add_argument("--size", type=_size, metavar="N", help="resize first, the shorter side to N pixels")
    parser.add_argument("--overwrite", action="store_true", help="replace translations that are there already")
    parser.add_argument("--backend", choices=("auto", "numpy", "cupy"), default="numpy", help="what computes (default: numpy)")
    arguments = parser.parse_args(argv)
    with one_line_errors(parser.prog):
        print(_run(arguments))


def _run(arguments: argparse.Namespace) -> str:
    from tqdm import tqdm

    trainer = load_run(arguments.run, backend.resolve(arguments.backend))
    if not isinstance(trainer, CycleGAN):
        raise ConfigError(f"{arguments.run} is a run of gans.{trainer.name}, which makes new pictures: use gans.generate")
    folder, targets = _targets(arguments.input, arguments.out)
    _check_free(targets, arguments.overwrite)
    failures: dict[Path, str] = {}
    for source, target in tqdm(targets.items(), desc="translating", unit="", delay=1, disable=None):  # None: not into a log
        try:
            image = _read(source, arguments.size)
        except Exception as error:  # of many kinds: Pillow passes on whatever a damaged file makes its decoders raise
            failures[source] = reason(error)
            continue
        try:
            translated = translate(trainer, image, arguments.direction)
        except MemoryError:
            failures[source] = f"{image.shape[2]} x {image.shape[1]} pixels are too many for the memory there is; try --size"
            continue
        _save(target, translated)
    if failures:
        warn_of(failures, folder, len(targets), "translated")
    if len(failures) == len(targets):
        raise ConfigError(f"nothing in {arguments.input} could be translated")
    return f"{len(targets) - len(failures)} in {arguments.out}"


def _targets(source: Path, out: Path) -> tuple[Path, dict[Path, Path]]:
    """The folder of the pictures, and for each of them where its translation goes: same place, same name, but PNG."""
    if not os.path.exists(source):
        raise ConfigError(f"--input {source} does not exist")
    folder, files = (source, image_files(source)) if os.path.isdir(source) else (source.parent, [source])
    if not files:
        raise ConfigError(f"--input {source} has no pictures")
    names = Counter(str(name).casefold() for file in files for name in (file, file.with_suffix("")))  # some systems fold them
    targets = {}
    for file in files:
        # Else the old suffix tells a.jpg and A.png apart, and a.jpg.png from both.
        alone = names[str(file.with_suffix("")).casefold()] == 1
        targets[file] = out / file.relative_to(folder).with_name(f"{file.stem if alone else file.name}.png")
    return folder, targets


def _check_free(targets: dict[Path, Path], overwrite: bool) -> None:
    """ConfigError if something would be lost."""
    if lost := {os.path.realpath(target) for target in targets.values()} & {os.path.realpath(source) for source in targets}:
        raise ConfigError(f"the translation would replace the picture itself, {min(lost)}: choose another --out")
    there = [target for target in targets.values() if os.path.exists(target)]
    if there and not overwrite:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise ConfigError(f"{there[0]}{more} exist already: choose another --out, or replace them (--overwrite)")


def translate(trainer: CycleGAN, image: np.ndarray, direction: str) -> np.ndarray:
    """One picture (3, height, width) uint8 of any size."""
    height, width = image.shape[1:]
    missing = [-length % trainer.granularity for length in (height, width)]
    top, left = (n // 2 for n in missing)
    borders = (0, 0), (top, missing[0] - top), (left, missing[1] - left)
    translated = trainer.translate(np.pad(image, borders, mode="symmetric")[None], direction)[0]
    return translated[:, top : top + height, left : left + width]


def _save(path: Path, image: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot use the folder {path.parent}: {error.strerror or error}") from error
    save_png(path, np.ascontiguousarray(image.transpose(1, 2, 0)))


def _read(path: Path, side: int | None) -> np.ndarray:
    """One picture (3, height, width) uint8, its shorter side that long if there is a wish. Raises what Pillow raises."""
    with without_warnings():
        return read_image(path, lambda picture: _resized(picture, side))


def _resized(picture: Image, side: int | None) -> Image:
    """The shorter side that long, if there is a wish."""
    from PIL.Image import Resampling

    if side is None:
        return picture
    scale = side / min(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    if width * height > MOST_PIXELS:
        raise MemoryError
    return picture.resize((width, height), Resampling.BICUBIC, reducing_gap=3)


def _size(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_SIDE:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {MOST_SIDE}")
    return int(text)


if __name__ == "__main__":
    main()
