"""Generator and discriminator of `gans.r3gan`: small residual networks without any normalisation, for 28 x 28 images."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad import nn

LATENT_SIZE = 64
SLOPE = 0.2  # of LeakyReLU


class Bottleneck(nn.Module):
    """x + W3 a(W2 a(W1 x)): a 1 x 1, a 3 x 3 and a 1 x 1 convolution, the middle one on half of the channels.

    Without normalisation, the sum of many such blocks would grow from layer to layer. So W3 starts at 0: each block
    starts as the identity.

    Source: Zhang, Dauphin and Ma, "Fixup initialization: residual learning without normalization", ICLR 2019.
    """

    def __init__(self, channels: int) -> None:
        half = channels // 2
        last = nn.Conv2d(half, channels, 1)
        last.weight.assign(np.zeros(last.weight.shape, np.float32))
        self.body = nn.Sequential(
            nn.Conv2d(channels, half, 1), nn.LeakyReLU(SLOPE), nn.Conv2d(half, half, 3, padding=1), nn.LeakyReLU(SLOPE), last
        )

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return x + self.body(x)


def with_even_scale(*layers: nn.Module) -> nn.Sequential:
    """The layers, with initial weights that keep the size of activations from layer to layer, and biases of 0.

    No normalisation does this here. Blocks whose last weight is 0 stay the identity.

    Source: He et al., "Delving deep into rectifiers", ICCV 2015, equation 15: variance 2 / ((1 + slope^2) fan_in).
    """
    network = nn.Sequential(*layers)
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            if layer.weight.data.any():
                shape = layer.weight.shape
                fan_in = shape[0] * 4 if isinstance(layer, nn.ConvTranspose2d) else layer.weight[0].size  # 4 of 16 taps overlap
                bound = (6 / ((1 + SLOPE**2) * fan_in)) ** 0.5
                layer.weight.assign(nn.init.uniform(shape, -bound, bound).data)
            if layer.bias is not None:
                layer.bias.assign(np.zeros(layer.bias.shape, np.float32))
    return network


def residual_generator(channels: int, width: int) -> nn.Sequential:
    """Latent vectors (n, 64) to images (n, channels, 28, 28) in (-1, 1), with 2 `width` and then `width` channels inside."""
    return with_even_scale(
        nn.Linear(LATENT_SIZE, 2 * width * 7 * 7), nn.LeakyReLU(SLOPE), nn.Reshape(2 * width, 7, 7), Bottleneck(2 * width),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.LeakyReLU(SLOPE), Bottleneck(width),
        nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def residual_discriminator(channels: int, width: int) -> nn.Sequential:
    """Images (n, channels, 28, 28) to scores (n, 1). Only differences of scores count, so the last layer has no bias."""
    return with_even_scale(
        nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(SLOPE), Bottleneck(width),
        nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(SLOPE), Bottleneck(2 * width), nn.LeakyReLU(SLOPE),
        nn.Flatten(), nn.Linear(2 * width * 7 * 7, 1, bias=False),
    )  # fmt: skip
