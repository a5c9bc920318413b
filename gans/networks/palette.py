"""A palette of few colours, towards which a generator can pull the colours of its images."""

from __future__ import annotations

import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad import nn

SHARPNESS = 100.0  # of two colours of the palette, the one whose squared distance is 0.1 greater gets exp(-10) of the weight
LOOKED_AT = 200  # images whose most common colours are found
APART = 24  # of 255: colours of a palette differ by as much as this in red, in green or in blue
OUT_OF_REACH = 9.0  # a colour that is near to none


class Palette(nn.Module):
    """x + pull (nearest(x) - x), which pulls the colour of each pixel towards the nearest of `count` fixed colours c_k.

        nearest(x) = sum_k softmax_k(-100 |x - c_k|^2) c_k

    x has shape (n, 3, height, width) and is in [-1, 1]; pull, (n, 1, height, width), is in [0, 1]. A drawing has whole areas
    of exactly one colour. Convolutions alone find that hard, where the pixels of their input differ; with a palette they only
    have to come close.
    """

    def __init__(self, count: int) -> None:
        self.colours = nn.Buffer(2 * mg.rand((count, 3)).numpy() - 1)  # random, until they are taken from images

    def forward(self, x: mg.Tensor, pull: mg.Tensor) -> mg.Tensor:
        colours = self.colours
        closeness = F.conv2d(x, 2 * colours[:, :, None, None], -(colours * colours).sum(axis=1))  # |x|^2 - |x - c_k|^2
        nearest = F.conv2d(F.softmax(SHARPNESS * closeness, axis=1), colours.T[:, :, None, None])
        return x + pull * (nearest - x)

    def describe(self) -> str:
        return str(len(self.colours))

    def take_from(self, images: np.ndarray) -> None:
        """Take the most common colours of images, uint8 (n, 3, height, width). If these have fewer, the rest is not used."""
        common = most_common_colours(images, len(self.colours)) / np.float32(127.5) - 1
        unused = np.full((len(self.colours) - len(common), 3), OUT_OF_REACH, np.float32)
        self.load_state_dict({"colours": np.concatenate([common, unused])})


def most_common_colours(images: np.ndarray, count: int) -> np.ndarray:
    """The most common colours of images, uint8 (n, 3, height, width), each unlike those before it: uint8 (at most count, 3).

    Up to 200 of the images are looked at. A mean of similar colours would be a colour that no image has.
    """
    red, green, blue = images[:: -(-len(images) // LOOKED_AT)].swapaxes(0, 1).astype(np.int32)
    codes, times = np.unique(red << 16 | green << 8 | blue, return_counts=True)
    codes = codes[np.argsort(-times, kind="stable")[:100_000]]  # the others are as rare as the last, or rarer
    left = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
    found: list[np.ndarray] = []
    while len(left) and len(found) < count:
        found.append(left[0])
        left = left[abs(left - left[0]).max(axis=1) >= APART]
    return np.array(found, np.uint8)
