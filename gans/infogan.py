"""InfoGAN: a GAN that finds out by itself what there is to vary in its images, such as the ten digits.

    python -m gans.infogan

Beside noise z, G gets a code c: here a category, one of ten, and two numbers from U(-1, 1). Nothing
would make G use it. So a network Q reads the code back from the image, and G is trained to keep it
readable. Then c and the image share much information: for any Q,

    I(c; G(z, c))  >=  H(c) + E log Q(c | G(z, c)),

with equality if Q is the true posterior. Without any label, the categories mostly become the digits:

    for each batch of real images x:
        draw z ~ N(0, I) and c, and write x' = G(z, c)
        L = mean log Q(c | x')
        descend  - mean log D(x) - mean log(1 - D(x')) - lambda L  with respect to D's and Q's weights
        descend  - mean log D(x')                      - lambda L  with respect to G's weights

Q shares D's trunk: all layers but the last ones. It gives the category a softmax, and each number a
normal distribution of variance 1, so that its log Q is minus half the squared error.

At the end the run writes how well the categories that Q reads in the test images match the digits to
report.md. Each category is assigned a digit of its own, by the assignment with the most matches.

Source: Chen et al., "InfoGAN: interpretable representation learning by information maximizing generative
adversarial nets", NeurIPS 2016, equations 5 and 6 and appendix C.1. As in the authors' code, the trunk learns from L too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
import minigrad.functional as F
from gans.data.batches import Stream
from gans.data.errors import DataError
from gans.data.labelled import DIGITS
from gans.data.mnist import load_mnist, warn_without_labels
from gans.losses import BCE_CAPTIONS, bce
from gans.measures.clustering import clustering_table
from gans.measures.predictions import outputs
from gans.networks.info import CATEGORIES, CONTINUOUS, LATENT_SIZE, CodedGenerator, Codes, TrunkDiscriminator, split
from gans.training.cli import main
from gans.training.config import RunConfig, option
from gans.training.images import grid
from gans.training.latent import GAN
from gans.training.trainer import Metrics, as_pixels, in_evaluation
from minigrad import nn, optim

UNCOMPARED = "The categories cannot be compared with the classes of the images"  # where labels are missing
SPAN = 2.0  # of a continuous code in the sample grid: from -2 to 2, twice as far as in training, as in the paper


@dataclass(frozen=True)
class Config(RunConfig):
    """Train InfoGAN on MNIST and see what its codes mean."""

    data: str | None = option(None, "folder with the IDX files of MNIST or Fashion-MNIST; or the word synthetic")
    epochs: int = option(10, "passes through the data", at_least=1)
    lr: float = option(2e-4, "learning rate of D and Q")
    g_lr: float = option(1e-3, "learning rate of the generator")
    code_weight: float = option(1.0, "weight of the information about the code, lambda in the paper")


class InfoGAN(GAN):
    """The networks, their optimizers, and the training step."""

    name = "infogan"
    config_class = Config
    config: Config
    captions = {
        **BCE_CAPTIONS,
        "category": "cross-entropy of the categories that Q reads: log 10 = 2.3 if it only guesses, 0 if it always knows",
        "numbers": "squared error of the two numbers that Q reads: 0.67 if it only guesses, 0 if it is always right",
    }
    kept = "generator", "discriminator"  # whose Q reads the codes of images
    latent_size = LATENT_SIZE
    image_shape = (1, 28, 28)
    generator: CodedGenerator
    discriminator: TrunkDiscriminator

    def __init__(self, config: Config, dtype: Any = np.float32) -> None:
        super().__init__(config, dtype)
        self.g_optimizer.lr = config.g_lr

    def make_generator(self) -> nn.Module:
        return CodedGenerator()

    def make_discriminator(self) -> nn.Module:
        return TrunkDiscriminator()

    def make_optimizer(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        return optim.Adam(parameters, self.config.lr, betas=(0.5, 0.999))

    def step(self, real: mg.Tensor) -> Metrics:
        D, G, weight = self.discriminator, self.generator, self.config.code_weight
        z, codes = split(self.noise(len(real)))
        fake = G.decode(z, codes)

        real_logits = D(real)
        fake_logits, read = D.judge(fake.detach())  # detached: D's loss sends no gradient to G
        d_loss = bce(real_logits, real=True) + bce(fake_logits, real=False)
        self.d_optimizer.step(mg.grad(d_loss + weight * surprise(read, codes).total, D.parameters()))

        logits, read = D.judge(fake)
        g_loss = bce(logits, real=True)
        missed = surprise(read, codes)
        self.g_optimizer.step(mg.grad(g_loss + weight * missed.total, G.parameters()))  # only to G's weights

        with mg.no_grad():
            d_real, d_fake = F.sigmoid(real_logits).mean(), F.sigmoid(fake_logits).mean()
            values = (d_loss, g_loss, d_real, d_fake, missed.category, missed.numbers)
            return dict(zip(self.captions, values, strict=True))

    def load_batches(self) -> Stream:
        batches = super().load_batches()
        warn_without_labels(self.config.data, ("test",), UNCOMPARED)  # now, not after hours of training
        return batches

    @property
    def samples_are(self) -> str:
        return (
            "fixed noise, generator in evaluation mode. Left: a column for each category. Middle and right: a row for each "
            f"category, the first and the second number from {-SPAN:g} to {SPAN:g}, all else equal"
        )

    def sample_sheet(self, samples: np.ndarray | None = None) -> np.ndarray:
        """Three grids side by side: see `samples_are`. In the left one each row has its own noise; the numbers are 0."""
        k, walk = CATEGORIES, np.linspace(-SPAN, SPAN, CATEGORIES)
        noise = split(self.fixed_noise(k, self.config.seed))[0].numpy()
        column, row = np.tile(np.arange(k), k), np.repeat(np.arange(k), k)
        grids = [self.walk(noise[row], column, np.zeros((k * k, CONTINUOUS)))]
        for i in range(CONTINUOUS):
            grids.append(self.walk(noise[np.zeros_like(row)], row, np.eye(CONTINUOUS)[i] * walk[column, None]))
        return np.concatenate([grid(images, across=k) for images in grids], axis=1)

    def walk(self, noise: np.ndarray, categories: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Images uint8 (n, 1, 28, 28) of these inputs of the generator."""
        inputs = np.concatenate([noise, np.eye(CATEGORIES)[categories], numbers], axis=1).astype(self.dtype)
        return as_pixels(in_evaluation(self.generator.network, mg.Tensor(inputs).to(self.backend)))

    def report(self) -> str:
        try:
            test = load_mnist(self.config.data, "test", labels=True)
        except DataError as error:
            return f"{UNCOMPARED}: {error}\n"
        assert test.labels is not None
        reader = nn.Sequential(self.discriminator.trunk, self.discriminator.code)
        logits = outputs(reader, test.images[:, None], self.backend, self.dtype)[:, :CATEGORIES]
        return clustering_table(logits.argmax(1), test.labels, DIGITS)


class Surprise(NamedTuple):
    """The mean cross-entropy of Q's categories, and the mean squared error of its numbers (summed over the two)."""

    category: mg.Tensor
    numbers: mg.Tensor

    @property
    def total(self) -> mg.Tensor:
        """- L, without its constant."""
        return self.category + 0.5 * self.numbers


def surprise(read: mg.Tensor, codes: Codes) -> Surprise:
    """How far what Q has read is from the codes."""
    logits, means = F.split(read, [CATEGORIES, CONTINUOUS], axis=1)
    category = -(codes.category * F.log_softmax(logits, axis=1)).sum(axis=1).mean()
    return Surprise(category, ((means - codes.continuous) ** 2).sum(axis=1).mean())


if __name__ == "__main__":
    main(InfoGAN)
