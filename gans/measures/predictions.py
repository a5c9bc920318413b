"""What predicted classes say about generated images: the classifier score, the class histogram, Stacked MNIST's modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg
from gans.training.trainer import from_pixels, in_evaluation
from minigrad import nn
from minigrad.arrays.layout import channels_last

Floats = npt.NDArray[np.float64]

AT_ONCE = 500  # images per forward pass

STACKED_SAMPLES = 26_000  # of the published protocol
STACKED_MODES = 1000


def outputs(network: nn.Module, images: npt.NDArray[np.uint8], backend: str, dtype: Any) -> npt.NDArray[np.floating]:
    """What a network returns for images uint8 (n, channels, height, width), in evaluation mode."""
    parts = []
    for start in range(0, len(images), AT_ONCE):
        part = from_pixels(images[start : start + AT_ONCE], dtype)
        parts.append(in_evaluation(network, mg.Tensor(channels_last(part)).to(backend)))
    return np.concatenate(parts)


def predicted(network: nn.Module, images: npt.NDArray[np.uint8], backend: str, dtype: Any) -> npt.NDArray[np.intp]:
    """The most probable class of each image, given a network from images to logits."""
    return outputs(network, images, backend, dtype).argmax(1)


def classifier_score(probabilities: Floats) -> float:
    """exp E KL(p(y|x) || p(y)) of predictions p(y|x) (n, classes), p(y) their mean: from 1 to the number of classes.

    It is high if each image clearly shows some class and all classes occur equally often; it does not see whether
    the images of a class differ. With an Inception network's predictions it is the Inception score: Salimans et al.,
    "Improved techniques for training GANs", NeurIPS 2016. (Published scores are means over ten splits of the images.)
    """
    entropy_of_each = -_x_log_x(probabilities).sum(1).mean()
    return float(np.exp(-_x_log_x(probabilities.mean(0)).sum() - entropy_of_each))


def class_shares(probabilities: Floats) -> Floats:
    """The share of the images whose most probable class is this one, for each class."""
    return np.bincount(probabilities.argmax(1), minlength=probabilities.shape[1]) / len(probabilities)


def modes_and_kl(labels: npt.NDArray[np.int64], modes: int = STACKED_MODES) -> tuple[int, float]:
    """The number of modes among labels (n,) in 0 .. modes - 1, and KL(their distribution || uniform) in nats.

    Stacked MNIST's images have a digit in each colour channel, so their label has three decimal digits (`stacked_labels`).
    Their number limits both: compare values of STACKED_SAMPLES images.

    Source: Metz et al., "Unrolled generative adversarial networks", ICLR 2017; Lin et al., "PacGAN", NeurIPS 2018.
    """
    shares = np.bincount(labels, minlength=modes) / len(labels)
    return int((shares > 0).sum()), float(_x_log_x(shares).sum() + np.log(modes))


def stacked_labels(channels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The labels of stacked digits from the classes of their three channels (n, 3): 123 for the digits 1, 2 and 3."""
    return channels @ np.array([100, 10, 1])


def _x_log_x(p: Floats) -> Floats:
    """p log p, which is 0 at 0."""
    return p * np.log(np.where(p > 0, p, 1))
