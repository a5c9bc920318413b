"""Batches of images that are distorted at random, as handwriting varies: a few images then stand for many.

Source: Simard et al., "Best practices for convolutional neural networks applied to visual document analysis", ICDAR 2003.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gans.data.batches import Batches
from minigrad.arrays import backend

Floats = npt.NDArray[np.float64]

TURN = 15  # degrees, the largest turn to either side
SCALE = 0.15  # a height and a width change by at most this share
SHEAR = 0.25  # columns that a row is moved, for each row between it and the centre, at most
SHIFT = 2  # pixels, the largest shift in each direction
SMOOTH = 4  # pixels, the standard deviation of the Gaussian that smooths the elastic distortion's noise
STRENGTH = 34  # this noise is uniform in (-STRENGTH, STRENGTH)


class DistortedBatches(Batches):
    """Batches of images, each turned, scaled, sheared, shifted and bent at random.

    The distortions depend only on the seed and the step, not on earlier batches. Parameters, and the shape of a batch, are
    those of `Batches`.
    """

    def _gather(self, indices: Any, step: int) -> Any:
        """The distorted images of the batch, floats from 0 to 255, (batch_size, height, width, channels)."""
        images = super()._gather(indices, step)
        rng = np.random.default_rng((*self.seed, step, 1))  # the 1 keeps it apart from the shuffle's (*seed, epoch)
        height, width = images.shape[1:3]
        positions = affine_positions(rng, len(images), height, width) + elastic_shifts(rng, len(images), height, width)
        return bilinear(images, backend.move(positions.astype(self.dtype), backend.name_of(images)))


def affine_positions(rng: np.random.Generator, count: int, height: int, width: int) -> Floats:
    """Where each pixel of a distorted image comes from, (count, 2, height, width), rows and columns, by a random affine map."""
    angle = np.deg2rad(rng.uniform(-TURN, TURN, count))
    shear, shift = rng.uniform(-SHEAR, SHEAR, count), rng.uniform(-SHIFT, SHIFT, (count, 2, 1))
    scales = 1 / rng.uniform(1 - SCALE, 1 + SCALE, (count, 1, 2))
    ones, zeros = np.ones(count), np.zeros(count)
    turns = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    shears = np.array([[ones, zeros], [shear, ones]]).transpose(2, 0, 1)
    centre = np.array([[height - 1], [width - 1]]) / 2
    pixels = np.indices((height, width)).reshape(2, -1) - centre
    return (turns @ shears * scales @ pixels + centre + shift).reshape(count, 2, height, width)


def elastic_shifts(rng: np.random.Generator, count: int, height: int, width: int) -> Floats:
    """Smooth random shifts of the pixels, (count, 2, height, width)."""
    noise = rng.uniform(-STRENGTH, STRENGTH, (count, 2, height, width))
    return gaussian(height) @ noise @ gaussian(width).T


def gaussian(length: int) -> Floats:
    """The matrix (length, length) that smooths a column of numbers: each becomes a mean, weighted by a Gaussian around it."""
    i = np.arange(length)
    weights = np.exp(-((i[:, None] - i) ** 2) / (2 * SMOOTH**2))
    return weights / weights.sum(axis=1, keepdims=True)


def bilinear(images: Any, positions: Any) -> Any:
    """The values of images (n, height, width, channels) at positions (n, 2, rows, columns): (n, rows, columns, channels).

    Between pixels they are interpolated. A position outside of the image has the value of the nearest pixel inside.
    """
    xp = backend.array_module(images)
    n, (height, width) = xp.arange(len(images))[:, None, None], images.shape[1:3]
    y, x = positions[:, 0].clip(0, height - 1), positions[:, 1].clip(0, width - 1)
    top, left = xp.floor(y), xp.floor(x)
    down, across = (y - top)[..., None], (x - left)[..., None]
    top, left = top.astype(np.intp), left.astype(np.intp)
    bottom, right = xp.minimum(top + 1, height - 1), xp.minimum(left + 1, width - 1)
    upper = images[n, top, left] * (1 - across) + images[n, top, right] * across
    lower = images[n, bottom, left] * (1 - across) + images[n, bottom, right] * across
    return upper * (1 - down) + lower * down
