"""Data sets that the program draws: digits, faces, landscapes. What an image shows is known, and nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


def check_numbers(seed: object, count: object, image_size: object = 1) -> None:
    """Raises ValueError unless these are whole numbers, and not too small."""
    for name, value, least in (("seed", seed, 0), ("count", count, 0), ("image_size", image_size, 1)):
        if not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{name} must be a whole number, {least} or more, but it is {value!r}")


def progress(items: Iterable[Any], what: str) -> Iterator[Any]:
    """The items, with a progress bar on a terminal if they take more than a moment."""
    from tqdm import tqdm

    # In one thread: Pillow's drawing holds the GIL.
    return iter(tqdm(items, desc=f"drawing {what}", unit="", delay=1, disable=None))
