"""Grids of images, PNG files, and animations as GIF files."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minigrad.io.files import FileError, read, write_atomically

MOST_BYTES = 2**26  # of a PNG file that is read, and of its pixels
GAP = 2  # pixels between images
SMALL = 48  # images smaller than this are shown at twice their size: 28 pixels are hard to see on a screen


def grid(images: np.ndarray, across: int | None = None, scale: int | None = None) -> np.ndarray:
    """A grid of images uint8 (n, channels, height, width): uint8 (height, width, 3), white between the images.

    `across` is the number of images in a row; by default the grid is as square as possible. Each pixel is repeated
    `scale` times in both directions, by default `default_scale(height)` times.
    """
    n, _, height, width = images.shape
    across = across or math.ceil(math.sqrt(n))
    down = math.ceil(n / across)
    sheet = np.full((down * (height + GAP) + GAP, across * (width + GAP) + GAP, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = GAP + i // across * (height + GAP), GAP + i % across * (width + GAP)
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)  # one grey channel becomes three
    scale = scale or default_scale(height)
    return sheet.repeat(scale, 0).repeat(scale, 1)


def default_scale(height: int) -> int:
    """The factor by which a grid enlarges images of this height."""
    return 2 if height < SMALL else 1


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
    from PIL import Image, UnidentifiedImageError

    content = io.BytesIO(read(path, MOST_BYTES))
    try:
        with Image.open(content) as image:
            if image.width * image.height > MOST_BYTES:
                raise ValueError(f"{image.width} x {image.height} pixels are too many")
            colours = image.convert("RGB")
            if most is not None:
                colours.thumbnail((most, most))
            return np.asarray(colours)
    except UnidentifiedImageError as error:  # its message is about memory that has no name
        raise FileError(f"{path} is damaged or not an image") from error
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise FileError(f"{path} is damaged or not an image ({error})") from error
