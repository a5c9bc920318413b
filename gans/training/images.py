"""Grids of images, image files, and animations as GIF files."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.io.files import FileError, write_atomically

GAP = 2  # pixels between images
SMALL = 48  # images smaller than this are shown at twice their size: 28 pixels are hard to see on a screen
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}  # by suffix, under Pillow's names
OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"optimize": True},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}
DESCRIPTION = 0x010E  # EXIF's tag ImageDescription


def grid(images: np.ndarray, across: int | None = None, scale: int | None = None, labels: Sequence[str] = ()) -> np.ndarray:
    """A grid of images uint8 (n, channels, height, width): uint8 (height, width, 3), white between the images.

    Parameters
    ----------
    across : images in a row; by default the grid is as square as possible
    scale : each pixel becomes a square of scale x scale; by default `default_scale(height)`
    labels : one heading for each column, or none
    """
    n, _, height, width = images.shape
    across = across or math.ceil(math.sqrt(n))
    down = math.ceil(n / across)
    sheet = np.full((down * (height + GAP) + GAP, across * (width + GAP) + GAP, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = GAP + i // across * (height + GAP), GAP + i % across * (width + GAP)
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)  # one grey channel becomes three
    scale = scale or default_scale(height)
    sheet = sheet.repeat(scale, 0).repeat(scale, 1)
    return np.concatenate([_headings(labels, sheet.shape[1]), sheet]) if labels else sheet


def default_scale(height: int) -> int:
    """The factor by which a grid enlarges images of this height."""
    return 2 if height < SMALL else 1


def _headings(labels: Sequence[str], width: int) -> np.ndarray:
    """A strip uint8 (height, width, 3) with one heading above the centre of each of the columns."""
    from PIL import Image, ImageDraw, ImageFont

    column = width / len(labels)
    size = min(max(column / 5, 11), 24)
    strip = Image.new("RGB", (width, round(1.5 * size)), "white")
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(size)
    for i, label in enumerate(labels):
        draw.text(((i + 0.5) * column, strip.height / 2), label, "black", font, anchor="mm")
    return np.asarray(strip)


def make_folder(path: Path) -> None:
    """Make a folder for images, if it is not there. FileError if it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot use the folder {path}: {error.strerror or error}") from error


def save_image(path: Path, pixels: np.ndarray, about: Mapping[str, str] | None = None) -> None:
    """Write a PNG, JPEG or WebP file, as the suffix says. FileError if it cannot be written.

    Parameters
    ----------
    pixels : uint8 (height, width, 3), or (height, width) for grey
    about : facts for the file's metadata: text chunks of a PNG, the EXIF description of the others
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    facts = {key: value.encode(errors="replace").decode() for key, value in (about or {}).items()}
    chunks, exif = PngInfo(), Image.Exif()
    for key, value in facts.items():
        chunks.add_text(key, value)
    exif[DESCRIPTION] = ", ".join(f"{key} {value}" for key, value in facts.items())
    kind = FORMATS[path.suffix.lower()]
    options = {"pnginfo": chunks} if kind == "PNG" else {"exif": exif}
    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, kind, **OPTIONS[kind], **options)
    except (KeyError, OSError, ValueError) as error:  # such as a side that the format has no room for
        raise FileError(f"cannot write {path}, {pixels.shape[1]} x {pixels.shape[0]} pixels: {error}") from error
    write_atomically(path, buffer.getvalue())


def save_gif(path: Path, frames: Sequence[np.ndarray], milliseconds: int = 150, last: int = 1500, comment: str = "") -> None:
    """Write an endless animation of frames of one size, each shown for `milliseconds`, the last one for `last`."""
    from PIL import Image

    images = [Image.fromarray(frame).quantize(64) for frame in frames]
    durations = [milliseconds] * (len(frames) - 1) + [last]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, comment=comment)
    write_atomically(path, buffer.getvalue())


def read_png(path: Path, most: int | None = None) -> np.ndarray:
    """Pixels uint8 (height, width, 3), reduced if a side has more than `most`. FileError if the file is damaged."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            colours = image.convert("RGB")
            if most is not None:
                colours.thumbnail((most, most))
            return np.asarray(colours)
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for a damaged PNG
        raise FileError(f"{path} is damaged or not an image ({error})") from error
