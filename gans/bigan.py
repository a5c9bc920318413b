"""BiGAN: a GAN with an encoder, which finds the latent vector of an image; with --encoder stochastic, ALI.

    python -m gans.bigan

G turns a latent vector z into an image. The encoder E goes the other way, from an image x to a latent
vector. Neither is told that the other exists: no loss compares x with G(E(x)). Instead, D judges
pairs. It gets a real image with its code, (x, E(x)), or a latent vector with its image, (G(z), z), and
estimates the probability that it is the first kind:

    for each batch of real images x:
        draw z ~ N(0, I)
        ascend  mean log D(x, E(x)) + mean log(1 - D(G(z), z))  with respect to D's weights
        ascend  mean log(1 - D(x, E(x))) + mean log D(G(z), z)  with respect to E's and G's weights

At the optimum both kinds of pairs have the same distribution. With a deterministic E, both then invert each other.
Before, G(E(x)) is an image like x, often of the same digit, but not the same image.

- `--encoder deterministic`, BiGAN: E(x) is a function of x.
- `--encoder stochastic`, ALI: E gives each number of the latent vector a mean and a variance, and
  E(x) is drawn from this normal distribution.

E has learned what matters in an image if images of the same class have codes near each other. At the
end the run writes to report.md how often the nearest training image has the class of a test image:
by E's codes (the means), by those of the untrained E, and by the pixels.

Sources: Donahue, Krahenbuhl and Darrell, "Adversarial feature learning", ICLR 2017, equation 3 and section 3.4;
Dumoulin et al., "Adversarially learned inference", ICLR 2017, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
import minigrad.functional as F
from gans.data.batches import Batches, Stream
from gans.data.errors import DataError
from gans.data.mnist import SPLITS, load_mnist, warn_without_labels
from gans.losses import bce
from gans.measures.nearest import nearest_class_table
from gans.measures.predictions import AT_ONCE, outputs
from gans.networks.bidirectional import LATENT_SIZE, PairDiscriminator, encoder, generator
from gans.training.cli import main
from gans.training.config import RunConfig, option
from gans.training.images import grid
from gans.training.latent import SAMPLES, LatentTrainer
from gans.training.trainer import Metrics, from_pixels
from minigrad import nn, optim

UNCOMPARED = "The codes cannot be compared by the classes of the images"  # where labels are missing
ACROSS = 8  # images in a row of the sample grid


@dataclass(frozen=True)
class Config(RunConfig):
    """Train a GAN with an encoder on MNIST."""

    data: str | None = option(None, "folder with the IDX files of MNIST or Fashion-MNIST; or the word synthetic")
    encoder: str = option(
        "deterministic", "deterministic: BiGAN; stochastic: ALI, a normal distribution", choices=("deterministic", "stochastic")
    )
    epochs: int = option(30, "passes through the data", at_least=1)
    lr: float = option(2e-4, "learning rate of all three optimizers")


class BiGAN(LatentTrainer):
    """The three networks, their optimizers, and the training step."""

    name = "bigan"
    config_class = Config
    config: Config
    captions = {
        "d_loss": "discriminator loss, -log D(x, E(x)) - log(1 - D(G(z), z)): 1.39 if D only guesses, lower if D wins",
        "eg_loss": "loss of E and G, -log(1 - D(x, E(x))) - log D(G(z), z): 2 log 2 = 1.39 if D only guesses, higher if D wins",
        "D(x, E(x))": "mean of D on real images with their codes: 0.5 if D only guesses",
        "D(G(z), z)": "mean of D on latent vectors with their images: 0.5 if D only guesses",
    }
    kept = "generator", "encoder"
    latent_size = LATENT_SIZE
    image_shape = (1, 28, 28)

    def __init__(self, config: Config, dtype: Any = np.float32) -> None:
        super().__init__(config, dtype)
        self.encoder: nn.Module = self.make_encoder().to(self.backend, dtype)
        self.discriminator: nn.Module = self.make_discriminator().to(self.backend, dtype)
        self.e_optimizer = self.make_optimizer(self.encoder.parameters())
        self.d_optimizer = self.make_optimizer(self.discriminator.parameters())
        self.originals = np.zeros((0, *self.image_shape), np.uint8)  # training images in the sample grid

    def make_generator(self) -> nn.Module:
        return generator()

    def make_encoder(self) -> nn.Module:
        return encoder(LATENT_SIZE if self.config.encoder == "deterministic" else 2 * LATENT_SIZE)

    def make_discriminator(self) -> nn.Module:
        return PairDiscriminator()

    def make_optimizer(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        return optim.Adam(parameters, self.config.lr, betas=(0.5, 0.999))

    def step(self, real: mg.Tensor) -> Metrics:
        D, G, n = self.discriminator, self.generator, len(real)
        z = self.noise(n)
        fake, code = G(z), self.encode(real)
        images, latents = F.concatenate([real, fake]), F.concatenate([code, z])

        logits = D(images.detach(), latents.detach())  # detached: D's loss sends no gradient to G and E
        d_loss = bce(logits[:n], real=True) + bce(logits[n:], real=False)
        self.d_optimizer.step(mg.grad(d_loss, D.parameters()))

        judged = D(images, latents)
        eg_loss = bce(judged[:n], real=False) + bce(judged[n:], real=True)
        trained = self.encoder.parameters(), G.parameters()
        gradients = mg.grad(eg_loss, [*trained[0], *trained[1]])  # through D, but only to their weights
        self.e_optimizer.step(gradients[: len(trained[0])])
        self.g_optimizer.step(gradients[len(trained[0]) :])

        with mg.no_grad():
            d_real, d_fake = F.sigmoid(logits[:n]).mean(), F.sigmoid(logits[n:]).mean()
            return {"d_loss": d_loss, "eg_loss": eg_loss, "D(x, E(x))": d_real, "D(G(z), z)": d_fake}

    def encode(self, x: mg.Tensor) -> mg.Tensor:
        """E(x), (n, latent_size): with a stochastic encoder, drawn from its normal distribution."""
        code = self.encoder(x)
        if self.config.encoder == "deterministic":
            return code
        mean, log_variance = F.split(code, self.latent_size, axis=1)
        return mean + F.exp(0.5 * log_variance) * self.noise(len(x))

    def load_batches(self) -> Stream:
        batches = super().load_batches()
        assert isinstance(batches, Batches)
        self.originals = batches.images[: SAMPLES // 2]
        warn_without_labels(self.config.data, SPLITS, UNCOMPARED)  # now, not after hours of training
        return batches

    @property
    def samples_are(self) -> str:
        return "left: fixed noise, generator in evaluation mode; right: training images, each with G(E(x)) to its right"

    def sample_sheet(self, samples: np.ndarray | None = None) -> np.ndarray:
        samples = self.samples() if samples is None else samples
        originals = self.originals[: len(samples) // 2]
        if not len(originals):
            return grid(samples, across=ACROSS)
        again = self.generate(mg.Tensor(self.codes(self.encoder, originals)).to(self.backend))
        pairs = np.stack([originals, again], axis=1).reshape(-1, *self.image_shape)
        return np.concatenate([grid(part[: len(pairs)], across=ACROSS) for part in (samples, pairs)], axis=1)

    def codes(self, network: nn.Module, images: np.ndarray) -> np.ndarray:
        """E(x) of images uint8 (n, 1, 28, 28) in evaluation mode, (n, latent_size): of a stochastic encoder, the means."""
        return outputs(network, images, self.backend, self.dtype)[:, : self.latent_size]

    def report(self) -> str:
        try:
            train, test = (load_mnist(self.config.data, split, labels=True) for split in SPLITS)
        except DataError as error:
            return f"{UNCOMPARED}: {error}\n"
        with mg.random.seeded(self.config.seed):
            untrained = type(self)(self.config, self.dtype).encoder  # E before its first step
        with mg.no_grad():  # its batch normalisation gets the statistics of the data, as that of the trained E has them
            for i in range(0, min(len(train.images), 50 * AT_ONCE), AT_ONCE):
                untrained(mg.Tensor(from_pixels(train.images[i : i + AT_ONCE, None], self.dtype)).to(self.backend))
        images = train.images[:, None], test.images[:, None]
        features = {
            "E(x), trained": [self.codes(self.encoder, part) for part in images],
            "E(x), untrained": [self.codes(untrained, part) for part in images],
            "the pixels": [part.reshape(len(part), -1).astype(np.float32) for part in images],
        }
        assert train.labels is not None and test.labels is not None
        return nearest_class_table(features, train.labels, test.labels)


if __name__ == "__main__":
    main(BiGAN)
