"""The generators and critics of the Wasserstein GANs. A critic maps images to unbounded scores, (n, 1).

No critic has batch normalisation. With it, the score of an image would depend on the other images of
the batch, but the gradient penalty needs the gradient of each score at its own image.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from gans.networks.dcgan import k4_generator
from minigrad import nn


class Pair(NamedTuple):
    """A generator, and a critic of its images."""

    make_generator: Callable[[], nn.Sequential]
    make_critic: Callable[[], nn.Sequential]


LATENT_SIZE = 100


def dense_generator() -> nn.Sequential:
    """Latent vectors (n, 100) to grey images (n, 1, 28, 28) in (-1, 1)."""
    return nn.Sequential(
        nn.Linear(LATENT_SIZE, 128), nn.ReLU(), nn.Linear(128, 256), nn.ReLU(),
        nn.Linear(256, 784), nn.Tanh(), nn.Reshape(1, 28, 28),
    )  # fmt: skip


def dense_critic() -> nn.Sequential:
    """Grey images (n, 1, 28, 28) to scores (n, 1)."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 256), nn.LeakyReLU(0.2), nn.Linear(256, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1)
    )  # fmt: skip


def conv_generator(channels: int = 1) -> nn.Sequential:
    """Latent vectors (n, 100) to images (n, channels, 28, 28) in (-1, 1)."""
    return nn.Sequential(
        nn.Linear(LATENT_SIZE, 128 * 7 * 7, bias=False), nn.BatchNorm1d(128 * 7 * 7), nn.ReLU(), nn.Reshape(128, 7, 7),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, channels, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def conv_critic(channels: int = 1) -> nn.Sequential:
    """Images (n, channels, 28, 28) to scores (n, 1)."""
    return nn.Sequential(
        nn.Conv2d(channels, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(64, 128, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(128 * 7 * 7, 1),
    )  # fmt: skip


def large_critic() -> nn.Sequential:
    """Colour images (n, 3, 64, 64) to scores (n, 1): DCGAN's discriminator without batch normalisation."""
    layers: list[nn.Module] = []
    for before, after in pairwise([3, 64, 128, 256, 512]):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(512, 1, 4), nn.Flatten())


PAIRS = {
    ("mlp", 28): Pair(dense_generator, dense_critic),
    ("conv", 28): Pair(conv_generator, conv_critic),
    ("stacked", 28): Pair(lambda: conv_generator(3), lambda: conv_critic(3)),
    ("conv", 64): Pair(lambda: k4_generator(LATENT_SIZE, 64), large_critic),
}
