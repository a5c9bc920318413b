"""A folder of images of any format and size, as one array of square images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gans.data.errors import DataError, printable
from gans.data.image_files import (
    SUFFIXES,
    find_images,
    is_run,
    pillow_warnings_ignored,
    read_image,
    report_failures,
    why_unreadable,
)

if TYPE_CHECKING:
    from PIL.Image import Image

MIN_IMAGES = 16  # fewer suggest the wrong folder; 16 are enough to test whether a network can overfit
MAX_CLASSES = 256  # labels are bytes

_CHUNK = 32  # images per task of the thread pool


def load_folder(path: Path | str, image_size: int, min_images: int | None = None) -> tuple[npt.NDArray[np.uint8], str]:
    """Read all images in a folder and its subfolders, in the order of their paths.

    Each image is turned upright by its EXIF orientation, center-cropped to a square, resized, and
    composited on white if it has transparent parts. Hidden files and folders are skipped, and so
    are files whose suffix is not in SUFFIXES. Subfolders that cannot be opened, images of other formats
    and files that cannot be read are left out, and a line on stderr says so.

    Returns the images, uint8 (n, 3, image_size, image_size), and the folder's name for the log.

    Raises DataError if the folder cannot be opened or has fewer than `min_images` readable images
    (default: MIN_IMAGES).
    """
    if not isinstance(image_size, int | np.integer) or image_size < 1:
        raise ValueError(f"image_size must be a positive integer (pixels), but it is {image_size!r}")
    folder = Path(path)
    images, _ = _load(folder, image_size, MIN_IMAGES if min_images is None else min_images)
    return images, str(folder)


def load_classes(
    path: Path | str, image_size: int, classes: Sequence[str]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], str]:
    """Read a folder whose subfolders are classes: images as `load_folder` returns them, labels (n,), and the folder's name.

    The label of an image is the position of its subfolder in `classes`, what `class_folders` has found. Raises DataError as
    `load_folder` does, and if an image is in no subfolder, or a subfolder has no images.
    """
    folder = Path(path)
    numbers = {name: i for i, name in enumerate(classes)}
    images, files = _load(folder, image_size, MIN_IMAGES)
    outside = [file for file in files if file.relative_to(folder).parts[0] not in numbers]
    if outside:
        raise DataError(f"{outside[0]} has no class; move it into the subfolder of its class.")
    labels = np.array([numbers[file.relative_to(folder).parts[0]] for file in files], np.uint8)
    for name, i in numbers.items():
        if not (labels == i).any():
            raise DataError(f"{folder / name} has no readable images, but each subfolder is a class; add some or remove it.")
    return images, labels, str(folder)


def class_folders(folder: Path) -> list[str]:
    """The names of the subfolders, sorted, without hidden ones and those of runs: the classes of the images in them.

    Raises DataError if there are fewer than two or more than MAX_CLASSES, or the folder cannot be opened.
    """
    try:
        visible = [entry for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
        names = sorted(entry.name for entry in visible if not _has_runs(Path(entry)))
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"{folder} cannot be opened ({reason}); it must be a folder with a subfolder for each class."
        ) from error
    if len(names) < 2:
        count = "one subfolder" if names else "no subfolders"
        raise DataError(f"{folder} has {count}, so its images have no classes; move those of each class into a subfolder.")
    if len(names) > MAX_CLASSES:
        raise DataError(f"{folder} has {len(names):,} subfolders, but there can be at most {MAX_CLASSES} classes.")
    for name in names:
        if name != printable(name):
            raise DataError(f"{folder} has a subfolder {printable(name)}, whose name cannot be printed; rename it.")
    return names


def _has_runs(folder: Path) -> bool:
    """Whether a folder is that of a run, or holds such folders and nothing else, as `runs` does."""
    try:
        visible = [folder / name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError:  # what cannot be opened is named when its images are read
        return False
    return is_run(folder) or (bool(visible) and all(map(is_run, visible)))


def _load(folder: Path, image_size: int, min_images: int) -> tuple[npt.NDArray[np.uint8], list[Path]]:
    """The images of a folder and their files."""
    files = find_images(folder)
    if not files:
        raise DataError(f"{folder} has no images ({', '.join(SUFFIXES)}); it must be a folder of images.")
    images, failures = _read_all(files, image_size)
    if failures:
        report_failures(failures, folder, len(files))
    if len(images) < min_images:
        what = "readable images" if failures else "images"
        raise DataError(f"{folder} has too few {what}: {len(images)}, where at least {min_images} are needed; add more.")
    return images, [file for file in files if file not in failures]


def _read_all(files: list[Path], size: int) -> tuple[npt.NDArray[np.uint8], dict[Path, str]]:
    """The images that can be read, and the reason for each file that cannot."""
    from tqdm import tqdm

    images = _allocate(len(files), size)
    failures: dict[Path, str] = {}

    def read_chunk(begin: int) -> int:
        chunk = files[begin : begin + _CHUNK]
        for i, file in enumerate(chunk, begin):
            try:
                images[i] = read_image(file, lambda image: _square(image, size), min_side=2 * size)
            except Exception as error:  # damaged files make Pillow's decoders raise many kinds of errors
                failures[file] = why_unreadable(error)
        return len(chunk)

    threads = min(8, os.cpu_count() or 1)  # together they decode at most MAX_DECODED bytes at a time
    bar = tqdm(total=len(files), desc="reading images", unit="", delay=1, disable=None)  # None: no bar in a log file
    with pillow_warnings_ignored(), ThreadPoolExecutor(threads) as pool, bar:
        for done in pool.map(read_chunk, range(0, len(files), _CHUNK)):
            bar.update(done)
    good = [i for i, file in enumerate(files) if file not in failures]
    for target, i in enumerate(good):  # move up in place: images[good] would double the memory
        if target != i:
            images[target] = images[i]
    return images[: len(good)], failures


def _allocate(count: int, size: int) -> npt.NDArray[np.uint8]:
    try:
        return np.empty((count, 3, size, size), np.uint8)
    except MemoryError as error:
        need = count * 3 * size * size / 2**30
        raise DataError(
            f"{count:,} images of {size} x {size} pixels need {need:,.1f} GiB of memory, more than is available; "
            "use a smaller image size or fewer images."
        ) from error


def _square(image: Image, size: int) -> Image:
    """The central square, resized. Pillow weights colours by alpha, so transparent ones do not bleed."""
    from PIL.Image import Resampling

    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    if side == size:  # no resizing needed, and an offset of half a pixel would blur
        left, top = int(left), int(top)
    return image.resize((size, size), Resampling.BICUBIC, (left, top, left + side, top + side), reducing_gap=3)
