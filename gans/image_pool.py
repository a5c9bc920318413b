"""A pool of images generated before, so that a discriminator does not forget what the generator no longer does.

Source: Shrivastava et al., "Learning from simulated and unsupervised images through adversarial training", CVPR 2017,
section 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import backend
from minigrad.layout import channels_last


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
        self.images = backend.move(channels_last(np.zeros((size, *image_shape), dtype)), backend_name)
        self.seed = tuple(seed)
        self.seen = 0

    def exchange(self, images: mg.Tensor) -> mg.Tensor:
        """The images (n, channels, height, width), some of them replaced by older ones, whose places in the pool they take."""
        given = images.data.copy(order="K")
        for image in given if len(self.images) else ():
            rng = np.random.default_rng((*self.seed, self.seen))
            if self.seen < len(self.images):
                self.images[self.seen] = image
            elif rng.random() < 0.5:
                place = rng.integers(len(self.images))
                older = self.images[place].copy()
                self.images[place] = image
                image[...] = older
            self.seen += 1
        return mg.Tensor(given)

    def state_dict(self) -> dict[str, Any]:
        """The images, and how many have come."""
        return {"images": self.images, "seen": np.array(self.seen)}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; ValueError if it is of another pool."""
        if saved.keys() != {"images", "seen"} or saved["images"].shape != self.images.shape:
            raise ValueError("the saved pool of images is of another size")
        self.images[...] = backend.move(saved["images"], backend.name_of(self.images))
        self.seen = int(saved["seen"])
