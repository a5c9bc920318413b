"""Two kinds of pictures with nothing that says which belongs to which, and the stream of training steps made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg
from gans.data.batches import Batches, digest_of
from gans.data.drawn.landscapes import load_landscapes
from gans.data.pairs import TwoKinds, load_two_folders
from minigrad.arrays import backend


def load_unpaired(data: str | None, image_size: int) -> TwoKinds:
    """The pictures in a folder with trainA/ and trainB/, or the synthetic landscapes by day (A) and by night (B).

    Of the landscapes, and of them alone, test_a[i] and test_b[i] show the same.
    """
    if data is not None:
        return load_two_folders(data, image_size)
    drawn = load_landscapes(image_size)
    return TwoKinds(drawn.day, drawn.night, drawn.test_day, drawn.test_night, drawn.source)


def middle(images: np.ndarray, size: int) -> np.ndarray:
    """The middle of images (n, channels, height, width): (n, channels, size, size)."""
    top, left = ((length - size) // 2 for length in images.shape[2:])
    return images[:, :, top : top + size, left : left + size]


class Crops(Batches):
    """Batches of squares cut out of the images at random places, half of them mirrored: other ones each time.

    Parameters
    ----------
    size : pixels of a square, at most those of an image
    mirror : whether left and right may be exchanged
    """

    def __init__(self, images: np.ndarray, size: int, mirror: bool, *others: Any) -> None:
        super().__init__(images, *others)
        self.size, self.mirror = size, mirror

    def _gather(self, places: Any, step: int) -> Any:
        rng = np.random.default_rng((*self.seed, step, 1))  # (seed, kind, step, 1); an epoch's order has (seed, kind, epoch)
        rows, columns = (self._place(rng, length) for length in self.pixels.shape[1:3])
        if self.mirror:
            columns = np.where(rng.random((self.batch_size, 1)) < 0.5, columns[:, ::-1], columns)
        rows, columns = (backend.move(index, backend.name_of(self.pixels)) for index in (rows, columns))
        return self.pixels[places[:, None, None], rows[:, :, None], columns[:, None, :]]

    def _place(self, rng: np.random.Generator, length: int) -> np.ndarray:
        """For each image which rows, or which columns, of it are in the square: (n, size)."""
        return rng.integers(0, length - self.size + 1, (self.batch_size, 1)) + np.arange(self.size)


class Unpaired:
    """A stream of steps with images of both kinds. A pass ends when the larger data set has been seen once.

    The held-out images are no part of it, but of its digest: a run goes on with the same ones.
    """

    def __init__(self, a: Batches, b: Batches, held_out: Sequence[np.ndarray], source: str) -> None:
        self.a, self.b = a, b
        self.source = source
        self.count = a.count + b.count
        self.digest = digest_of(a.digest.encode(), b.digest.encode(), *held_out)
        self.batch_size = a.batch_size
        self.per_epoch = max(a.per_epoch, b.per_epoch)

    def __getitem__(self, step: int) -> tuple[mg.Tensor, mg.Tensor]:
        return *self.a[step], *self.b[step]
