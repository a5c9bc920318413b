"""MNIST from a folder, the cache or the network, with synthetic digits as the fallback."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gans.data.cache import Bytes, cache_folder, cached
from gans.data.download import DownloadError, Published, download, is_intact
from gans.data.errors import DataError
from gans.data.idx import read_idx

Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")

SYNTHETIC = "synthetic"
_PREFIX = {"train": "train", "test": "t10k"}
_SYNTHETIC_COUNT = {"train": 60_000, "test": 10_000}
_SYNTHETIC_SEED = {"train": 0, "test": 1}


@dataclass(frozen=True)
class Remote:
    """Where a data set can be downloaded: every mirror has every file."""

    mirrors: tuple[str, ...]  # URLs of folders, ending in "/"
    files: Mapping[str, Published]
    timeout: float = 4.0  # seconds; short, because offline each mirror delays the start of training this long

    def is_complete_in(self, folder: Path) -> bool:
        """Whether `folder` has all files, with the right sizes and checksums."""
        return all(is_intact(folder / name, published) for name, published in self.files.items())


MNIST = Remote(
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    files={
        "train-images-idx3-ubyte.gz": Published(9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        "train-labels-idx1-ubyte.gz": Published(28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
        "t10k-images-idx3-ubyte.gz": Published(1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
        "t10k-labels-idx1-ubyte.gz": Published(4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
    },
)


@dataclass(frozen=True, eq=False)
class Digits:
    """`images` uint8 (n, 28, 28), where 0 is the background; `labels` uint8 (n,) from 0 to 9, or None.

    `source` says where they come from, for the log.
    """

    images: Bytes
    labels: Bytes | None
    source: str


def load_mnist(
    folder: Path | str | None = None, split: Split = "train", *, labels: bool = False, remote: Remote = MNIST
) -> Digits:
    """Load the images of one split, and their labels if `labels` is true.

    `folder` holds MNIST's IDX files (or Fashion-MNIST's, which have the same names), plain or
    gzip-compressed; torchvision's layouts (raw/ and MNIST/raw/) work too. "synthetic" selects synthetic
    digits. Without a folder, the files are taken from the cache or downloaded from `remote`; if that
    fails, a line on stderr says so and synthetic digits are used.

    Raises DataError if `folder` cannot be used. Without a folder it never fails.
    """
    if folder is not None and str(folder) != SYNTHETIC:
        return _load_folder(Path(folder), split, labels)
    cache = cache_folder("mnist")
    if folder is None and remote.is_complete_in(cache):  # a complete cache need not be writable
        return _load_folder(cache, split, labels)
    with _writable(cache) as cache:
        if folder is None:
            try:
                _download_all(cache, remote)
                return _load_folder(cache, split, labels)
            except DataError as error:
                _warn(
                    f"MNIST is not in the cache and {_why_no_download(error)}: "
                    f"using {_SYNTHETIC_COUNT[split]:,} synthetic digits instead; "
                    "for real ones, pass the folder with MNIST's files as --data DIR."
                )
        return _load_synthetic(cache, split, labels)


def warn_without_labels(folder: str | None, splits: Sequence[Split], consequence: str) -> None:
    """Print a line on stderr if the labels of these splits cannot be used: what follows from it, and why.

    Only a folder can have none. All other digits have labels.
    """
    if folder is None or folder == SYNTHETIC:
        return
    try:
        for split in splits:
            _load_folder(Path(folder), split, labels=True)
    except DataError as error:
        _warn(f"{consequence}: {error}")


def _load_folder(folder: Path, split: Split, labels: bool) -> Digits:
    image_path, images = _read_first_usable(folder, f"{_PREFIX[split]}-images-idx3-ubyte", _image_problem)
    if not labels:
        return Digits(images, None, str(image_path))
    label_path, label_values = _read_first_usable(folder, f"{_PREFIX[split]}-labels-idx1-ubyte", _label_problem)
    if len(images) != len(label_values):
        raise DataError(
            f"{label_path} has {len(label_values):,} labels, but {image_path.name} has {len(images):,} images; "
            "use files of the same data set."
        )
    return Digits(images, label_values, str(image_path))


def _read_first_usable(folder: Path, name: str, find_problem: Callable[[npt.NDArray[Any]], str | None]) -> tuple[Path, Bytes]:
    """Read the first usable file that may hold `name`; if none is usable, raise the first one's error."""
    errors = []
    for path in _candidates(folder, name):
        try:
            array = read_idx(path)
            if problem := find_problem(array):
                raise DataError(f"{path} {problem}; --data must be a folder with MNIST's files.")
            return path, array
        except DataError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    raise DataError(f"{folder} has no {name} or {name}.gz; --data must be the folder with MNIST's files.")


