"""A folder with two kinds of pictures to translate into each other, laid out as CycleGAN's data sets are."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gans.data.errors import DataError
from gans.data.folder import load_folder

LAYOUT = "trainA/ with the pictures of one kind, trainB/ with those of the other, and if you like testA/ and testB/"

_HELD_OUT = 0.1  # of the training images, where there is no test folder, ...
_MOST_HELD_OUT = 100  # ... but no more than these


@dataclass(frozen=True, eq=False)
class TwoKinds:
    """Images of the kinds A and B, to train on and held out, each uint8 (n, 3, size, size); `source`, for the log."""

    train_a: npt.NDArray[np.uint8]
    train_b: npt.NDArray[np.uint8]
    test_a: npt.NDArray[np.uint8]
    test_b: npt.NDArray[np.uint8]
    source: str


def load_two_folders(path: Path | str, image_size: int) -> TwoKinds:
    """Reads the pictures in trainA/, trainB/, testA/ and testB/, as `load_folder` does.

    Where a test folder is missing, every tenth or so of the training images is held out instead, always the same ones,
    which a line on stderr says.

    Raises DataError if trainA or trainB is missing, or if one of the folders cannot be used.
    """
    folder = Path(path)
    _check_layout(folder)
    train_a, test_a = _load_kind(folder, "A", image_size)
    train_b, test_b = _load_kind(folder, "B", image_size)
    return TwoKinds(train_a, train_b, test_a, test_b, str(folder))


def _check_layout(folder: Path) -> None:
    if not folder.exists():
        raise DataError(f"{folder} does not exist; it must be a folder that has {LAYOUT}.")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file, not a folder; it must be a folder that has {LAYOUT}.")
    missing = [name for name in ("trainA", "trainB") if not (folder / name).is_dir()]
    if missing:
        raise DataError(f"{folder} has no folder {' and no folder '.join(missing)}; it must have {LAYOUT}.")


def _load_kind(folder: Path, kind: str, image_size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The training images and the held-out ones."""
    images, _ = load_folder(folder / f"train{kind}", image_size)
    if (folder / f"test{kind}").is_dir():
        return images, load_folder(folder / f"test{kind}", image_size, fewest=1)[0]
    held_out = _spread(len(images))
    print(
        f"{folder} has no test{kind}: {len(held_out)} of the {len(images):,} images in train{kind} are held out.",
        file=sys.stderr,
    )
    return np.delete(images, held_out, axis=0), images[held_out]


def _spread(count: int) -> npt.NDArray[np.intp]:
    """The places of the images that are held out, at even distances, in case that those beside each other are alike.

    They depend on the number alone: where both kinds have as many, image i of both is held out, or of none.
    """
    number = min(max(1, round(_HELD_OUT * count)), _MOST_HELD_OUT)
    return ((np.arange(number) + 0.5) * (count / number)).astype(np.intp)
