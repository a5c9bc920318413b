"""Images with classes: MNIST's digits, or a folder whose subfolders are the classes; and their batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import minigrad as mg
from gans.data.batches import Batches, digest_of
from gans.data.cache import Bytes
from gans.data.errors import DataError
from gans.data.folder import class_folders, load_classes
from gans.data.images import MNIST_SIZE
from gans.data.mnist import load_mnist
from minigrad.arrays import backend

DIGITS = tuple("0123456789")
NO_EPOCH = 2**32 - 1  # beside a seed: an order of the images that no epoch has


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


def load_labelled(data: str | None, image_size: int, classes: Sequence[str] | None = None) -> LabelledImages:
    """The training images that `gans.data.images` loads, with labels.

    Raises DataError if `data` cannot be used, or does not have these classes in this order, if they are given.
    """
    found = class_names(data, image_size)
    if classes is not None and list(found) != list(classes):
        raise DataError(f"{data} has the classes {', '.join(found)}, not {', '.join(classes)}.")
    if image_size != MNIST_SIZE:
        return LabelledImages(*load_classes(str(data), image_size, found))
    digits = load_mnist(data, labels=True)
    assert digits.labels is not None
    return LabelledImages(digits.images[:, None], digits.labels, digits.source)


def some_of_each(labels: Bytes, count: int, seed: int) -> npt.NDArray[np.intp]:
    """The positions of `count` images: as many of each class as possible, drawn at random. DataError if there are fewer."""
    if count > len(labels):
        raise DataError(f"the data set has {len(labels):,} images, fewer than the {count:,} of --labels; lower it.")
    order = np.random.default_rng((seed, NO_EPOCH)).permutation(len(labels))
    place = np.empty(len(labels), np.intp)  # of each image among those of its class
    for c in np.unique(labels):
        mine = np.flatnonzero(labels[order] == c)
        place[mine] = np.arange(len(mine))
    return order[np.argsort(place, kind="stable")[:count]]


class LabelledBatches:
    """A stream of steps, each with a batch of images and their labels, int64 (batch_size,).

    Parameters
    ----------
    batches : of the images
    labels : uint8, one for each image
    """

    def __init__(self, batches: Batches, labels: Bytes) -> None:
        self.batches = batches
        self.labels = backend.move(labels.astype(np.int64), backend.name_of(batches.pixels))
        self.source, self.count, self.digest = batches.source, batches.count, batches.digest
        self.label_digest = digest_of(labels)
        self.batch_size, self.per_epoch = batches.batch_size, batches.per_epoch

    def __getitem__(self, step: int) -> tuple[mg.Tensor, ...]:
        return *self.batches[step], mg.Tensor(self.labels[self.batches.indices(step)])


class SomeLabelled:
    """A stream of steps, each with a batch of all images, and a batch of the few labelled ones with their labels.

    An epoch is one pass through all images; the labelled ones start over as often as needed.
    """

    def __init__(self, images: Batches, labelled: LabelledBatches) -> None:
        self.images, self.labelled = images, labelled
        self.source, self.count, self.digest = images.source, images.count, images.digest
        self.label_digest = digest_of(labelled.digest.encode(), labelled.label_digest.encode())
        self.batch_size, self.per_epoch = images.batch_size, images.per_epoch

    def __getitem__(self, step: int) -> tuple[mg.Tensor, ...]:
        return *self.images[step], *self.labelled[step]
