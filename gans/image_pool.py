"""A pool of images generated before, so that a discriminator does not forget what the generator no longer does.

Source: Shrivastava et al., "Learning from simulated and unsupervised images through adversarial training", CVPR 2017,
section 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.arrays import backend, hooks
from minigrad.arrays.layout import by_pixel


class ImagePool:
    """Keeps generated images, and gives back, half of the time, an older one in place of the newest.

    Which ones depends on the seed and on how many images have come before, alone.

    Parameters
    ----------
    size : images that are kept; with 0 every image is given back at once
    image_shape : (channels, height, width)
    seed : of the choices
    """

    def __init__(self, size: int, image_shape: tuple[int, ...], seed: Sequence[int], backend_name: str, dtype: Any) -> None:
        channels, height, width = image_shape
        self._pixels = backend.move(np.zeros((size + 1, height, width, channels), dtype), backend_name)  # the last: not kept
        self.size = size
        self.seed = tuple(seed)
        self.seen = 0

    @property
    def images(self) -> Any:
        """Those that are kept: (size, channels, height, width)."""
        return self._pixels[: self.size].transpose(0, 3, 1, 2)

    def exchange(self, images: mg.Tensor) -> mg.Tensor:
        """The images (n, channels, height, width), some of them replaced by older ones, whose places in the pool they take."""
        n, given = len(images), by_pixel(images.data).copy()
        if self.size:
            choices = backend.kernels(given).from_host(lambda: self._choose(n), 2 * n, np.int64)
            for i in range(n):  # one after another: an image may get what the one before it left
                self._exchange(given[i : i + 1], choices[2 * i : 2 * i + 1], choices[2 * i + 1 : 2 * i + 2].astype(bool))
        return mg.Tensor(given.transpose(0, 3, 1, 2))

    def _exchange(self, image: Any, place: Any, wanted: Any) -> None:
        """Put the image at its place in the pool, and what was there in the image's, if it is wanted."""
        pixels = hooks.persistent(self._pixels)
        older = pixels[place]
        pixels[place] = image
        image[...] = backend.array_module(image).where(wanted, older, image)

    def _choose(self, count: int) -> list[int]:
        """For each of the next images the place that it takes, and whether (1 or 0) what was there is given back instead."""
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
        """The images, and how many have come."""
        return {"images": self.images, "seen": np.array(self.seen)}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; ValueError if it is of another pool."""
        if saved.keys() != {"images", "seen"} or saved["images"].shape != self.images.shape:
            raise ValueError("the saved pool of images is of another size")
        self.images[...] = backend.move(saved["images"], backend.name_of(self.images))
        self.seen = int(saved["seen"])
