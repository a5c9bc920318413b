"""A folder of pictures of any kind and size, as one array of square images."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gans.data.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FEWEST = 16  # fewer are a wrong folder rather than a data set; this many still let one try whether a network can overfit

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # whatever the suffix says; all else Pillow knows is not offered to the files
_CHUNK = 32  # images that a thread reads in one go
_NAMED = 3  # files that the warning names


def load_folder(path: Path | str, image_size: int, fewest: int | None = None) -> tuple[npt.NDArray[np.uint8], str]:
    """Reads all pictures in a folder and its subfolders, in the order of their paths.

    Each is turned upright (EXIF), put on white where it is transparent, cut to the square in its middle and resized.
    Hidden files and folders, and files with another suffix than SUFFIXES, are left alone; files that cannot be read are
    left out, which a line on stderr says.

    Returns images (n, 3, image_size, image_size) uint8, and where they are from, for the log.
    Raises DataError if the folder cannot be opened or has fewer than `fewest` pictures that can be read, FEWEST by default.
    """
    if not isinstance(image_size, int | np.integer) or image_size < 1:
        raise ValueError(f"image_size must be a whole number of pixels, 1 or more, but it is {image_size!r}")
    folder = Path(path)
    files = image_files(folder)
    if not files:
        raise DataError(f"{folder} has no images ({', '.join(SUFFIXES)}); it must be a folder of images.")
    images, failures = _read_all(files, image_size)
    if failures:
        warn_of(failures, folder, len(files))
    fewest = FEWEST if fewest is None else fewest
    if len(images) < fewest:
        what = "images that can be read" if failures else "images"
        raise DataError(f"{folder} has too few {what}: {len(images)}, but it takes {fewest} or more; add some.")
    return images, str(folder)


def image_files(folder: Path) -> list[Path]:
    """The pictures in a folder and its subfolders, by their suffix; DataError if it is none or cannot be opened.

    Sorted by their paths with "/" in between, which is the same order on every system.
    """
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise DataError(f"{folder} is a file, not a folder; it must be a folder of images.")
    files = (file for file in _visible_files(folder) if file.suffix.lower() in SUFFIXES)
    return sorted(files, key=lambda file: file.relative_to(folder).as_posix())


def _visible_files(folder: Path) -> Iterator[Path]:
    entered = set()
    for place, subfolders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:  # a link leads back here
            subfolders.clear()
            continue
        entered.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be opened ({error.strerror or error}); it must be a folder of images.") from error


def _read_all(files: list[Path], size: int) -> tuple[npt.NDArray[np.uint8], dict[Path, str]]:
    """The images of the files that can be read, and for each of the others the reason why it cannot."""
    from tqdm import tqdm

    images = _room_for(len(files), size)
    failures: dict[Path, str] = {}

    def read_chunk(begin: int) -> int:
        chunk = files[begin : begin + _CHUNK]
        for i, file in enumerate(chunk, begin):
            try:
                images[i] = read_image(file, lambda picture: _square(picture, size), 2 * size)
            except Exception as error:  # of many kinds: Pillow passes on whatever a damaged file makes its decoders raise
                failures[file] = reason(error)
        return len(chunk)

    threads = min(8, os.cpu_count() or 1)  # each holds one decoded picture
    bar = tqdm(total=len(files), desc="reading images", unit="", delay=1, disable=None)  # None: not into a log
    with without_warnings(), ThreadPoolExecutor(threads) as pool, bar:
        for done in pool.map(read_chunk, range(0, len(files), _CHUNK)):
            bar.update(done)
    good = [i for i, file in enumerate(files) if file not in failures]
    for place, i in enumerate(good):  # in place: a copy would double the memory
        if place != i:
            images[place] = images[i]
    return images[: len(good)], failures


def _room_for(count: int, size: int) -> npt.NDArray[np.uint8]:
    try:
        return np.empty((count, 3, size, size), np.uint8)
    except MemoryError as error:
        need = count * 3 * size * size / 2**30
        raise DataError(
            f"{count:,} images of {size} x {size} pixels need {need:,.1f} GiB of memory, which is not there; "
            "make them smaller or take fewer of them."
        ) from error


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Without Pillow's warnings, of large pictures and odd metadata that it reads all the same.

    The filter is the whole process's, so it is set once, outside of the threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_image(path: Path, prepare: Callable[[Image], Image], enough: int | None = None) -> npt.NDArray[np.uint8]:
    """One picture, upright, in colour, on white where it is transparent: (3, height, width) uint8. Raises what Pillow raises.

    Parameters
    ----------
    prepare : done to the picture, which may have transparent parts, before it is put on white
    enough : so many pixels a side are needed, if it is known; a large JPEG is then read faster
    """
    from PIL import Image, ImageOps

    if not stat.S_ISREG(path.stat().st_mode):  # opening a named pipe would wait for ever
        raise OSError(errno.EINVAL, "not a regular file")
    with Image.open(path, formats=_FORMATS) as picture:
        if enough is not None:
            picture.draft(None, (enough, enough))  # a JPEG is decoded at a half, a quarter or an eighth
        with contextlib.suppress(Exception):  # what raises is damaged EXIF data, of many kinds; the picture is not
            ImageOps.exif_transpose(picture, in_place=True)
        prepared = prepare(_in_colour(picture))
    if prepared.mode == "RGBA":
        prepared = Image.alpha_composite(Image.new("RGBA", prepared.size, "white"), prepared).convert("RGB")
    return np.asarray(prepared).transpose(2, 0, 1)


def _in_colour(picture: Image) -> Image:
    """As RGB, or as RGBA if it may be transparent."""
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits of grey, which convert() may clip to 8
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    transparent = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    return picture.convert("RGBA" if transparent else "RGB")


def _square(picture: Image, size: int) -> Image:
    """The middle of the picture, resized; transparent colours have no part in what is next to them."""
    from PIL.Image import Resampling

    side = min(picture.size)
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    if side == size:  # half a pixel aside would blur what needs no resizing
        left, top = int(left), int(top)
    return picture.resize((size, size), Resampling.BICUBIC, (left, top, left + side, top + side), reducing_gap=3)


def reason(error: Exception) -> str:
    """Why a picture cannot be read, in a few words."""
    from PIL import Image

    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombError | MemoryError):
        return "too large"
    return (isinstance(error, OSError) and error.strerror) or "damaged"


def warn_of(failures: dict[Path, str], folder: Path, count: int, what: str = "read") -> None:
    """Name, on stderr, some of the pictures that cannot be read, or whatever else was wanted, with the reasons."""
    named = [f"{file.relative_to(folder)} ({failures[file]})" for file in sorted(failures)[:_NAMED]]
    more = f" and {len(failures) - len(named):,} more" if len(failures) > len(named) else ""
    names = ", ".join(named)
    print(f"{len(failures):,} of the {count:,} images in {folder} cannot be {what}: {names}{more}.", file=sys.stderr)
