"""Find image files in a folder, decode them, and report those that cannot be read."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gans.data.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # the only decoders that Pillow may use; the content decides, not the suffix
_MAX_NAMED = 3  # unreadable files that the warning lists by name


def find_images(folder: Path) -> list[Path]:
    """The image files (by suffix) in a folder and its subfolders, without hidden ones.

    They are sorted by their paths relative to the folder, written with "/", so the order is the same
    on every platform. Raises DataError if the folder does not exist, cannot be opened or is a file.
    """
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise DataError(f"{folder} is a file, not a folder; it must be a folder of images.")
    files = (file for file in _visible_files(folder) if file.suffix.lower() in SUFFIXES)
    return sorted(files, key=lambda file: file.relative_to(folder).as_posix())


def _visible_files(folder: Path) -> Iterator[Path]:
    visited = set()
    for parent, subfolders, names in os.walk(folder, onerror=_raise_data_error, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:  # a symbolic link to a folder that was already walked, perhaps a cycle
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _raise_data_error(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be opened ({error.strerror or error}); it must be a folder of images.") from error


def read_image(path: Path, prepare: Callable[[Image], Image], min_side: int | None = None) -> npt.NDArray[np.uint8]:
    """Decode one image to RGB, uint8 (3, height, width). Raises whatever Pillow raises.

    The image is turned upright by its EXIF orientation, and transparent parts become white.

    Parameters
    ----------
    prepare : function of a Pillow image (mode RGB or RGBA), applied before transparent parts become white
    min_side : if given, a large JPEG is decoded at a reduced size of at least this many pixels a side, which is faster
    """
    from PIL import Image, ImageOps

    if not stat.S_ISREG(path.stat().st_mode):  # opening a named pipe would block forever
        raise OSError(errno.EINVAL, "not a regular file")
    with Image.open(path, formats=_FORMATS) as image:
        if min_side is not None:
            image.draft(None, (min_side, min_side))  # decodes a JPEG at 1/2, 1/4 or 1/8 of its size
        with contextlib.suppress(Exception):  # damaged EXIF data raises many kinds of errors; the pixels are still good
            ImageOps.exif_transpose(image, in_place=True)
        prepared = prepare(_to_rgb_or_rgba(image))
    if prepared.mode == "RGBA":
        prepared = Image.alpha_composite(Image.new("RGBA", prepared.size, "white"), prepared).convert("RGB")
    return np.asarray(prepared).transpose(2, 0, 1)


def _to_rgb_or_rgba(image: Image) -> Image:
    """The image in mode RGBA if it may have transparent parts, else in mode RGB."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16-bit grey, which convert() may clip instead of scaling
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    return image.convert("RGBA" if transparent else "RGB")


@contextlib.contextmanager
def pillow_warnings_ignored() -> Iterator[None]:
    """Silence Pillow's warnings about large images and odd metadata, which it decodes anyway.

    Warning filters are global to the process, so enter this once, outside of any threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def why_unreadable(error: Exception) -> str:
    """Why an image could not be decoded, in a few words."""
    from PIL import Image

    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombError | MemoryError):
        return "too large"
    return (isinstance(error, OSError) and error.strerror) or "damaged"


def report_failures(failures: dict[Path, str], folder: Path, total: int, action: str = "read") -> None:
    """Print one line on stderr that counts the failed images and names the first few, with reasons.

    Parameters
    ----------
    failures : file below `folder` to reason
    total : number of images, failed or not
    action : what failed, as in "cannot be read"
    """
    named = [f"{file.relative_to(folder)} ({failures[file]})" for file in sorted(failures)[:_MAX_NAMED]]
    more = f" and {len(failures) - len(named):,} more" if len(failures) > len(named) else ""
    names = ", ".join(named)
    print(f"{len(failures):,} of the {total:,} images in {folder} cannot be {action}: {names}{more}.", file=sys.stderr)
