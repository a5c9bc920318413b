"""Features of images of any kind: the responses of a small convolutional network with random weights.

They see colours, edges, textures and, in four quarters of the image, where these are. They know nothing of objects. A
distance between such features tells sets of images apart that differ in these respects, and its values compare with
nothing but each other. Random networks as an unbiased embedding: Naeem et al., "Reliable fidelity and diversity metrics
for generative models", ICML 2020, section 4.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import minigrad as mg
import minigrad.functional as F
from gans.training.trainer import from_pixels

CHANNELS = (16, 32, 32)  # of three convolutions, each of which halves the image
AT_ONCE = 200  # images per forward pass


def random_features(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Features (n, 128) of images uint8 (n, channels, height, width) of at least 16 x 16 pixels."""
    weights, generator, before = [], mg.Generator(0), images.shape[1]
    for channels in CHANNELS:
        weights.append(generator.randn((channels, before, 4, 4)) * (2 / (before * 16)) ** 0.5)
        before = channels
    features = []
    with mg.no_grad():
        for start in range(0, len(images), AT_ONCE):
            x = mg.Tensor(from_pixels(images[start : start + AT_ONCE]))
            for w in weights:
                x = F.relu(F.conv2d(x, w, stride=2, padding=1))
            quarters = F.avg_pool2d(x, (x.shape[2] // 2, x.shape[3] // 2))
            features.append(quarters[:, :, :2, :2].numpy().reshape(x.shape[0], -1))
    return np.concatenate(features).astype(np.float64)
