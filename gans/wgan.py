"""WGAN: the Wasserstein GAN, whose critic estimates a distance between real and generated images.

    python -m gans.wgan

Once a discriminator separates real from generated images, its probabilities do not say how far
apart they are. The Wasserstein distance does. It is the least average distance by which generated
images must be moved to become distributed like the real ones, and equals (Kantorovich-Rubinstein
duality)

    the maximum of  E f(x) - E f(G(z))  over all functions f with slope at most 1.

So the discriminator becomes a critic f: it returns a score without a sigmoid. It is trained several
steps for each step of G, to stay close to the maximum. Clipping its weights bounds its slope by
some constant, which only scales the distance:

    critic_steps (5) times:
        take a batch of real images x, draw z ~ N(0, I)
        ascend  mean f(x) - mean f(G(z))  with respect to f's weights
        clip f's weights to [-0.01, 0.01]
    draw z ~ N(0, I)
    ascend  mean f(G(z))  with respect to G's weights

The optimizer is RMSprop, because the critic's loss changes with every step of G, and the paper
found training with momentum, and so with Adam, unstable.

Source: Arjovsky et al., "Wasserstein generative adversarial networks", ICML 2017, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from gans.networks.critics import LATENT_SIZE, PAIRS
from gans.training.cli import main
from gans.training.config import ConfigError, option
from gans.training.latent import LatentConfig, LatentTrainer
from gans.training.trainer import Metrics
from minigrad import nn, optim

ARCH = "mlp: dense layers; conv: convolutions; stacked: the same for Stacked MNIST, three digits as colour channels"


@dataclass(frozen=True)
class CriticConfig(LatentConfig):
    """Settings of every GAN with a critic."""

    arch: str = option("mlp", ARCH, choices=("mlp", "conv", "stacked"))
    image_size: int = option(28, "28: grey, MNIST's; 64: colour, with --arch conv", choices=(28, 64))
    batch_size: int = option(64, "images per critic step", at_least=1)
    critic_steps: int = option(5, "critic steps per generator step", at_least=1)
    lr: float = option(5e-5, "learning rate of both optimizers")


class CriticTrainer(LatentTrainer):
    """A generator G and a critic f, each with its own optimizer. A training step has `critic_steps` steps of f and one of G."""

    config: CriticConfig
    for_digits = "--image-size 28"
    latent_size = LATENT_SIZE

    def __init__(self, config: CriticConfig, dtype: Any = np.float32) -> None:
        if (config.arch, config.image_size) not in PAIRS:
            raise ConfigError(
                f"--arch {config.arch} is for 28 x 28 images: use --arch conv with --image-size {config.image_size}"
            )
        self.pair = PAIRS[config.arch, config.image_size]
        grey = config.image_size == 28 and config.arch != "stacked"
        self.image_shape = (1 if grey else 3, config.image_size, config.image_size)
        super().__init__(config, dtype)
        self.critic: nn.Module = self.make_critic().to(self.backend, dtype)
        self.critic_optimizer = self.make_optimizer(self.critic.parameters())

    def make_generator(self) -> nn.Module:
        return self.pair.make_generator()

    def make_critic(self) -> nn.Module:
        """The network from images (n, *image_shape) to scores (n, 1): the larger, the more real."""
        return self.pair.make_critic()

    @property
    def images_per_step(self) -> int:
        return self.config.critic_steps * self.config.batch_size

    def critic_batches(self, real: mg.Tensor) -> Iterator[mg.Tensor]:
        """The real images of a training step, one batch per critic step."""
        if len(real) != self.images_per_step:
            raise ValueError(f"{len(real)} images; a step takes {self.images_per_step}")
        n = self.config.batch_size
        return (real[i : i + n] for i in range(0, len(real), n))


@dataclass(frozen=True)
class Config(CriticConfig):
    """Train a Wasserstein GAN on MNIST, or with --arch conv --image-size 64 on a folder of images or drawn faces."""

    clip: float = option(0.01, "the critic's weights stay between -X and X")


class WGAN(CriticTrainer):
    """The two networks, their optimizers, and the training step."""

    name = "wgan"
    config_class = Config
    config: Config
    captions = {
        "wasserstein": "estimate of the Wasserstein distance, mean f(x) - mean f(G(z)), the negative of the critic's loss: "
        "it should rise while the critic catches up, then fall as the images get better; its scale depends on the clipping",
        "g_loss": "generator loss, - mean f(G(z)): its level means nothing, because any constant can be added to f",
    }

    def make_optimizer(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        return optim.RMSprop(parameters, self.config.lr)

    def step(self, real: mg.Tensor) -> Metrics:
        f, G, n = self.critic, self.generator, self.config.batch_size
        for x in self.critic_batches(real):
            with mg.no_grad():
                fake = G(self.noise(n))
            critic_loss = f(fake).mean() - f(x).mean()
            self.critic_optimizer.step(mg.grad(critic_loss, f.parameters()))
            clip_weights(f.parameters(), self.config.clip)

        g_loss = -f(G(self.noise(n))).mean()
        self.g_optimizer.step(mg.grad(g_loss, G.parameters()))  # through f, but only to G's weights

        with mg.no_grad():
            return {"wasserstein": -critic_loss, "g_loss": g_loss}


def clip_weights(parameters: Iterable[nn.Parameter], bound: float) -> None:
    """Set every weight below -bound to -bound, and every weight above bound to bound."""
    for p in parameters:
        p.assign(p.data.clip(-bound, bound))


if __name__ == "__main__":
    main(WGAN)
