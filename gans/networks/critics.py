"""The generators and critics of the Wasserstein GANs. A critic scores each image with any number: (n, 1).

No critic has batch normalisation: with it the score of an image would depend on the others beside it, and the gradient penalty
asks for the critic's slope at each image by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from gans.networks.dcgan import k4_generator
from minigrad import nn


class Pair(NamedTuple):
    """A generator for latent vectors of 100 numbers, and a critic of what it makes."""

    make_generator: Callable[[], nn.Sequential]
    make_critic: Callable[[], nn.Sequential]


LATENT_SIZE = 100


def dense_generator() -> nn.Sequential:
    """Latent vectors to grey images (n, 1, 28, 28) in (-1, 1)."""
    return nn.Sequential(
        nn.Linear(LATENT_SIZE, 128), nn.ReLU(), nn.Linear(128, 256), nn.ReLU(),
        nn.Linear(256, 784), nn.Tanh(), nn.Reshape(1, 28, 28),
    )  # fmt: skip


def dense_critic() -> nn.Sequential:
    """Grey images of 28 x 28 to scores."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 256), nn.LeakyReLU(0.2), nn.Linear(256, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1)
    )  # fmt: skip


def conv_generator() -> nn.Sequential:
    """Latent vectors to grey images (n, 1, 28, 28) in (-1, 1)."""
    return nn.Sequential(
        nn.Linear(LATENT_SIZE, 128 * 7 * 7, bias=False), nn.BatchNorm1d(128 * 7 * 7), nn.ReLU(), nn.Reshape(128, 7, 7),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def conv_critic() -> nn.Sequential:
    """Grey images of 28 x 28 to scores."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(64, 128, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(128 * 7 * 7, 1),
    )  # fmt: skip


def large_critic() -> nn.Sequential:
    """Colour images of 64 x 64 to scores: DCGAN's discriminator without its normalisation."""
    layers: list[nn.Module] = []
    for before, after in pairwise([3, 64, 128, 256, 512]):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(512, 1, 4), nn.Flatten())


PAIRS = {
    ("mlp", 28): Pair(dense_generator, dense_critic),
    ("conv", 28): Pair(conv_generator, conv_critic),
    ("conv", 64): Pair(lambda: k4_generator(LATENT_SIZE, 64), large_critic),
}
