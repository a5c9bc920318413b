"""Batches of images in an order that depends on the seed alone: to resume, it is enough to know the step."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from gans.data.errors import DataError
from minigrad import backend


class Batches:
    """Batch number i of an endless stream of shuffled passes through the data.

    The data set stays on the backend as bytes; a batch is gathered and scaled there. The few images that do not fill a
    batch sit out an epoch, other ones each time.

    Parameters
    ----------
    images : uint8 (n, channels, height, width)
    batch_size : at most n
    seed : of the order
    backend_name, dtype : of the batches
    """

    def __init__(
        self, images: np.ndarray, batch_size: int, seed: int, backend_name: str = "numpy", dtype: object = np.float32
    ) -> None:
        if batch_size > len(images):
            raise DataError(f"the data set has {len(images)} images, fewer than the {batch_size} of a step; lower --batch-size")
        self.count = len(images)
        self.batch_size = batch_size
        self.per_epoch = self.count // batch_size
        self.seed = seed
        self.dtype = np.dtype(dtype)  # type: ignore[call-overload]
        self.pixels = backend.move(np.ascontiguousarray(images.transpose(0, 2, 3, 1)), backend_name)  # channels-last
        self._epoch = -1
        self._order = self.pixels[:0]

    def __getitem__(self, step: int) -> mg.Tensor:
        """Batch number `step`, in [-1, 1]: (batch_size, channels, height, width), channels-last in memory."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            order = np.random.default_rng((self.seed, epoch)).permutation(self.count)
            self._epoch, self._order = epoch, backend.move(order, backend.name_of(self.pixels))
        chosen = self._order[place * self.batch_size : (place + 1) * self.batch_size]
        scaled = self.pixels[chosen].astype(self.dtype) * self.dtype.type(1 / 127.5) - self.dtype.type(1)
        return mg.Tensor(scaled.transpose(0, 3, 1, 2))
