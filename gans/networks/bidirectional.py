"""The networks of BiGAN and ALI, for grey images of 28 x 28."""

from __future__ import annotations

import minigrad as mg
import minigrad.functional as F
from minigrad import nn

LATENT_SIZE = 50


def generator() -> nn.Sequential:
    """Latent vectors (n, 50) to images (n, 1, 28, 28) in (-1, 1)."""
    return nn.Sequential(
        nn.Linear(LATENT_SIZE, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(),
        nn.Linear(512, 64 * 7 * 7, bias=False), nn.BatchNorm1d(64 * 7 * 7), nn.ReLU(), nn.Reshape(64, 7, 7),
        nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def encoder(outputs: int) -> nn.Sequential:
    """Images (n, 1, 28, 28) to (n, outputs): latent vectors, or a mean and a logarithm of a variance for each number."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 512, bias=False), nn.BatchNorm1d(512), nn.LeakyReLU(0.2), nn.Linear(512, outputs),
    )  # fmt: skip


class PairDiscriminator(nn.Module):
    """Images (n, 1, 28, 28) and latent vectors (n, 50) to logits (n, 1): large for a real image with its code.

    Without batch normalisation: both kinds of pairs pass through it together.
    """

    def __init__(self) -> None:
        self.image = nn.Sequential(
            nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(),
            nn.Linear(64 * 7 * 7, 512), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.latent = nn.Sequential(nn.Linear(LATENT_SIZE, 512), nn.LeakyReLU(0.2))
        self.pair = nn.Sequential(nn.Linear(1024, 512), nn.LeakyReLU(0.2), nn.Linear(512, 1))

    def forward(self, x: mg.Tensor, z: mg.Tensor) -> mg.Tensor:
        return self.pair(F.concatenate([self.image(x), self.latent(z)], axis=1))
