"""WGAN, the Wasserstein GAN: `python -m gans.wgan`.

D's probability says nothing of how far away generated images are once it tells them apart. The Wasserstein distance does: it is
how far the generated images have to be carried, at least, to become the real ones, and equals the largest value of

    E f(x) - E f(G(z))   over all functions f of slope at most 1 (Kantorovich and Rubinstein).

So the discriminator becomes a critic f, which scores images without a sigmoid. Between two steps of G it makes several, to come
near the largest value, and its weights are clipped to keep its slope bounded (by some constant, which only scales f):

    five times: for a batch of real images x and z ~ N(0, 1)
        ascend   mean f(x) - mean f(G(z))   by f's weights
        clip     f's weights to [-0.01, 0.01]
    for z ~ N(0, 1)
        ascend   mean f(G(z))               by G's weights

RMSprop because the paper saw momentum, and with it Adam, disturb the critic, whose loss has no fixed aim.

Source: Arjovsky et al., "Wasserstein generative adversarial networks", ICML 2017, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import minigrad as mg
from gans.data.pictures import load_pictures
from gans.networks.critics import LATENT_SIZE, PAIRS
from gans.training.cli import main
from gans.training.config import ConfigError, RunConfig, option
from gans.training.trainer import LatentTrainer, Metrics
from minigrad import nn, optim


@dataclass(frozen=True)
class CriticConfig(RunConfig):
    """Settings of every GAN with a critic."""

    arch: str = option("mlp", "mlp: dense layers; conv: convolutions", choices=("mlp", "conv"))
    image_size: int = option(28, "28: grey, MNIST's; 64: colour, with --arch conv", choices=(28, 64))
    batch_size: int = option(64, "images a critic step", at_least=1)
    critic_steps: int = option(5, "steps of the critic for each of the generator", at_least=1)


@dataclass(frozen=True)
class Config(CriticConfig):
    """Train a Wasserstein GAN on MNIST, or with --arch conv --image-size 64 on a folder of pictures or drawn faces."""

    lr: float = option(5e-5, "learning rate of both optimizers")
    clip: float = option(0.01, "the critic's weights are kept between -X and X")


class WGAN(LatentTrainer):
    """The two networks, and the step that trains them: several of the critic, one of the generator."""

    name = "wgan"
    config_class: ClassVar[type[RunConfig]] = Config
    latent_size = LATENT_SIZE
    captions = {
        "wasserstein": "estimate of the Wasserstein distance, mean f(x) - mean f(G(z)), that is minus the critic's loss: "
        "it should rise while the critic catches up, then fall as the images get better; its scale depends on the clipping",
        "g_loss": "generator loss, - mean f(G(z)): its level means nothing, because f may shift as a whole",
    }

    def __init__(self, config: Any, dtype: Any = np.float32) -> None:
        super().__init__(config, dtype)
        if (config.arch, config.image_size) not in PAIRS:
            raise ConfigError(
                f"--arch {config.arch} is for images of 28 x 28: take --arch conv for --image-size {config.image_size}"
            )
        pair = PAIRS[config.arch, config.image_size]
        self.generator: nn.Module = pair.make_generator().to(config.backend, dtype)
        self.critic: nn.Module = pair.make_critic().to(config.backend, dtype)
        self.image_shape = (1 if config.image_size == 28 else 3, config.image_size, config.image_size)
        self.images_per_step = config.critic_steps * config.batch_size
        self.make_optimizers()

    def make_optimizers(self) -> None:
        self.g_optimizer: optim.Optimizer = optim.RMSprop(self.generator.parameters(), self.config.lr)
        self.critic_optimizer: optim.Optimizer = optim.RMSprop(self.critic.parameters(), self.config.lr)

    def load_images(self) -> tuple[np.ndarray, str]:
        return load_pictures(self.config.data, self.config.image_size)

    def critic_batches(self, real: mg.Tensor) -> Iterator[mg.Tensor]:
        """The images of a step, a batch for each of the critic's."""
        if len(real) != self.images_per_step:
            raise ValueError(f"{len(real)} images; a step takes {self.images_per_step}")
        n = self.config.batch_size
        return (real[i : i + n] for i in range(0, len(real), n))

    def step(self, real: mg.Tensor) -> Metrics:
        f, G, n = self.critic, self.generator, self.config.batch_size
        for x in self.critic_batches(real):
            with mg.no_grad():
                fake = G(self.noise(n))
            critic_loss = f(fake).mean() - f(x).mean()
            self.critic_optimizer.step(mg.grad(critic_loss, f.parameters()))
            for p in f.parameters():
                p.assign(p.data.clip(-self.config.clip, self.config.clip))

        g_loss = -f(G(self.noise(n))).mean()
        self.g_optimizer.step(mg.grad(g_loss, G.parameters()))  # through f, but only to G's weights
        return {"wasserstein": -critic_loss, "g_loss": g_loss}


if __name__ == "__main__":
    main(WGAN)
