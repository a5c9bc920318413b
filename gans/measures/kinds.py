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
from minigrad import nn, optim, random
from minigrad.capture import Captured

Images = npt.NDArray[np.uint8]

SIDE = 64  # larger images are reduced to about this many pixels a side
STEPS, BATCH = 1200, 32
LR = 3e-3
AT_ONCE = 200  # images per forward pass
PERIODS = 1, 2, 4, 8  # of the sines and cosines of a colour, between black and white


def train_classifier_of_domains(a: Images, b: Images, side: int, seed: int = 0, steps: int | None = None) -> nn.Module:
    """A network from images as `encoded` returns them to logits (n, 1), above 0 for domain B.

    It is trained on images uint8 (n, 3, height, width), to judge ones of `side` x `side` pixels; it takes about a minute
    on one core. It always uses the same random numbers of the seed, and leaves the default stream as it was.
    """
    from tqdm import tqdm

    steps = STEPS if steps is None else steps
    inputs = 3 * _CODES.shape[1]
    with random.seeded(seed):
        network = nn.Sequential(*_block(inputs, 48, 2, 0), *_block(48, 48, 3, 1), _MeanAndMaximum(), nn.Linear(2 * 48, 1))
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
        captured(encoded(chosen), mg.Tensor(is_b))
    return network


def looks_like_b(network: nn.Module, images: Images) -> npt.NDArray[np.bool_]:
    """Which of the images uint8 (n, 3, height, width) the network takes for ones of domain B."""
    network.eval()
    with mg.no_grad():
        parts = [network(encoded(images[i : i + AT_ONCE])).numpy() for i in range(0, len(images), AT_ONCE)]
    return np.concatenate(parts)[:, 0] > 0


def encoded(images: Images) -> mg.Tensor:
    """Images uint8 (n, 3, height, width), large ones reduced, with several channels for each colour: see `_codes`."""
    codes = _CODES[_small(images).transpose(0, 2, 3, 1)]
    return mg.Tensor(codes.reshape(*codes.shape[:3], -1).transpose(0, 3, 1, 2))


def _codes() -> npt.NDArray[np.float32]:
    """For each of the values 0 to 255 of a colour, the value in [-1, 1], and sines and cosines of it, (256, channels).

    With them a convolution tells close colours apart. From the values alone, that takes many more steps. Source: Tancik
    et al., "Fourier features let networks learn high frequency functions in low dimensional domains", NeurIPS 2020.
    """
    x = np.linspace(-1, 1, 256)
    waves = [wave(np.pi * periods * x) for periods in PERIODS for wave in (np.sin, np.cos)]
    return np.stack([x, *waves], axis=1).astype(np.float32)


_CODES = _codes()


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
