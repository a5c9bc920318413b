"""A classifier that tells the images of two domains apart: it says how many translations look like the other domain.

A translation that changes nothing stays close to any truth and closes its cycle perfectly. This measure sees it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import minigrad as mg
import minigrad.functional as F
from gans.measures.reduce import reduced
from gans.training.trainer import from_pixels
from minigrad import nn, optim, random

Images = npt.NDArray[np.uint8]

SIDE = 64  # larger images are reduced to about this many pixels a side
STEPS, BATCH = 600, 32
LR = 3e-3
AT_ONCE = 200  # images per forward pass


def train_classifier_of_domains(a: Images, b: Images, seed: int = 0, steps: int | None = None) -> nn.Module:
    """A network from images (n, 3, side, side) to logits (n, 1), above 0 for domain B; trained on images uint8.

    It always uses the same random numbers of the seed, and leaves the default stream as it was.
    """
    steps = STEPS if steps is None else steps
    with random.seeded(seed):
        network = nn.Sequential(*_block(3, 16), *_block(16, 32), *_block(32, 64), nn.Conv2d(64, 1, 3, padding=1), _MeanOfMap())
    parameters = network.parameters()
    optimizer = optim.Adam(parameters, optim.cosine_decay(LR, max(1, steps)))

    rng = np.random.default_rng(seed)
    is_b = mg.Tensor(np.repeat(np.array([0, 1], np.float32), BATCH // 2)[:, None])
    for _ in range(steps):
        chosen = np.concatenate([images[rng.integers(0, len(images), BATCH // 2)] for images in (a, b)])
        mirrored = rng.random((BATCH, 1, 1, 1)) < 0.5
        logits = network(_scaled(np.where(mirrored, chosen[..., ::-1], chosen)))
        optimizer.step(mg.grad(F.binary_cross_entropy_with_logits(logits, is_b), parameters))
    return network


def looks_like_b(network: nn.Module, images: Images) -> npt.NDArray[np.bool_]:
    """Which of the images uint8 (n, 3, height, width) the network takes for ones of domain B."""
    network.eval()
    with mg.no_grad():
        parts = [network(_scaled(images[i : i + AT_ONCE])).numpy() for i in range(0, len(images), AT_ONCE)]
    return np.concatenate(parts)[:, 0] > 0


def _block(before: int, channels: int) -> tuple[nn.Module, ...]:
    """Half as many pixels a side."""
    return nn.Conv2d(before, channels, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()


class _MeanOfMap(nn.Module):
    """(n, 1, height, width) to (n, 1)."""

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return x.mean(axis=(2, 3))


def _scaled(images: Images) -> mg.Tensor:
    """Images in [-1, 1], large ones reduced."""
    return mg.Tensor(from_pixels(reduced(images, SIDE)))
