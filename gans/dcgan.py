"""DCGAN, the GAN of convolutions: `python -m gans.dcgan --data FOLDER`.

The game is that of `gans.mnist_gan`; what is new are the networks (in `gans.networks.dcgan`) and their settings, which made
it work for colour images: strided convolutions instead of dense layers, batch normalisation in both networks but at their ends,
small initial weights, and Adam with a shorter memory (beta1 0.5).

    for each batch of real images x:
        draw z ~ N(0, 1)
        ascend  log D(x) + log(1 - D(G(z)))  by D's weights
        ascend  log D(G(z))                  by G's weights

D sees real and generated images in two batches, not in one: batch normalisation would let each image see which others are
with it, and tell D which kind they are.

Source: Radford et al., "Unsupervised representation learning with deep convolutional generative adversarial networks",
ICLR 2016.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
import minigrad.functional as F
from gans.data.pictures import load_pictures
from gans.losses import CAPTIONS
from gans.networks.dcgan import ARCHITECTURES
from gans.training.average import follow
from gans.training.cli import main
from gans.training.config import ConfigError, RunConfig, option
from gans.training.trainer import LatentTrainer, Metrics
from minigrad import nn, optim


@dataclass(frozen=True)
class Config(RunConfig):
    """Train a DCGAN on a folder of pictures, on cartoon faces drawn by the program, or on MNIST."""

    data: str | None = option(
        None, "folder of pictures, or of MNIST's IDX files with --arch 28; without it: drawn faces, or MNIST"
    )
    arch: str = option("k4", "k4: the paper's; k5: kernels of 5 x 5; 28: small, for grey 28 x 28", choices=("k4", "k5", "28"))
    image_size: int | None = option(None, "height and width of the pictures; 64, or 28 with --arch 28", choices=(32, 64, 128))
    lr: float | None = option(None, "learning rate of both optimizers; by default 2e-4 (k4), 1e-4 (k5), 1e-3 (28)")
    ema: float = option(
        0.0, "samples are made by a running average of G's weights that keeps this share a step", at_most=0.99999
    )


class DCGAN(LatentTrainer):
    """The two networks, and the step that trains them."""

    name = "dcgan"
    config_class = Config
    captions = CAPTIONS

    def __init__(self, config: Config, dtype: Any = np.float32) -> None:
        super().__init__(config, dtype)
        if config.arch == "28" and config.image_size is not None:
            raise ConfigError(
                f"--arch 28 is for images of 28 x 28: leave --image-size {config.image_size} out, or take --arch k4"
            )
        architecture = ARCHITECTURES[config.arch]
        self.latent_size = architecture.latent_size
        self.image_size = 28 if config.arch == "28" else config.image_size or 64
        self.image_shape = (1 if config.arch == "28" else 3, self.image_size, self.image_size)
        self.generator: nn.Module = architecture.make_generator(self.latent_size, self.image_size).to(config.backend, dtype)
        self.discriminator: nn.Module = architecture.make_discriminator(self.image_size).to(config.backend, dtype)
        lr = architecture.lr if config.lr is None else config.lr
        self.g_optimizer = optim.Adam(self.generator.parameters(), lr, betas=(0.5, 0.999))
        self.d_optimizer = optim.Adam(self.discriminator.parameters(), lr, betas=(0.5, 0.999))
        self.average = copy.deepcopy(self.generator) if config.ema else None

    def load_images(self) -> tuple[np.ndarray, str]:
        return load_pictures(self.config.data, self.image_size)

    def follow_generator(self) -> None:
        """With --ema, move the running average that makes the samples on by a step."""
        if self.average is not None:
            follow(self.average, self.generator, self.config.ema)

    def step(self, real: mg.Tensor) -> Metrics:
        D, G = self.discriminator, self.generator
        fake = G(self.noise(len(real)))

        real_logits, fake_logits = D(real), D(fake.detach())  # detached: D's loss does not reach into G
        d_loss = F.binary_cross_entropy_with_logits(real_logits, 1.0) + F.binary_cross_entropy_with_logits(fake_logits, 0.0)
        self.d_optimizer.step(mg.grad(d_loss, D.parameters()))

        g_loss = F.binary_cross_entropy_with_logits(D(fake), 1.0)
        self.g_optimizer.step(mg.grad(g_loss, G.parameters()))  # through D, but only to G's weights
        self.follow_generator()

        with mg.no_grad():
            d_real, d_fake = F.sigmoid(real_logits).mean(), F.sigmoid(fake_logits).mean()
        return {"d_loss": d_loss, "g_loss": g_loss, "D(x)": d_real, "D(G(z))": d_fake}


if __name__ == "__main__":
    main(DCGAN)
