"""A palette of few colours, towards which a generator can pull the colours of its images."""

from __future__ import annotations

import numpy as np
from PIL import Image

import minigrad as mg
import minigrad.functional as F
from minigrad import nn

SHARPNESS = 50.0  # of two colours of the palette, the one whose squared distance is 0.1 greater gets exp(-5) of the weight
CLOSEST = 0.98  # colours are scaled by this before artanh, as artanh 1 is infinite
LOOKED_AT = 200  # images whose most common colours are found


class Palette(nn.Module):
    """x + pull (nearest(x) - x), which pulls the colour of each pixel towards the nearest of `count` learned colours c_k.

        nearest(x) = sum_k softmax_k(-50 |x - c_k|^2) c_k

    x has shape (n, 3, height, width) and is in [-1, 1]; pull, (n, 1, height, width), is in [0, 1]. A drawing has whole areas
    of exactly one colour. Convolutions alone find that hard, where the pixels of their input differ; with a palette they only
    have to come close.
    """

    def __init__(self, count: int) -> None:
        self.before_tanh = nn.Parameter(mg.randn((count, 3)).numpy())  # tanh keeps the colours in (-1, 1)

    def forward(self, x: mg.Tensor, pull: mg.Tensor) -> mg.Tensor:
        colours = F.tanh(self.before_tanh)
        closeness = F.conv2d(x, 2 * colours[:, :, None, None], -(colours * colours).sum(axis=1))  # |x|^2 - |x - c_k|^2
        nearest = F.conv2d(F.softmax(SHARPNESS * closeness, axis=1), colours.T[:, :, None, None])
        return x + pull * (nearest - x)

    def describe(self) -> str:
        return str(len(self.before_tanh))

    def start_from(self, images: np.ndarray) -> None:
        """Take common colours of images, uint8 (n, 3, height, width). Where they have fewer, the rest stays random."""
        common = most_common_colours(images, len(self.before_tanh)) / 127.5 - 1
        self.load_state_dict(
            {"before_tanh": np.concatenate([np.arctanh(CLOSEST * common), self.before_tanh.numpy()[len(common) :]])}
        )


def most_common_colours(images: np.ndarray, count: int) -> np.ndarray:
    """The means of the most common groups of similar colours, of images uint8 (n, 3, height, width): uint8 (at most count, 3).

    Pillow's octree finds the groups, in up to 200 of the images.
    """
    some = images[:: -(-len(images) // LOOKED_AT)].transpose(0, 2, 3, 1)
    picture = Image.fromarray(np.ascontiguousarray(some).reshape(-1, some.shape[2], 3))
    picture = picture.quantize(count, Image.Quantize.FASTOCTREE)
    return np.array(picture.getpalette(), np.uint8).reshape(-1, 3)[: np.asarray(picture).max() + 1]
