"""A generative adversarial network that learns to draw digits: `python -m gans.mnist_gan`.

Two networks play a game. The discriminator D sees an image and says how likely it is to be real; the generator G turns
random numbers z, the latent vector, into an image, and is rewarded when D takes it for real:

    for each batch of real images x:
        draw z ~ N(0, 1)
        ascend  log D(x) + log(1 - D(G(z)))  by D's weights
        ascend  log D(G(z))                  by G's weights

The last line is the paper's advice: G should descend log(1 - D(G(z))), but early in the game D rejects G's images with
confidence, where that function is flat; -log D(G(z)) has the same fixed point and a strong gradient there. The paper also
draws z anew for it; here, as in most programs, the improved D judges the same images again, which saves a pass through G.

D ends in a logit, D(x) = sigmoid(logit), and the sigmoid is part of the loss, where log sigmoid is exact for any logit.

Source: Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
import minigrad.functional as F
from gans.data.mnist import load_mnist
from gans.losses import CAPTIONS, real_then_fake
from gans.training.cli import main
from gans.training.config import RunConfig, option
from gans.training.trainer import LatentTrainer, Metrics
from minigrad import nn, optim


@dataclass(frozen=True)
class Config(RunConfig):
    """Train a GAN on MNIST and watch it learn to draw digits."""

    data: str | None = option(None, "folder with MNIST's IDX files (or Fashion-MNIST's); or the word synthetic")
    lr: float = option(3e-4, "learning rate of both optimizers")


def make_generator(latent_size: int) -> nn.Sequential:
    """Latent vectors (n, latent_size) to images (n, 1, 28, 28) in (-1, 1)."""
    return nn.Sequential(
        nn.Linear(latent_size, 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, 784),
        nn.Tanh(),
        nn.Reshape(1, 28, 28),
    )


def make_discriminator() -> nn.Sequential:
    """Images (n, 1, 28, 28) to logits (n, 1): large for real."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 1),
    )


class MnistGAN(LatentTrainer):
    """The two networks, and the step that trains them."""

    name = "mnist_gan"
    config_class = Config
    latent_size = 100
    image_shape = (1, 28, 28)
    captions = CAPTIONS

    def __init__(self, config: Config, dtype: Any = np.float32) -> None:
        super().__init__(config, dtype)
        self.generator = make_generator(self.latent_size).to(config.backend, dtype)
        self.discriminator = make_discriminator().to(config.backend, dtype)
        self.g_optimizer = optim.Adam(self.generator.parameters(), lr=config.lr)
        self.d_optimizer = optim.Adam(self.discriminator.parameters(), lr=config.lr)

    def load_images(self) -> tuple[np.ndarray, str]:
        digits = load_mnist(self.config.data)
        return digits.images[:, None], digits.source

    def step(self, real: mg.Tensor) -> Metrics:
        D, G = self.discriminator, self.generator
        n = len(real)
        fake = G(self.noise(n))

        logits = D(F.concatenate([real, fake.detach()]))  # detached: D's loss does not reach into G
        is_real = real_then_fake(n, self.backend, self.dtype)
        d_loss = F.binary_cross_entropy_with_logits(logits, is_real, reduction="sum") / n
        self.d_optimizer.step(mg.grad(d_loss, D.parameters()))

        g_loss = F.binary_cross_entropy_with_logits(D(fake), 1.0)
        self.g_optimizer.step(mg.grad(g_loss, G.parameters()))  # through D, but only to G's weights

        with mg.no_grad():
            probabilities = F.sigmoid(logits)
            d_real, d_fake = probabilities[:n].mean(), probabilities[n:].mean()
        return {"d_loss": d_loss, "g_loss": g_loss, "D(x)": d_real, "D(G(z))": d_fake}


if __name__ == "__main__":
    main(MnistGAN)
