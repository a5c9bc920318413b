"""Batches of images in an order that depends on the seed alone: to resume, it is enough to know the step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

import minigrad as mg
from gans.data.errors import DataError
from minigrad.arrays import backend


class Stream(Protocol):
    """What the training loop needs to know of its data: `stream[i]` holds the tensors that step i takes."""

    source: str  # where the images come from, for the log
    count: int  # images in the data set
    digest: str  # of their pixels: a run goes on with the images it started with
    batch_size: int  # images a step
    per_epoch: int  # steps in one pass through the data

    def __getitem__(self, step: int) -> tuple[mg.Tensor, ...]: ...


class Batches:
    """Batch number i of an endless stream of shuffled passes through the data.

    The data set stays on the backend as bytes; a batch is gathered and scaled there. The few images that do not fill a
    batch sit out an epoch, other ones each time.

    Parameters
    ----------
    images : uint8 (n, channels, height, width)
    batch_size : at most n
    seed : of the order; a sequence of integers is one as well
    backend_name, dtype : of the batches
    source : where the images come from, for the log
    """

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
            raise DataError(f"the data set has {len(images)} images, fewer than the {batch_size} of a step; lower --batch-size")
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

    def __getitem__(self, step: int) -> tuple[mg.Tensor]:
        """Batch number `step`, in [-1, 1]: (batch_size, channels, height, width), channels-last in memory."""
        scaled = self._gather(self._places(step), step).astype(self.dtype) * self.dtype.type(1 / 127.5) - self.dtype.type(1)
        return (mg.Tensor(scaled.transpose(0, 3, 1, 2)),)

    def _places(self, step: int) -> Any:
        """Which images the batch has, on the backend."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            order = np.random.default_rng((*self.seed, epoch)).permutation(self.count)
            self._epoch, self._order = epoch, backend.move(order, backend.name_of(self.pixels))
        return self._order[place * self.batch_size : (place + 1) * self.batch_size]

    def _gather(self, places: Any, step: int) -> Any:
        """The bytes of a batch, (batch_size, height, width, channels)."""
        return self.pixels[places]


def digest_of(*parts: np.ndarray | bytes) -> str:
    """16 letters and digits that change with any byte of the parts."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
    return digest.hexdigest()
