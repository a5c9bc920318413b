"""The test errors of a classifier that had few labels and many images, and of one that had the labels alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minigrad as mg
import minigrad.functional as F
from gans.data.batches import Stream
from gans.data.cache import Bytes
from gans.measures.predictions import predicted
from gans.training.average import follow
from minigrad import nn, optim

Step = Callable[..., dict[str, mg.Tensor]]


def train_alone(
    network: nn.Module,
    average: nn.Module,
    decay: float,
    optimizer: optim.Optimizer,
    batches: Stream,
    steps: int,
    capture: Callable[[Step], Step],
) -> None:
    """Train a classifier on batches of labelled images by cross-entropy.

    Parameters
    ----------
    network, optimizer : the classifier, and what changes its weights
    average, decay : a copy of the network, which becomes the running average of its weights
    batches : each of images and labels
    steps : how many
    capture : what makes the step fast; it may return the step as it is
    """
    from tqdm import tqdm

    def step(images: mg.Tensor, labels: mg.Tensor) -> dict[str, mg.Tensor]:
        loss = F.cross_entropy(network(images), labels)
        optimizer.step(mg.grad(loss, optimizer.params))
        follow(average, network, decay)
        return {"loss": loss}

    captured = capture(step)
    for i in tqdm(range(steps), "training with the labels alone", unit=" steps", delay=1, disable=None):
        captured(*batches[i])


def error(network: nn.Module, images: Bytes, labels: Bytes, backend: str, dtype: Any) -> float:
    """The share of images uint8 (n, channels, height, width) that a classifier gets wrong, in evaluation mode."""
    return float((predicted(network, images, backend, dtype) != labels).mean())


def table(errors: dict[str, float], labels: int, tested: int) -> str:
    """The test errors as a Markdown table."""
    lines = [f"Test errors on {tested:,} images, with {labels:,} labels.", "", "| trained with | test error |", "| --- | --: |"]
    return "\n".join(lines + [f"| {name} | {100 * share:.2f} % |" for name, share in errors.items()]) + "\n"
