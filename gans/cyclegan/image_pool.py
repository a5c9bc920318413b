"""A pool of earlier generated images, so that a discriminator does not forget the generator's past errors.

Source: Shrivastava et al., "Learning from simulated and unsupervised images through adversarial
training", CVPR 2017, section 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.arrays import backend, hooks
from minigrad.arrays.layout import by_pixel


class ImagePool:
    """Stores generated images and, half of the time, returns a stored one in exchange for a new one.

    The choices depend only on the seed and on the number of images seen so far.

    Parameters
    ----------
    size : number of stored images; with 0, `exchange` returns its input
    image_shape : (channels, height, width)
    seed : of the choices
    """

    def __init__(self, size: int, image_shape: tuple[int, ...], seed: Sequence[int], backend_name: str, dtype: Any) -> None:
        channels, height, width = image_shape
        # One slot more than `size`: the last one takes the images that are not stored.
        self._pixels = backend.move(np.zeros((size + 1, height, width, channels), dtype), backend_name)
        self.size = size
        self.seed = tuple(seed)
        self.seen = 0

    @property
    def images(self) -> Any:
        """The stored images, (size, channels, height, width)."""
        return self._pixels[: self.size].transpose(0, 3, 1, 2)

    def exchange(self, images: mg.Tensor) -> mg.Tensor:
        """The images (n, channels, height, width), some of them exchanged for stored ones."""
        n, given = len(images), by_pixel(images.data).copy()
        if self.size:
            choices = backend.from_host(lambda: self._choose(n), 2 * n, np.int64, like=given)
            for i in range(n):  # one by one: an image may be exchanged for an earlier one of the same batch
                self._exchange(given[i : i + 1], choices[2 * i : 2 * i + 1], choices[2 * i + 1 : 2 * i + 2].astype(bool))
        return mg.Tensor(given.transpose(0, 3, 1, 2))

    def _exchange(self, image: Any, slot: Any, wanted: Any) -> None:
        """Store the image in a slot of the pool. If `wanted`, overwrite the image with the slot's previous content."""
        pixels = hooks.persistent(self._pixels)
        older = pixels[slot]
        pixels[slot] = image
        image[...] = backend.array_module(image).where(wanted, older, image)

    def _choose(self, count: int) -> list[int]:
        """For each of the next images, its slot, and whether (1 or 0) the slot's previous image is returned instead."""
        choices: list[int] = []
        for number in range(self.seen, self.seen + count):
            rng = np.random.default_rng((*self.seed, number))
            if number < self.size:
                choices += number, 0
            elif rng.random() < 0.5:
                choices += int(rng.integers(self.size)), 1
            else:
                choices += self.size, 0
        self.seen += count
        return choices

    def state_dict(self) -> dict[str, Any]:
        """The stored images, and the number of images seen."""
        return {"images": self.images, "seen": np.array(self.seen)}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned. ValueError if it is from a pool of another size."""
        if saved.keys() != {"images", "seen"} or saved["images"].shape != self.images.shape:
            raise ValueError("the saved pool of images is of another size")
        self.images[...] = backend.move(saved["images"], backend.name_of(self.images))
        self.seen = int(saved["seen"])