def _candidates(folder: Path, name: str) -> Iterator[Path]:
    """The existing files that may hold `name`: in each folder, uncompressed files first."""
    try:
        os.listdir(folder)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be opened ({error.strerror or error}); --data must be the folder that holds {name}.gz."
        ) from error
    for parent in (folder, folder / "raw", folder / "MNIST" / "raw"):  # the last two are torchvision's
        for suffix in ("", ".gz"):
            for stem in (name, name.replace("-idx", ".idx")):
                path = parent / f"{stem}{suffix}"
                if os.path.lexists(path):  # includes broken links, for which read_idx has a good error message
                    yield path


def _image_problem(array: npt.NDArray[Any]) -> str | None:
    if array.dtype != np.uint8 or array.shape[1:] != (28, 28):
        return f"holds {_describe(array)}, not uint8 images of 28 x 28 pixels"
    return None if len(array) else "holds no images"


def _label_problem(array: npt.NDArray[Any]) -> str | None:
    if array.dtype != np.uint8 or array.ndim != 1:
        return f"holds {_describe(array)}, not one uint8 label per image"
    if not len(array):
        return "holds no labels"
    return f"has a label {array.max()}, but labels go from 0 to 9" if array.max() > 9 else None


def _describe(array: npt.NDArray[Any]) -> str:
    return f"{array.dtype} data of shape {array.shape}"


def _download_all(folder: Path, remote: Remote) -> None:
    """Download all files or raise DownloadError, so that both splits come from the same data set.

    The outer loop is over mirrors, so a dead mirror costs only one time-out. Files from one mirror are
    kept when the next takes over.
    """
    failures: dict[str, str] = {}
    for mirror in remote.mirrors:
        try:
            for name, published in remote.files.items():
                download([mirror + name], folder / name, published, remote.timeout)
            return
        except DownloadError as error:
            failures |= error.failures
    raise DownloadError("MNIST", failures)


def _why_no_download(error: DataError) -> str:
    if isinstance(error, DownloadError):
        return f"cannot be downloaded ({'; '.join(dict.fromkeys(error.failures.values()))})"
    return f"cannot be stored ({str(error).rstrip('.')})"


@contextmanager
def _writable(cache: Path) -> Iterator[Path]:
    """`cache` if it can be written, else a temporary folder for the duration of the block.

    If not even that can be created, `cache` again; writing to it will fail.
    """
    with ExitStack() as stack:
        try:
            cache.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=cache).close()
        except OSError as error:
            _warn(f"The data is not cached for the next run, because {cache} cannot be written ({error.strerror or error}).")
            with suppress(OSError):
                cache = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        yield cache


def _load_synthetic(cache: Path, split: Split, labels: bool) -> Digits:
    count, seed = _SYNTHETIC_COUNT[split], _SYNTHETIC_SEED[split]
    shapes = {f"synthetic-{split}-images": (count, 28, 28), f"synthetic-{split}-labels": (count,)}

    def draw() -> tuple[Bytes, Bytes]:
        from gans.data.drawn.digits import synthetic_digits

        return synthetic_digits(count, seed)

    images, label_values = cached(cache, "digits", shapes, draw)
    return Digits(images, label_values if labels else None, f"{count:,} synthetic digits ({split}, seed {seed})")


def _warn(line: str) -> None:
    print(line, file=sys.stderr)
