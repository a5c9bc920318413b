"""A palette of few colours, towards which a generator can pull the colours of its images."""

from __future__ import annotations

import numpy as np
from PIL import Image

import minigrad as mg
import minigrad.functional as F
from minigrad import nn

SHARPNESS = 50.0  # of two colours of the palette, the one whose squared distance is 0.1 greater gets exp(-5) of the weight
CLOSEST = 0.99  # the first colours are between -CLOSEST and CLOSEST, as artanh 1 is infinite
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
        """Take the most common colours of images, uint8 (n, 3, height, width). Where they have fewer, the rest stays random."""
        common = np.clip(most_common_colours(images, len(self.before_tanh)) / 127.5 - 1, -CLOSEST, CLOSEST)
        self.load_state_dict({"before_tanh": np.concatenate([np.arctanh(common), self.before_tanh.numpy()[len(common) :]])})


def most_common_colours(images: np.ndarray, count: int) -> np.ndarray:
    """The most common colours of images, uint8 (n, 3, height, width), no two of them similar: uint8 (count, 3), or fewer rows.

    Pillow's octree sorts the pixels of up to 200 images into groups of similar colours; each group's most common one is taken.
    """
    some = images[:: -(-len(images) // LOOKED_AT)].transpose(0, 2, 3, 1)
    pixels = np.ascontiguousarray(some).reshape(-1, some.shape[2], 3)
    groups = np.asarray(Image.fromarray(pixels).quantize(count, Image.Quantize.FASTOCTREE))
    return np.stack([_most_common(pixels[groups == group]) for group in np.unique(groups)])


def _most_common(colours: np.ndarray) -> np.ndarray:
    """The row that occurs most often, of uint8 (n, 3)."""
    rows, counts = np.unique(colours @ np.array([1 << 16, 1 << 8, 1]), return_counts=True)
    first = int(rows[counts.argmax()])
    return np.array([first >> 16, first >> 8 & 255, first & 255], np.uint8)
