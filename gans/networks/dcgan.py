"""The generators and discriminators of DCGAN, also used by other algorithms. Discriminators return logits (n, 1).

Source of k4: Radford et al., "Unsupervised representation learning with deep convolutional
generative adversarial networks", ICLR 2016, with the settings of its published code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from minigrad import nn


class Architecture(NamedTuple):
    """A pair of networks, and its default settings."""

    make_generator: Callable[[int, int], nn.Sequential]  # (latent size, image size)
    make_discriminator: Callable[..., nn.Sequential]  # (image size, channels=those of the images)
    latent_size: int
    lr: float


def k4_generator(latent_size: int, image_size: int) -> nn.Sequential:
    """Latent vectors (n, latent_size) to colour images (n, 3, image_size, image_size) in (-1, 1).

    The first transposed convolution turns each vector into 4 x 4 pixels. Each later one doubles
    height and width.
    """
    widths = _widths(64, image_size)[::-1]
    layers: list[nn.Module] = [nn.Reshape(latent_size, 1, 1)]
    layers += [nn.ConvTranspose2d(latent_size, widths[0], 4, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    for before, after in pairwise(widths):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return from_narrow_normal(nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1, bias=False), nn.Tanh()))


def k4_discriminator(image_size: int, channels: int = 3) -> nn.Sequential:
    """Colour images to logits. Each convolution halves height and width; the last one covers the remaining 4 x 4 pixels."""
    widths = _widths(64, image_size)
    layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
    return from_narrow_normal(nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, bias=False), nn.Flatten()))


def k5_generator(latent_size: int, image_size: int) -> nn.Sequential:
    """Like `k4_generator`, with a dense first layer, 5 x 5 kernels and twice the channels."""
    widths = _widths(128, image_size)[::-1]
    layers: list[nn.Module] = [nn.Linear(latent_size, 16 * widths[0], bias=False), nn.BatchNorm1d(16 * widths[0])]
    layers += [nn.LeakyReLU(0.2), nn.Reshape(widths[0], 4, 4)]
    for before, after in pairwise(widths):
        layers += [nn.ConvTranspose2d(before, after, 5, 2, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], 3, 5, 2, 2, 1, bias=False), nn.Tanh())


def k5_discriminator(image_size: int, channels: int = 3) -> nn.Sequential:
    """Like `k4_discriminator`, with 5 x 5 kernels, twice the channels, and dropout in place of batch normalisation."""
    widths = _widths(128, image_size)
    layers: list[nn.Module] = []
    for before, after in zip([channels, *widths], widths, strict=False):
        layers += [nn.Conv2d(before, after, 5, 2, 2), nn.LeakyReLU(0.2), nn.Dropout(0.3)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * widths[-1], 1))


def small_generator(latent_size: int, image_size: int = 28, channels: int = 1) -> nn.Sequential:
    """Latent vectors to 28 x 28 images in (-1, 1): two dense layers, then two transposed convolutions."""
    return nn.Sequential(
        nn.Linear(latent_size, 1024), nn.ReLU(), nn.BatchNorm1d(1024),
        nn.Linear(1024, 128 * 7 * 7), nn.ReLU(), nn.BatchNorm1d(128 * 7 * 7),
        nn.Reshape(128, 7, 7),
        nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.ReLU(), nn.BatchNorm2d(64),
        nn.ConvTranspose2d(64, channels, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def small_discriminator(image_size: int = 28, channels: int = 1) -> nn.Sequential:
    """28 x 28 images to logits: two convolutions, each followed by max-pooling, then two dense layers."""
    return nn.Sequential(
        nn.Conv2d(channels, 32, 5), nn.LeakyReLU(0.01), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5), nn.LeakyReLU(0.01), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, 1024), nn.LeakyReLU(0.01),
        nn.Linear(1024, 1),
    )  # fmt: skip


ARCHITECTURES = {
    "k4": Architecture(k4_generator, k4_discriminator, latent_size=100, lr=2e-4),
    "k5": Architecture(k5_generator, k5_discriminator, latent_size=100, lr=1e-4),
    "28": Architecture(small_generator, small_discriminator, latent_size=96, lr=1e-3),
    "stacked": Architecture(
        partial(small_generator, channels=3), partial(small_discriminator, channels=3), latent_size=96, lr=1e-3
    ),
}


def _widths(first: int, image_size: int) -> list[int]:
    """The channels after each halving of an image, down to 4 x 4 pixels. They double each time."""
    if image_size < 8 or image_size & (image_size - 1):
        raise ValueError(f"image_size is {image_size}, but must be 8, 16, 32, 64, ... so that halving it leads to 4")
    return [first * 2**i for i in range(int(math.log2(image_size)) - 2)]


def from_narrow_normal(network: nn.Sequential) -> nn.Sequential:
    """Set the paper's initial values: weights from N(0, 0.02), biases 0, gains of batch normalisation from N(1, 0.02)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.weight.assign(nn.init.normal(layer.weight.shape, 0.0, 0.02).data)
            if layer.bias is not None:
                layer.bias.assign(np.zeros(layer.bias.shape, np.float32))
        elif isinstance(layer, nn.BatchNorm2d) and layer.weight is not None:
            layer.weight.assign(nn.init.normal(layer.weight.shape, 1.0, 0.02).data)
    return network
