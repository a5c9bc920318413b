"""`LatentTrainer` and `GAN`: what algorithms that turn latent vectors into images have in common, except their step."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import minigrad as mg
from gans.data.batches import Batches, Stream
from gans.data.images import load_training_images
from gans.training.average import follow
from gans.training.config import RunConfig, option
from gans.training.evaluations import Evaluator
from gans.training.images import grid
from gans.training.trainer import Shape, Trainer, as_pixels, in_evaluation
from minigrad import nn, optim, random

SAMPLES = 64  # images in a sample grid
AT_ONCE = 256  # images per forward pass when generating
FIXED_NOISE_COUNTER = 2**62  # start of the fixed noise in the seed's random stream; training never gets there


@dataclass(frozen=True)
class LatentConfig(RunConfig):
    """Settings of a trainer that leaves the distribution of its latent vectors to the user."""

    latent: str = option(
        "normal", "distribution of the latent vectors: N(0, I), or U(-1, 1) for each number", choices=("normal", "uniform")
    )


def draw_latent(
    distribution: str, stream: mg.Generator, shape: Shape, backend: str = "numpy", dtype: Any = np.float32
) -> mg.Tensor:
    """The next numbers of a random stream: from N(0, 1), or with "uniform" from U(-1, 1)."""
    if distribution == "uniform":
        return 2 * stream.rand(shape, backend, dtype) - 1
    return stream.randn(shape, backend, dtype)


class LatentTrainer(Trainer):
    """Base class of algorithms with a generator of images from latent vectors.

    A subclass defines `make_generator`, `make_optimizer` and `step`, and adds the networks that its
    generator trains against. It may change the three settings below, before `super().__init__` if
    they depend on the config.
    """

    kept: ClassVar[tuple[str, ...]] = ()  # without names, the sampler alone is kept, under its plain keys
    for_digits: ClassVar[str] = ""  # the flag for images of digits, of a trainer that takes others too
    latent_size: int = 100
    image_shape: Shape = (1, 28, 28)  # (channels, height, width)
    ema: float = 0.0  # decay of a running average of the generator's weights, which then makes the samples; 0: no average

    def __init__(self, config: RunConfig, dtype: Any = np.float32) -> None:
        super().__init__(config, dtype)
        self.generator: nn.Module = self.make_generator().to(self.backend, dtype)
        self.g_optimizer = self.make_optimizer(self.generator.parameters())
        self.average: nn.Module | None = copy.deepcopy(self.generator) if self.ema else None

    def make_generator(self) -> nn.Module:
        """The network from latent vectors (n, latent_size) to images (n, *image_shape) in [-1, 1]."""
        raise NotImplementedError

    def make_optimizer(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        """The optimizer of one network."""
        raise NotImplementedError

    @property
    def images_per_step(self) -> int:
        return self.config.batch_size

    @property
    def batch_shapes(self) -> tuple[Shape, ...]:
        return ((self.images_per_step, *self.image_shape),)

    @property
    def distribution(self) -> str:
        """Of the latent vectors: "normal" or "uniform"."""
        return self.config.latent if isinstance(self.config, LatentConfig) else "normal"

    @property
    def samples_are(self) -> str:
        sampler = "generator" if self.average is None else "running average of the generator"
        return f"fixed noise, {sampler} in evaluation mode"

    @property
    def sampler(self) -> nn.Module:
        """The network that makes the samples: the generator, or its running average if there is one."""
        return self.generator if self.average is None else self.average

    def update_average(self) -> None:
        """Move the running average, if there is one, towards the generator's new weights. Called at the end of a step."""
        if self.average is not None:
            follow(self.average, self.generator, self.ema)

    def load_images(self) -> tuple[np.ndarray, str]:
        """The training images, uint8 (n, channels, height, width), and a description of their source."""
        return load_training_images(self.config.data, self.image_shape[-1], self.image_shape[0], self.for_digits)

    def load_batches(self) -> Stream:
        images, source = self.load_images()
        return Batches(images, self.images_per_step, self.config.seed, self.backend, self.dtype, source)

    def noise(self, count: int) -> mg.Tensor:
        """Random latent vectors: (count, latent_size)."""
        return self.latent_vectors(random.default_generator, count)

    def fixed_noise(self, count: int, seed: int) -> mg.Tensor:
        """Latent vectors that depend only on the seed: (count, latent_size)."""
        return self.latent_vectors(mg.Generator(seed, FIXED_NOISE_COUNTER), count)

    def latent_vectors(self, stream: mg.Generator, count: int) -> mg.Tensor:
        """The next latent vectors of a random stream: (count, latent_size)."""
        return draw_latent(self.distribution, stream, (count, self.latent_size), self.backend, self.dtype)

    def fixed_inputs(self, count: int, seed: int) -> tuple[mg.Tensor, ...]:
        """Inputs of the generator that depend only on the seed: latent vectors."""
        return (self.fixed_noise(count, seed),)

    def generate(self, *inputs: mg.Tensor) -> np.ndarray:
        """Images uint8 (n, channels, height, width) from the generator's inputs, with the network in evaluation mode."""
        starts = range(0, len(inputs[0]), AT_ONCE)
        parts = [in_evaluation(self.sampler, *(x[i : i + AT_ONCE] for x in inputs)) for i in starts]
        return as_pixels(np.concatenate(parts))

    def samples(self) -> np.ndarray:
        return self.generate(*self.fixed_inputs(SAMPLES, self.config.seed))

    def sample_sheet(self, samples: np.ndarray | None = None) -> np.ndarray:
        return grid(self.samples() if samples is None else samples)

    def real_sheet(self, batches: Stream) -> np.ndarray | None:
        """The images of the first steps."""
        steps = range(min(-(-SAMPLES // len(batches[0][0])), batches.per_epoch))
        return grid(as_pixels(np.concatenate([batches[step][0].numpy() for step in steps]))[:SAMPLES])

    def evaluator(self, batches: Stream) -> Evaluator:
        from gans.measures.real import evaluator_of  # it needs a captured step, to train a classifier

        return evaluator_of(self, batches if isinstance(batches, Batches) else None)

    def weights(self) -> dict[str, Any]:
        return super().weights() if self.kept else self.sampler.state_dict()

    def load_weights(self, saved: Mapping[str, Any]) -> None:
        if self.kept:
            super().load_weights(saved)
        else:
            self.sampler.load_state_dict(saved)


@dataclass(frozen=True)
class GANConfig(LatentConfig):
    """Settings of a GAN whose generator may learn from the images that the discriminator has just seen."""

    redraw: bool = option(
        False, "new noise for the generator's step, instead of the images that the discriminator has just seen"
    )


class GAN(LatentTrainer):
    """A generator G and a discriminator D, each with its own optimizer. A subclass defines both networks and `step`."""

    def __init__(self, config: RunConfig, dtype: Any = np.float32) -> None:
        super().__init__(config, dtype)
        self.discriminator: nn.Module = self.make_discriminator().to(self.backend, dtype)
        self.d_optimizer = self.make_optimizer(self.discriminator.parameters())

    def make_discriminator(self) -> nn.Module:
        """The network from images (n, *image_shape) to one number each, (n, 1): the larger, the more real."""
        raise NotImplementedError

    def redrawn(self, fake: mg.Tensor, *labels: mg.Tensor) -> mg.Tensor:
        """The generated images for G's step: with --redraw those of new noise, and the same labels if there are any."""
        redraw = isinstance(self.config, GANConfig) and self.config.redraw
        return self.generator(self.noise(len(fake)), *labels) if redraw else fake
