"""`LabelledTrainer`: what algorithms have in common whose generator gets a label beside the latent vector."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from gans.data.batches import Batches, Stream
from gans.data.images import MNIST_SIZE
from gans.data.labelled import LabelledBatches, class_names, load_labelled
from gans.training.config import kept
from gans.training.evaluations import Evaluator
from gans.training.images import grid
from gans.training.latent import LatentConfig, LatentTrainer
from gans.training.trainer import Shape
from minigrad.arrays import backend

ROWS, COLUMNS = 16, 10  # most classes in a sample grid, and images of each


@dataclass(frozen=True)
class LabelledConfig(LatentConfig):
    """Settings of every trainer with labels."""

    classes: str | None = kept()  # the names of the labels, in order, separated by "/"


class LabelledTrainer(LatentTrainer):
    """Base class of algorithms whose step gets images and labels, and whose generator gets latent vectors and labels.

    It comes before the algorithm's other base class, and `generator(latent, labels)` takes integer labels (n,).
    """

    config: LabelledConfig

    def __init__(self, config: LabelledConfig, dtype: Any = np.float32) -> None:
        self.classes = config.classes.split("/") if config.classes else self.find_classes(config)
        super().__init__(dataclasses.replace(config, classes="/".join(self.classes)), dtype)

    def find_classes(self, config: Any) -> list[str]:
        """The names of the classes of a new run."""
        return list(class_names(config.data, MNIST_SIZE if config.arch == "28" else 0))

    @property
    def batch_shapes(self) -> tuple[Shape, ...]:
        return *super().batch_shapes, (self.images_per_step,)

    def load_batches(self) -> Stream:
        data = load_labelled(self.config.data, self.image_shape[-1], self.classes)
        order = (self.images_per_step, self.config.seed, self.backend, self.dtype, data.source)
        return LabelledBatches(Batches(data.images, *order), data.labels)

    def evaluator(self, batches: Stream) -> Evaluator:
        return super().evaluator(batches.batches if isinstance(batches, LabelledBatches) else batches)

    def labels(self, numbers: np.ndarray) -> mg.Tensor:
        """Labels (n,) as the generator takes them."""
        return mg.Tensor(numbers.astype(np.int64)).to(self.backend)

    def in_turn(self, count: int, first: int = 0) -> np.ndarray:
        """The labels of `count` images, from image `first` on, if each class takes its turn."""
        return np.arange(first, first + count) % len(self.classes)

    def fixed_inputs(self, count: int, seed: int) -> tuple[mg.Tensor, ...]:
        return self.fixed_noise(count, seed), self.labels(self.in_turn(count))

    def sample_sheet(self, samples: np.ndarray | None = None) -> np.ndarray:
        """One row for each class. All images of a column have the same latent vector."""
        rows = min(len(self.classes), ROWS)
        noise = self.fixed_noise(COLUMNS, self.config.seed)
        columns, classes = np.tile(np.arange(COLUMNS), rows), np.repeat(np.arange(rows), COLUMNS)
        return grid(self.generate(mg.Tensor(noise.data[columns]), self.labels(classes)), across=COLUMNS)

    def real_sheet(self, batches: Stream) -> np.ndarray | None:
        """One row for each class: its first images, and white where it has fewer."""
        assert isinstance(batches, LabelledBatches)
        images, labels = batches.batches.images, backend.move(batches.labels, "numpy")
        rows = min(len(self.classes), ROWS)
        shown = np.full((rows, COLUMNS, *self.image_shape), 255, np.uint8)
        for c in range(rows):
            some = images[np.flatnonzero(labels == c)[:COLUMNS]]
            shown[c, : len(some)] = some
        return grid(shown.reshape(-1, *self.image_shape), across=COLUMNS)
