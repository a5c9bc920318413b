"""Batches for unpaired training: random crops of two domains, A and B, each shuffled on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg
from gans.data.batches import Batches, digest_of
from minigrad.arrays import backend


def center_crop(images: np.ndarray, size: int) -> np.ndarray:
    """The central squares of images (n, channels, height, width), as a view (n, channels, size, size)."""
    top, left = ((length - size) // 2 for length in images.shape[2:])
    return images[:, :, top : top + size, left : left + size]


class RandomCrops(Batches):
    """Batches of squares cropped at random, each mirrored left to right with probability 1/2.

    The crops depend only on the seed and the step, not on earlier batches.

    Parameters
    ----------
    images : uint8 (n, channels, height, width)
    size : height and width of a crop, at most those of the images
    mirror : False turns mirroring off
    batch_size, seed, backend_name, dtype : as in `Batches`
    """

    def __init__(
        self,
        images: np.ndarray,
        size: int,
        mirror: bool,
        batch_size: int,
        seed: int | Sequence[int],
        backend_name: str = "numpy",
        dtype: Any = np.float32,
    ) -> None:
        super().__init__(images, batch_size, seed, backend_name, dtype)
        self.size, self.mirror = size, mirror

    def _gather(self, indices: Any, step: int) -> Any:
        rng = np.random.default_rng((*self.seed, step, 1))  # the 1 keeps it apart from the shuffle's (*seed, epoch)
        rows, columns = (self._crop_indices(rng, length) for length in self.pixels.shape[1:3])
        if self.mirror:
            columns = np.where(rng.random((self.batch_size, 1)) < 0.5, columns[:, ::-1], columns)
        rows, columns = (backend.move(index, backend.name_of(self.pixels)) for index in (rows, columns))
        return self.pixels[indices[:, None, None], rows[:, :, None], columns[:, None, :]]

    def _crop_indices(self, rng: np.random.Generator, length: int) -> np.ndarray:
        """The rows (or columns) of each image's crop, (batch_size, size), out of `length`."""
        return rng.integers(0, length - self.size + 1, (self.batch_size, 1)) + np.arange(self.size)


class UnpairedBatches:
    """A stream of steps, each with a batch of A and a batch of B.

    An epoch is one pass through the larger domain; the smaller one starts over as often as needed.
    The held-out images are not trained on, but they are part of the digest, because a resumed run
    must also be tested on the same images.
    """

    label_digest = ""

    def __init__(self, a: Batches, b: Batches, held_out: Sequence[np.ndarray], source: str) -> None:
        self.a, self.b = a, b
        self.source = source
        self.count = a.count + b.count
        self.digest = digest_of(a.digest.encode(), b.digest.encode(), *held_out)
        self.batch_size = a.batch_size
        self.per_epoch = max(a.per_epoch, b.per_epoch)

    def __getitem__(self, step: int) -> tuple[mg.Tensor, ...]:
        return *self.a[step], *self.b[step]
