"""Images with classes: MNIST's digits, or a folder whose subfolders are the classes; and their batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from gans.data.batches import Batches, digest_of
from gans.data.cache import Bytes
from gans.data.errors import DataError
from gans.data.folder import class_folders, load_classes
from gans.data.images import MNIST_SIZE
from gans.data.mnist import load_mnist
from minigrad.arrays import backend

DIGITS = tuple("0123456789")


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """`images` uint8 (n, channels, height, width), `labels` uint8 (n,); `source` says where they come from, for the log."""

    images: Bytes
    labels: Bytes
    source: str


def class_names(data: str | None, image_size: int) -> tuple[str, ...]:
    """The name of each label: at size 28 the digits, at any other size the subfolders of `data`, sorted.

    Raises DataError if there are no classes.
    """
    if image_size == MNIST_SIZE:
        return DIGITS
    if data is None:
        raise DataError(
            "the drawn faces have no classes; give a folder whose subfolders are classes with --data, or --arch 28."
        )
    return tuple(class_folders(Path(data)))


def load_labelled(data: str | None, image_size: int) -> LabelledImages:
    """The training images that `gans.data.images` loads, with labels. Raises DataError if `data` cannot be used."""
    if image_size != MNIST_SIZE:
        class_names(data, image_size)
        return LabelledImages(*load_classes(str(data), image_size))
    digits = load_mnist(data, labels=True)
    assert digits.labels is not None
    return LabelledImages(digits.images[:, None], digits.labels, digits.source)


class LabelledBatches(Batches):
    """Batches of images, as in `Batches`, and of their labels, int64 (batch_size,)."""

    def __init__(
        self,
        data: LabelledImages,
        batch_size: int,
        seed: int | Sequence[int],
        backend_name: str = "numpy",
        dtype: Any = np.float32,
    ) -> None:
        super().__init__(data.images, batch_size, seed, backend_name, dtype, data.source)
        self.labels = backend.move(data.labels.astype(np.int64), backend_name)
        self.label_digest = digest_of(data.labels)

    def __getitem__(self, step: int) -> tuple[mg.Tensor, ...]:
        return *super().__getitem__(step), mg.Tensor(self.labels[self._indices(step)])
