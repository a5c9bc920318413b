"""Hinge GAN: a GAN with the hinge loss, whose discriminator has spectral normalisation (SNGAN).

    python -m gans.hinge_gan

A discriminator whose slope has no bound can become so steep that G gets no useful gradient. WGAN
clips the weights, WGAN-GP penalises the slope. Spectral normalisation divides each layer's weight by
its largest singular value sigma, so that a dense layer cannot stretch a difference between two images,
and a convolution at most by a factor that depends on its kernel size and stride (see
`minigrad.nn.spectral_norm`). The hinge loss does not push scores any further once they are beyond 1
for real and below -1 for generated images:

    critic_steps (1) times:
        take a batch of real images x, draw z ~ N(0, I)
        in each layer of D, W <- W / sigma(W), with sigma from one step of the power iteration
        descend  mean max(0, 1 - D(x)) + mean max(0, 1 + D(G(z)))  with respect to D's weights
    draw z ~ N(0, I)
    ascend  mean D(G(z))  with respect to G's weights

Source: Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018, algorithm 1 and
equations 16 and 17.
"""

from __future__ import annotations

from dataclasses import dataclass

import minigrad as mg
import minigrad.functional as F
from gans import wgan
from gans.training.cli import main
from gans.training.config import option
from gans.training.trainer import Metrics
from minigrad import nn, optim


@dataclass(frozen=True)
class Config(wgan.CriticConfig):
    """Train a hinge GAN with spectral normalisation on MNIST, on a folder of images or on drawn faces."""

    arch: str = option("conv", wgan.ARCH, choices=("mlp", "conv", "stacked"))
    critic_steps: int = option(1, "discriminator steps per generator step", at_least=1)
    lr: float = option(2e-4, "learning rate of both optimizers")


class HingeGAN(wgan.CriticTrainer):
    """WGAN's networks with spectral normalisation in the discriminator, and the training step."""

    name = "hinge_gan"
    config_class = Config
    config: Config
    captions = {
        "d_loss": "discriminator loss: 2 if it only guesses, 0 if all scores are beyond 1 and -1",
        "g_loss": "generator loss, - mean D(G(z))",
        "D(x)": "mean score of real images: the margin is at 1",
        "D(G(z))": "mean score of generated images: the margin is at -1",
    }

    def make_critic(self) -> nn.Module:
        return spectrally_normalised(super().make_critic())

    def make_optimizer(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        return optim.Adam(parameters, self.config.lr, betas=(0.5, 0.999))

    def step(self, real: mg.Tensor) -> Metrics:
        D, G, n = self.critic, self.generator, self.config.batch_size
        for x in self.critic_batches(real):
            with mg.no_grad():
                fake = G(self.noise(n))
            scores = D(F.concatenate([x, fake]))
            d_loss = F.relu(1 - scores[:n]).mean() + F.relu(1 + scores[n:]).mean()
            self.critic_optimizer.step(mg.grad(d_loss, D.parameters()))

        g_loss = -D(G(self.noise(n))).mean()
        self.g_optimizer.step(mg.grad(g_loss, G.parameters()))  # through D, but only to G's weights

        with mg.no_grad():
            return {"d_loss": d_loss, "g_loss": g_loss, "D(x)": scores[:n].mean(), "D(G(z))": scores[n:].mean()}


def spectrally_normalised(network: nn.Module) -> nn.Module:
    """The network, with spectral normalisation in each layer that has a weight."""
    for layer in list(network.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.spectral_norm(layer)
    return network


if __name__ == "__main__":
    main(HingeGAN)
