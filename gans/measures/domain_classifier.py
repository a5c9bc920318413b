"""A classifier that tells the images of two domains apart: it says how many translations look like the other domain.

A translation that changes nothing stays close to any truth and closes its cycle perfectly. This measure sees it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import minigrad as mg
import minigrad.functional as F
from gans.measures.classifier import one_cycle
from gans.measures.reduce import reduced
from gans.networks.translators import ColourWaves
from gans.training.trainer import from_pixels
from minigrad import nn, optim, random
from minigrad.arrays.layout import channels_last
from minigrad.capture import Captured

Images = npt.NDArray[np.uint8]

SIDE = 64  # larger images are reduced to about this many pixels a side
STEPS, BATCH = 1200, 32
LR = 3e-3
AT_ONCE = 200  # images per forward pass
WAVES = 4  # frequencies of the sines and cosines of the colours


def train_classifier_of_domains(a: Images, b: Images, side: int, seed: int = 0, steps: int | None = None) -> nn.Module:
    """A network from images (n, 3, height, width) in [-1, 1] to logits (n, 1), above 0 for domain B.

    It is trained on images uint8 (n, 3, height, width), to judge ones of `side` x `side` pixels; it takes about a minute
    on one core. It always uses the same random numbers of the seed, and leaves the default stream as it was.
    """
    from tqdm import tqdm

    steps = STEPS if steps is None else steps
    waves = ColourWaves(WAVES)  # without them it would take many more steps to tell close colours apart
    with random.seeded(seed):
        blocks = *_block(waves.channels(3), 48, 2, 0), *_block(48, 48, 3, 1)
        network = nn.Sequential(waves, *blocks, _MeanAndMaximum(), nn.Linear(2 * 48, 1))
    parameters = network.parameters()
    optimizer = optim.Adam(parameters, one_cycle(LR, max(1, steps)))

    def step(x: mg.Tensor, is_b: mg.Tensor) -> dict[str, mg.Tensor]:
        loss = F.binary_cross_entropy_with_logits(network(x), is_b)
        optimizer.step(mg.grad(loss, parameters))
        return {"loss": loss}

    captured, rng = Captured(step), np.random.default_rng(seed)
    is_b = np.repeat(np.array([0, 1], np.float32), BATCH // 2)[:, None]
    for _ in tqdm(range(steps), "training the classifier of domains", unit=" steps", delay=1, disable=None):
        chosen = np.concatenate([_pieces(images[rng.integers(0, len(images), BATCH // 2)], side, rng) for images in (a, b)])
        captured(as_inputs(chosen), mg.Tensor(is_b))
    return network


def looks_like_b(network: nn.Module, images: Images) -> npt.NDArray[np.bool_]:
    """Which of the images uint8 (n, 3, height, width) the network takes for ones of domain B."""
    network.eval()
    with mg.no_grad():
        parts = [network(as_inputs(images[i : i + AT_ONCE])).numpy() for i in range(0, len(images), AT_ONCE)]
    return np.concatenate(parts)[:, 0] > 0


def as_inputs(images: Images) -> mg.Tensor:
    """Images uint8 (n, 3, height, width), large ones reduced, as tensors in [-1, 1]."""
    return mg.Tensor(channels_last(from_pixels(_small(images))))


def _block(before: int, channels: int, kernel: int, padding: int) -> tuple[nn.Module, ...]:
    """Half as many pixels a side."""
    convolution = nn.Conv2d(before, channels, kernel, stride=2, padding=padding, bias=False)
    return convolution, nn.BatchNorm2d(channels), nn.ReLU()


class _MeanAndMaximum(nn.Module):
    """(n, channels, height, width) to (n, 2 channels): of each channel, the mean and the maximum over all positions."""

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return F.concatenate([x.mean(axis=(2, 3)), x.max(axis=(2, 3))], axis=1)


def _pieces(images: Images, side: int, rng: np.random.Generator) -> Images:
    """Random pieces of random crops: a small data set is learned by heart if the same images come again and again."""
    small = _small(_crops(images, side, rng))
    return _crops(small, 3 * min(small.shape[2:]) // 4, rng)


def _crops(images: Images, side: int, rng: np.random.Generator) -> Images:
    """Of each image a square at a random place, mirrored at random."""
    n, _, height, width = images.shape
    top, left = (rng.integers(0, length - side + 1, (n, 1)) for length in (height, width))
    rows, columns = top + np.arange(side), left + np.arange(side)
    columns = np.where(rng.random((n, 1)) < 0.5, columns[:, ::-1], columns)
    return images[np.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].transpose(0, 3, 1, 2)


def _small(images: Images) -> Images:
    return reduced(images, SIDE).round().astype(np.uint8)
