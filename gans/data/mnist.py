"""MNIST, from wherever it is to be had: a folder, the cache, the network, or else drawn on the spot."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gans.data.cache import cache_folder, drawn_version
from gans.data.download import DownloadError, download, has_md5
from gans.data.errors import DataError
from gans.data.idx import read_idx, write_idx

Split = Literal["train", "test"]
Bytes = npt.NDArray[np.uint8]

SYNTHETIC = "synthetic"
_PREFIX = {"train": "train", "test": "t10k"}
_SYNTHETIC_COUNT = {"train": 60_000, "test": 10_000}
_SYNTHETIC_SEED = {"train": 0, "test": 1}


@dataclass(frozen=True)
class Remote:
    """Where a data set is published: `mirrors` that each hold the files named in `md5` (URLs ending in "/")."""

    mirrors: tuple[str, ...]
    md5: Mapping[str, str]
    timeout: float = 4.0  # short: without a network it passes once for each mirror before training begins


MNIST = Remote(
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    md5={
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
)


@dataclass(frozen=True, eq=False)
class Digits:
    """`images` (N, 28, 28) uint8, 0 the background; `labels` (N,) uint8, 0..9, if asked for; `source`, for the log."""

    images: Bytes
    labels: Bytes | None
    source: str


def load_mnist(
    folder: Path | str | None = None, split: Split = "train", *, labels: bool = False, remote: Remote = MNIST
) -> Digits:
    """Loads the digits of one split, and their labels if `labels`.

    `folder` holds MNIST's IDX files (or those of Fashion-MNIST, which have the same names), gzip-compressed
    or not, also as torchvision lays them out; "synthetic" asks for synthetic digits. Without a folder the
    digits come from the cache, else from `remote`; and where neither has them they are synthetic, which a
    line on stderr says.

    Raises DataError if `folder` cannot be used; without a folder there is always something to return.
    """
    if folder is not None and str(folder) != SYNTHETIC:
        return _from_folder(Path(folder), split, labels)
    cache = cache_folder("mnist")
    if folder is None and _is_complete(cache, remote):  # a cache that is full need not be writable
        return _from_folder(cache, split, labels)
    with _writable(cache) as cache:
        if folder is None:
            try:
                _download_all(cache, remote)
                return _from_folder(cache, split, labels)
            except DataError as error:
                _say(
                    f"No MNIST here and {_why(error)}: using {_SYNTHETIC_COUNT[split]:,} synthetic digits instead; "
                    "--data DIR takes the real files."
                )
        return _synthetic(cache, split, labels)


def _from_folder(folder: Path, split: Split, labels: bool) -> Digits:
    image_path, images = _read_first_good(folder, f"{_PREFIX[split]}-images-idx3-ubyte", _image_fault)
    if not labels:
        return Digits(images, None, str(image_path))
    label_path, numbers = _read_first_good(folder, f"{_PREFIX[split]}-labels-idx1-ubyte", _label_fault)
    if len(images) != len(numbers):
        raise DataError(
            f"{label_path} has {len(numbers):,} labels for the {len(images):,} images of {image_path.name}; "
            "take both from the same data set."
        )
    return Digits(images, numbers, str(image_path))


def _read_first_good(folder: Path, name: str, fault: Callable[[npt.NDArray[Any]], str | None]) -> tuple[Path, Bytes]:
    """Reads the first usable one of the files that may stand for `name`; if none is, tells about the first."""
    errors = []
    for path in _candidates(folder, name):
        try:
            array = read_idx(path)
            if complaint := fault(array):
                raise DataError(f"{path} {complaint}; --data takes a folder with the files of MNIST.")
            return path, array
        except DataError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    raise DataError(f"{folder} has no {name} or {name}.gz; --data takes the folder that holds the files of MNIST.")


def _candidates(folder: Path, name: str) -> Iterator[Path]:
    """The existing files that may stand for `name`, plain ones first."""
    try:
        os.listdir(folder)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be opened ({error.strerror or error}); --data takes the folder that holds {name}.gz."
        ) from error
    for place in (folder, folder / "raw", folder / "MNIST" / "raw"):  # the latter two are torchvision's
        for suffix in ("", ".gz"):
            for stem in (name, name.replace("-idx", ".idx")):
                path = place / f"{stem}{suffix}"
                if os.path.lexists(path):  # a broken link too: the reader says so
                    yield path


def _image_fault(array: npt.NDArray[Any]) -> str | None:
    if array.dtype != np.uint8 or array.shape[1:] != (28, 28):
        return f"holds {_described(array)}, not images of 28 x 28 bytes"
    return None if len(array) else "holds no images"


def _label_fault(array: npt.NDArray[Any]) -> str | None:
    if array.dtype != np.uint8 or array.ndim != 1:
        return f"holds {_described(array)}, not one byte per label"
    if not len(array):
        return "holds no labels"
    return f"has a label {array.max()}, where 0 to 9 are possible" if array.max() > 9 else None


def _described(array: npt.NDArray[Any]) -> str:
    return f"{' x '.join(map(str, array.shape))} numbers of type {array.dtype}"


def _is_complete(folder: Path, remote: Remote) -> bool:
    return all(has_md5(folder / name, md5) for name, md5 in remote.md5.items())


def _download_all(folder: Path, remote: Remote) -> None:
    """Fetches all files or raises; all, so that the two splits never come from different data sets.

    Mirror by mirror, not file by file, so that a dead mirror is waited for once. What one mirror gave is kept.
    """
    failures: dict[str, str] = {}
    for mirror in remote.mirrors:
        try:
            for name, md5 in remote.md5.items():
                download([mirror + name], folder / name, md5, remote.timeout)
            return
        except DownloadError as error:
            failures |= error.failures
    raise DownloadError("MNIST", failures)


def _why(error: DataError) -> str:
    if isinstance(error, DownloadError):
        return f"no network ({'; '.join(dict.fromkeys(error.failures.values()))})"
    return f"no room for it ({str(error).rstrip('.')})"


@contextmanager
def _writable(cache: Path) -> Iterator[Path]:
    """`cache` or, where that cannot be written, a temporary folder (if there can be one) that lasts for the block."""
    with ExitStack() as stack:
        try:
            cache.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=cache).close()
        except OSError as error:
            _say(f"Nothing is cached for the next run: {cache} cannot be written ({error.strerror or error}).")
            with suppress(OSError):
                cache = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        yield cache


def _synthetic(cache: Path, split: Split, labels: bool) -> Digits:
    count, seed = _SYNTHETIC_COUNT[split], _SYNTHETIC_SEED[split]
    stem = f"synthetic-{drawn_version('digit*.py')}-{split}"
    image_path, label_path = cache / f"{stem}-images-idx3-ubyte", cache / f"{stem}-labels-idx1-ubyte"
    try:
        images, numbers = read_idx(image_path), read_idx(label_path)
        good = len(images) == len(numbers) == count and not _image_fault(images) and not _label_fault(numbers)
    except DataError:
        good = False
    if not good:
        from gans.data.drawn.digits import synthetic_digits

        images, numbers = synthetic_digits(count, seed)
        _keep({image_path: images, label_path: numbers})
    return Digits(images, numbers if labels else None, f"{count:,} synthetic digits ({split}, seed {seed})")


def _keep(arrays: Mapping[Path, Bytes]) -> None:
    try:
        for path, array in arrays.items():
            write_idx(path, array)
    except DataError as error:
        _say(f"The synthetic digits are not cached: {error}")


def _say(line: str) -> None:
    print(line, file=sys.stderr)
