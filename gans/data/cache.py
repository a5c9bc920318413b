"""The cache of what can be downloaded or drawn again."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gans.data.errors import DataError
from gans.data.idx import read_idx, write_idx
from minigrad.io.caches import private_folder, user_cache

Bytes = npt.NDArray[np.uint8]


def cache_folder(data_set: str) -> Path:
    """The cache folder of a data set. It may not exist yet.

    It is $MINIGRAD_CACHE/DATA_SET if that variable is set, else minigrad/DATA_SET in the platform's
    cache folder, such as ~/.cache. Where that cannot be used, or other users can change it, it is
    in the temporary folder, and a warning says so.
    """
    if chosen := os.environ.get("MINIGRAD_CACHE"):
        return Path(chosen, data_set)
    usual = [folder / "minigrad" for folder in user_cache()]
    folder = private_folder(usual, "minigrad-data", "data sets", to_write=False)
    return (folder or Path(os.devnull)) / data_set  # in os.devnull nothing can be stored, which the callers report


def drawn_version() -> str:
    """A hash of the source files in `drawn` and of Pillow's version: what the drawn images depend on.

    It is part of the names of cached images, so images drawn by older code are not reused.
    """
    from PIL import __version__ as pillow

    digest = hashlib.md5(pillow.encode(), usedforsecurity=False)
    for path in sorted(Path(__file__).with_name("drawn").glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def cached(folder: Path, what: str, shapes: Mapping[str, tuple[int, ...]], draw: Callable[[], Sequence[Bytes]]) -> list[Bytes]:
    """Arrays uint8, one of each name and shape, from the folder; or from `draw`, if a file is missing, damaged or older.

    What was drawn is stored in the folder. Where that fails, a line on stderr says that the `what` are not cached.
    """
    paths = [folder / f"{name}-{drawn_version()}-idx{len(shape)}-ubyte" for name, shape in shapes.items()]
    try:
        arrays = [read_idx(path) for path in paths]
        if all(a.dtype == np.uint8 and a.shape == shape for a, shape in zip(arrays, shapes.values(), strict=True)):
            return arrays
    except DataError:
        pass  # missing or damaged
    arrays = list(draw())
    try:
        for path, array in zip(paths, arrays, strict=True):
            write_idx(path, array)
    except DataError as error:
        print(f"The synthetic {what} are not cached: {error}", file=sys.stderr)
    return arrays
