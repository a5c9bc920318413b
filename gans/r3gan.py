"""R3GAN: a relativistic GAN with gradient penalties at real and at generated images, R1 and R2.

    python -m gans.r3gan

In a GAN, D judges each image alone. It can call all of G's images fake by one feature, and G can
answer by images of a few kinds only: mode collapse. Here D compares a real image with a generated
one, and its loss depends on the difference of their scores. So D needs a decision boundary near each real
image, and G must come close to all of them. But this game need not converge. Two penalties on the
squared slope of D, one at real and one at generated images, make it converge locally, and with them
neither network needs normalisation layers:

    for each batch of n real images x:
        draw z ~ N(0, I), and write f(t) = log(1 + e^-t)
        R1 = mean |dD/dx at x|^2,   R2 = mean |dD/dx at G(z)|^2
        descend  mean f(D(x) - D(G(z))) + gamma/2 (R1 + R2)   with respect to D's weights
        draw z ~ N(0, I)
        descend  mean f(D(G(z)) - D(x))                       with respect to G's weights

Each real image is compared with one generated image, the one at the same place in its batch. The
penalties contain a gradient, and descending them takes the gradient of that gradient; `gans.wgan_gp`
writes it out. Both penalties and the loss share one pass through D. The samples come from a running
average of G's weights.

The default data is Stacked MNIST, which shows what G leaves out. Three random digits are the colour
channels of each image. That makes 1,000 kinds of images, and `gans.evaluate` counts those that G makes.

The paper's networks are larger, with blocks that are wider inside instead of narrower, grouped convolutions and
resampling by filters, and it changes the learning rate, gamma and Adam's beta2 during training.

Source: Huang et al., "The GAN is dead; long live the GAN! A modern GAN baseline", NeurIPS 2024. The loss
is that of Jolicoeur-Martineau, "The relativistic discriminator", ICLR 2019; R1 and R2 are those of Mescheder, Geiger and
Nowozin, "Which training methods for GANs do actually converge?", ICML 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
import minigrad.functional as F
from gans.networks.residual import LATENT_SIZE, residual_discriminator, residual_generator
from gans.training.cli import main
from gans.training.config import option
from gans.training.latent import GAN, LatentConfig
from gans.training.trainer import Metrics
from minigrad import nn, optim


@dataclass(frozen=True)
class Config(LatentConfig):
    """Train R3GAN on Stacked MNIST, or on MNIST."""

    data: str | None = option(None, "folder of MNIST's IDX files; by default cached, downloaded or synthetic digits")
    arch: str = option(
        "stacked", "stacked: Stacked MNIST, three digits as colour channels; 28: MNIST itself", choices=("stacked", "28")
    )
    width: int = option(32, "channels of the largest feature maps", at_least=2, at_most=1024)
    batch_size: int = option(64, "images per step", at_least=1)
    lr: float = option(1e-3, "learning rate of both optimizers")
    gamma: float = option(1.0, "weight of R1 and R2")
    ema: float = option(0.995, "decay of the running average of G's weights that makes the samples; 0: none", at_most=0.99999)


class R3GAN(GAN):
    """The two networks, their optimizers, and the training step."""

    name = "r3gan"
    config_class = Config
    config: Config
    captions = {
        "d_loss": "discriminator loss without the penalties: log 2 = 0.69 if D only guesses, lower if D wins",
        "g_loss": "generator loss: log 2 = 0.69 if D only guesses, lower if G wins",
        "R1": "mean squared slope of D at real images, before weighting: 0 if D is flat there, as at the end of the game",
        "R2": "mean squared slope of D at generated images, before weighting",
    }
    latent_size = LATENT_SIZE

    def __init__(self, config: Config, dtype: Any = np.float32) -> None:
        self.image_shape = (3 if config.arch == "stacked" else 1, 28, 28)
        self.ema = config.ema
        super().__init__(config, dtype)

    def make_generator(self) -> nn.Module:
        return residual_generator(self.image_shape[0], self.config.width)

    def make_discriminator(self) -> nn.Module:
        return residual_discriminator(self.image_shape[0], self.config.width)

    def make_optimizer(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        return optim.Adam(parameters, self.config.lr, betas=(0.0, 0.99))

    def step(self, real: mg.Tensor) -> Metrics:
        D, G, n = self.discriminator, self.generator, len(real)
        with mg.no_grad():
            images = F.concatenate([real, G(self.noise(n))])
        scores, slopes = scores_and_slopes(D, images)
        d_loss = F.softplus(scores[n:] - scores[:n]).mean()
        squares = (slopes * slopes).sum(axis=(1, 2, 3))
        r1, r2 = squares[:n].mean(), squares[n:].mean()
        self.d_optimizer.step(mg.grad(d_loss + 0.5 * self.config.gamma * (r1 + r2), D.parameters()))

        with mg.no_grad():
            real_scores = D(real)
        g_loss = F.softplus(real_scores - D(G(self.noise(n)))).mean()
        self.g_optimizer.step(mg.grad(g_loss, G.parameters()))  # through D, but only to G's weights
        self.update_average()

        return {"d_loss": d_loss, "g_loss": g_loss, "R1": r1, "R2": r2}


def scores_and_slopes(D: nn.Module, images: mg.Tensor) -> tuple[mg.Tensor, mg.Tensor]:
    """D's scores (n, 1) of images, and the gradient of each score at its image, like `images`. Both are differentiable."""
    images = mg.Tensor(images.data, requires_grad=True)
    scores = D(images)
    (slopes,) = mg.grad(scores.sum(), [images], create_graph=True)
    return scores, slopes


if __name__ == "__main__":
    main(R3GAN)
