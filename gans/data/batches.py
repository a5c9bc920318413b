"""Shuffled batches of images.

A batch depends only on the seed and the step, so a run can resume at any step without replaying
the earlier ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

import minigrad as mg
from gans.data.errors import DataError
from minigrad.arrays import backend


class Stream(Protocol):
    """The data as the training loop sees it: `stream[step]` holds the tensors of one step."""

    source: str  # where the images come from, for the log
    count: int  # number of images
    digest: str  # hash of the images, by which a resumed run checks that its data has not changed
    label_digest: str  # hash of their labels; empty if there are none
    batch_size: int
    per_epoch: int  # steps per epoch

    def __getitem__(self, step: int) -> tuple[mg.Tensor, ...]: ...


class Batches:
    """An endless sequence of batches, reshuffled every epoch.

    The data set stays on the backend as uint8; each batch is gathered and scaled there. If the
    batch size does not divide the number of images, each epoch skips the remainder at the end of
    its shuffled order, so different epochs skip different images.

    Parameters
    ----------
    images : uint8 (n, channels, height, width)
    batch_size : at most n
    seed : of the shuffles, an integer or a sequence of integers
    backend_name, dtype : of the batches
    source : where the images come from, for the log
    """

    label_digest = ""

    def __init__(
        self,
        images: np.ndarray,
        batch_size: int,
        seed: int | Sequence[int],
        backend_name: str = "numpy",
        dtype: Any = np.float32,
        source: str = "",
    ) -> None:
        if batch_size > len(images):
            raise DataError(f"the data set has {len(images)} images, fewer than one batch of {batch_size}; lower --batch-size.")
        self.source = source
        self.count = len(images)
        self.digest = digest_of(images)
        self.batch_size = batch_size
        self.per_epoch = self.count // batch_size
        self.seed = (seed,) if isinstance(seed, int) else tuple(seed)
        self.dtype = np.dtype(dtype)
        self.pixels = backend.move(np.ascontiguousarray(images.transpose(0, 2, 3, 1)), backend_name)  # channels-last
        self._epoch = -1
        self._order = self.pixels[:0]

    @property
    def images(self) -> np.ndarray:
        """All images, uint8 (n, channels, height, width), on the host."""
        return backend.move(self.pixels, "numpy").transpose(0, 3, 1, 2)

    def __getitem__(self, step: int) -> tuple[mg.Tensor, ...]:
        """A step's batch in [-1, 1], (batch_size, channels, height, width), channels-last in memory."""
        scaled = self._gather(self.indices(step), step).astype(self.dtype) * self.dtype.type(1 / 127.5) - self.dtype.type(1)
        return (mg.Tensor(scaled.transpose(0, 3, 1, 2)),)

    def indices(self, step: int) -> Any:
        """The indices of the batch's images, on the backend."""
        epoch, position = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            order = np.random.default_rng((*self.seed, epoch)).permutation(self.count)
            self._epoch, self._order = epoch, backend.move(order, backend.name_of(self.pixels))
        return self._order[position * self.batch_size : (position + 1) * self.batch_size]

    def _gather(self, indices: Any, step: int) -> Any:
        """The images of the batch, from 0 to 255, (batch_size, height, width, channels)."""
        return self.pixels[indices]


def digest_of(*parts: np.ndarray | bytes) -> str:
    """The BLAKE2b hash of the parts, as 16 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
    return digest.hexdigest()
