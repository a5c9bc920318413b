"""GAN: a generative adversarial network that learns to draw digits.

    python -m gans.mnist_gan

Two networks compete. The discriminator D gets an image and estimates the probability that it is
real. The generator G turns a latent vector z, which is random, into an image, and is trained to
make D call it real:

    for each batch of real images x:
        draw z ~ N(0, I)
        ascend  mean log D(x) + mean log(1 - D(G(z)))  with respect to D's weights
        ascend  mean log D(G(z))                       with respect to G's weights

In the minimax game itself, G would descend mean log(1 - D(G(z))). But early in training D rejects
G's images with confidence, and there this function is flat, so G would learn almost nothing.
Ascending mean log D(G(z)) instead, as the paper recommends, leads to the same fixed point with
strong gradients from the start.

Four details:

- The paper draws a new z for G's update, as `--redraw` does. By default, as in most implementations,
  the updated D judges the same images again. That saves a forward pass through G.
- D's last layer returns a logit, with D(x) = sigmoid(logit). The sigmoid is part of the loss, where
  log sigmoid can be computed accurately for every logit.
- D has dropout, as the paper's.
- Adam's beta1 is 0.5, as DCGAN's: the usual 0.9 averages over gradients that come from an older opponent.

Dropout and beta1 matter. Frechet distance and recall after 20,000 steps on MNIST (by `--evaluate-every`, which compares
2,000 images):

    dropout 0.3, beta1 0.5, learning rate 3e-4      11    48 %
    no dropout,  beta1 0.5, learning rate 2e-4      24     5 %
    no dropout,  beta1 0.9, learning rate 2e-4      35     4 %

Source: Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import minigrad as mg
import minigrad.functional as F
from gans.data.mnist import load_mnist
from gans.losses import BCE_CAPTIONS, bce, real_then_fake
from gans.training.cli import main
from gans.training.config import option
from gans.training.latent import GAN, GANConfig
from gans.training.trainer import Metrics
from minigrad import nn, optim


@dataclass(frozen=True)
class Config(GANConfig):
    """Train a GAN on MNIST and watch it learn to draw digits."""

    data: str | None = option(None, "folder with the IDX files of MNIST or Fashion-MNIST; or the word synthetic")
    lr: float = option(3e-4, "learning rate of both optimizers")
    dropout: float = option(0.3, "probability of each of D's activations to become 0 in a step", at_most=0.99)


class MnistGAN(GAN):
    """The two networks, their optimizers, and the training step."""

    name = "mnist_gan"
    config_class = Config
    config: Config
    captions = BCE_CAPTIONS
    latent_size = 100
    image_shape = (1, 28, 28)

    def make_generator(self) -> nn.Sequential:
        """Latent vectors (n, latent_size) to images (n, 1, 28, 28) in (-1, 1)."""
        return nn.Sequential(
            nn.Linear(self.latent_size, 256),
            nn.ReLU(),
            nn.Linear(256, 256),
            nn.ReLU(),
            nn.Linear(256, 784),
            nn.Tanh(),
            nn.Reshape(1, 28, 28),
        )

    def make_discriminator(self) -> nn.Sequential:
        """Images (n, 1, 28, 28) to logits (n, 1): large for real."""
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, 256),
            nn.LeakyReLU(0.2),
            nn.Dropout(self.config.dropout),
            nn.Linear(256, 256),
            nn.LeakyReLU(0.2),
            nn.Dropout(self.config.dropout),
            nn.Linear(256, 1),
        )

    def make_optimizer(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        return optim.Adam(parameters, self.config.lr, betas=(0.5, 0.999))

    def load_images(self) -> tuple[np.ndarray, str]:
        digits = load_mnist(self.config.data)
        return digits.images[:, None], digits.source

    def step(self, real: mg.Tensor) -> Metrics:
        D, G = self.discriminator, self.generator
        n = len(real)
        fake = G(self.noise(n))

        logits = D(F.concatenate([real, fake.detach()]))  # detached: D's loss sends no gradient to G
        is_real = real_then_fake(n, self.backend, self.dtype)
        d_loss = F.binary_cross_entropy_with_logits(logits, is_real, reduction="sum") / n
        self.d_optimizer.step(mg.grad(d_loss, D.parameters()))

        g_loss = bce(D(self.redrawn(fake)), real=True)
        self.g_optimizer.step(mg.grad(g_loss, G.parameters()))  # through D, but only to G's weights

        with mg.no_grad():
            p = F.sigmoid(logits)
            return {"d_loss": d_loss, "g_loss": g_loss, "D(x)": p[:n].mean(), "D(G(z))": p[n:].mean()}


if __name__ == "__main__":
    main(MnistGAN)
