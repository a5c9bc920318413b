"""The networks of BiGAN and ALI, for grey images of 28 x 28: dense layers, so that E learns from the data alone what matters.

Source: Donahue et al., "Adversarial feature learning", appendix C.1, with half of the units; D has no batch normalisation here.
"""

from __future__ import annotations

import minigrad as mg
import minigrad.functional as F
from minigrad import nn

LATENT_SIZE = 50
UNITS = 512


def generator() -> nn.Sequential:
    """Latent vectors (n, 50) to images (n, 1, 28, 28) in (-1, 1)."""
    return nn.Sequential(
        nn.Linear(LATENT_SIZE, UNITS), nn.ReLU(), nn.Linear(UNITS, UNITS, bias=False), nn.BatchNorm1d(UNITS), nn.ReLU(),
        nn.Linear(UNITS, 28 * 28), nn.Tanh(), nn.Reshape(1, 28, 28),
    )  # fmt: skip


def encoder(outputs: int) -> nn.Sequential:
    """Images (n, 1, 28, 28) to (n, outputs): latent vectors, or a mean and a logarithm of a variance for each number."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(28 * 28, UNITS), nn.LeakyReLU(0.2),
        nn.Linear(UNITS, UNITS, bias=False), nn.BatchNorm1d(UNITS), nn.LeakyReLU(0.2), nn.Linear(UNITS, outputs),
    )  # fmt: skip


class PairDiscriminator(nn.Module):
    """Images (n, 1, 28, 28) and latent vectors (n, 50) to logits (n, 1): large for a real image with its code.

    Without batch normalisation: both kinds of pairs pass through it together.
    """

    def __init__(self) -> None:
        self.layers = nn.Sequential(
            nn.Linear(28 * 28 + LATENT_SIZE, UNITS), nn.LeakyReLU(0.2), nn.Linear(UNITS, UNITS), nn.LeakyReLU(0.2),
            nn.Linear(UNITS, 1),
        )  # fmt: skip

    def forward(self, x: mg.Tensor, z: mg.Tensor) -> mg.Tensor:
        return self.layers(F.concatenate([x.reshape(len(x), -1), z], axis=1))
