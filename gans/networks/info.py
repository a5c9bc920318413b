"""The networks of InfoGAN, for grey images of 28 x 28, and the codes in its latent vectors.

Source: Chen et al., "InfoGAN", NeurIPS 2016, table 1 of the appendix, with half of the channels; the convolutions of G have no
batch normalisation here.
"""

from __future__ import annotations

from typing import NamedTuple

import minigrad as mg
import minigrad.functional as F
from minigrad import nn

NOISE = 62  # numbers without a meaning
CATEGORIES = 10
CONTINUOUS = 2
LATENT_SIZE = NOISE + CATEGORIES + 2 * CONTINUOUS


class Codes(NamedTuple):
    """The code of n images: `category` (n, 10), 1 in one place and 0 elsewhere; `continuous` (n, 2) in (-1, 1)."""

    category: mg.Tensor
    continuous: mg.Tensor


def split(latent: mg.Tensor) -> tuple[mg.Tensor, Codes]:
    """The noise (n, 62) and the codes in latent vectors (n, LATENT_SIZE) from N(0, I).

    The largest of ten normal numbers is each of them equally often: its place is the category. The squared length r^2
    of two of them makes exp(-r^2 / 2) uniform in (0, 1), as in the Box-Muller transform: this is a continuous code.
    """
    n = len(latent)
    noise, scores, pairs = F.split(latent, [NOISE, CATEGORIES, 2 * CONTINUOUS], axis=1)
    category = F.astype(scores == F.max(scores, axis=1, keepdims=True), latent.dtype)
    squares = (pairs * pairs).reshape(n, CONTINUOUS, 2).sum(axis=2)
    return noise, Codes(category, 2 * F.exp(-0.5 * squares) - 1)


class CodedGenerator(nn.Module):
    """Latent vectors (n, LATENT_SIZE) to images (n, 1, 28, 28) in (-1, 1). `decode` gets noise and codes."""

    def __init__(self) -> None:
        self.network = nn.Sequential(
            nn.Linear(NOISE + CATEGORIES + CONTINUOUS, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(),
            nn.Linear(512, 64 * 7 * 7, bias=False), nn.BatchNorm1d(64 * 7 * 7), nn.ReLU(), nn.Reshape(64, 7, 7),
            nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def decode(self, noise: mg.Tensor, codes: Codes) -> mg.Tensor:
        return self.network(F.concatenate([noise, *codes], axis=1))

    def forward(self, latent: mg.Tensor) -> mg.Tensor:
        return self.decode(*split(latent))


class TrunkDiscriminator(nn.Module):
    """Images (n, 1, 28, 28) to logits (n, 1) of D and, with `judge`, also to Q's ten logits and two means (n, 12)."""

    def __init__(self) -> None:
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.1),
            nn.Conv2d(32, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.LeakyReLU(0.1),
            nn.Flatten(), nn.Linear(64 * 7 * 7, 512, bias=False), nn.BatchNorm1d(512), nn.LeakyReLU(0.1),
        )  # fmt: skip
        self.logit = nn.Linear(512, 1)
        self.code = nn.Sequential(
            nn.Linear(512, 128, bias=False), nn.BatchNorm1d(128), nn.LeakyReLU(0.1), nn.Linear(128, CATEGORIES + CONTINUOUS)
        )

    def judge(self, x: mg.Tensor) -> tuple[mg.Tensor, mg.Tensor]:
        h = self.trunk(x)
        return self.logit(h), self.code(h)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.logit(self.trunk(x))
