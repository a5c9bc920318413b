"""Unpaired data sets: images of two domains, A and B, where no image of A has a counterpart in B.

A folder is laid out like CycleGAN's data sets: trainA/ and trainB/, and optionally testA/ and testB/.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gans.data.cache import Bytes, cache_folder, cached
from gans.data.errors import DataError
from gans.data.folder import load_folder
from gans.data.image_files import SUFFIXES

LAYOUT = "trainA/ and trainB/ with images of the two domains, and optionally testA/ and testB/"

_HELD_OUT = 0.1  # fraction of the training images to hold out if there is no test folder, ...
_MAX_HELD_OUT = 100  # ... but at most this many


@dataclass(frozen=True, eq=False)
class UnpairedImages:
    """Training and held-out images of the domains A and B, each uint8 (n, 3, size, size).

    `source` says where they come from, for the log. If `paired`, test_a[i] and test_b[i] show the same thing.
    """

    train_a: npt.NDArray[np.uint8]
    train_b: npt.NDArray[np.uint8]
    test_a: npt.NDArray[np.uint8]
    test_b: npt.NDArray[np.uint8]
    source: str
    paired: bool = False


def load_unpaired(data: str | None, image_size: int) -> UnpairedImages:
    """Load the folder `data`, or without one the synthetic landscapes: A by day, B by night.

    The held-out landscapes (and only those) are paired: test_a[i] and test_b[i] show the same scene.
    """
    if data is not None:
        return load_unpaired_folder(data, image_size)
    return load_landscapes(image_size)


def load_landscapes(image_size: int = 64, count: int = 1_000, seed: int = 0) -> UnpairedImages:
    """`count` synthetic landscapes by day, as many by night, and held-out pairs, from the cache or drawn.

    No scene by day is among those by night, and none of either is held out.
    """
    from gans.data.drawn import landscapes

    held_out = landscapes.TEST_COUNT
    name, shape = f"{count}-landscapes-of-{image_size}-seed-{seed}", (2 * (count + held_out), 3, image_size, image_size)
    draw = landscapes.synthetic_landscapes
    (images,) = cached(cache_folder("landscapes"), "landscapes", {name: shape}, lambda: [draw(count, seed, image_size)])
    day, night, test_day, test_night = np.split(images, [count, 2 * count, 2 * count + held_out])
    source = f"{count:,} + {count:,} synthetic landscapes by day and by night (seed {seed})"
    return UnpairedImages(day, night, test_day, test_night, source, paired=True)


def load_unpaired_folder(path: Path | str, image_size: int) -> UnpairedImages:
    """Read the images in trainA/, trainB/, testA/ and testB/ with `load_folder`.

    If a test folder is missing, about a tenth of that domain's training images is held out
    instead, the same ones each time, and a line on stderr says so. If the held-out images of both
    domains have the same names (whatever their suffixes), they count as pairs.

    Raises DataError if trainA/ or trainB/ is missing, or if one of the folders cannot be used.
    """
    folder = Path(path)
    _check_layout(folder)
    train_a, test_a, names_a = _load_domain(folder, "A", image_size)
    train_b, test_b, names_b = _load_domain(folder, "B", image_size)
    paired = names_a == names_b != []
    return UnpairedImages(train_a, train_b, test_a, test_b, str(folder), paired)


def held_out_indices(count: int) -> npt.NDArray[np.intp]:
    """Which of `count` training images to hold out: evenly spaced, because neighbours may look alike.

    They depend only on `count`. So if both domains have the same number of images, the same
    indices are held out of both, and image i of one never trains while image i of the other tests.
    """
    number = min(max(1, round(_HELD_OUT * count)), _MAX_HELD_OUT)
    return ((np.arange(number) + 0.5) * (count / number)).astype(np.intp)


def _check_layout(folder: Path) -> None:
    try:
        os.listdir(folder)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{folder} cannot be opened ({reason}); it must be a folder that contains {LAYOUT}.") from error
    missing = [name for name in ("trainA", "trainB") if not os.path.isdir(folder / name)]
    if missing:
        raise DataError(f"{folder} has no folder {' and no folder '.join(missing)}; it must contain {LAYOUT}.")


def _load_domain(folder: Path, domain: str, image_size: int) -> tuple[Bytes, Bytes, list[str]]:
    """The training images and the held-out images of one domain, "A" or "B", and the names of the latter (see `_names`)."""
    train, test = folder / f"train{domain}", folder / f"test{domain}"
    images, _ = load_folder(train, image_size)
    if os.path.isdir(test):
        held_out_images, _ = load_folder(test, image_size, min_images=1)
        return images, held_out_images, _names(test, len(held_out_images))
    held_out = held_out_indices(len(images))
    print(
        f"{folder} has no test{domain}, so {len(held_out)} of the {len(images):,} images in train{domain} are held out.",
        file=sys.stderr,
    )
    names = _names(train, len(images))
    return np.delete(images, held_out, axis=0), images[held_out], [names[i] for i in held_out] if names else []


def _names(folder: Path, count: int) -> list[str]:
    """The names of the images, without suffixes; none if some were left out or are in subfolders, so that `count` differs."""
    files = sorted(name for name in os.listdir(folder) if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES)
    return [Path(name).stem for name in files] if len(files) == count else []
