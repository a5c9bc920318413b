"""DCGAN: convolutional networks and settings that made GANs work for colour images.

    python -m gans.dcgan --data FOLDER

The algorithm is that of `gans.mnist_gan`. New are the networks (see `gans.networks.dcgan`) and
their settings: strided convolutions in place of dense layers and pooling, batch normalisation in
both networks except at their ends, and small initial weights. (All this is `--arch k4`. `k5`, `28` and
`stacked` have dense layers, no batch normalisation in D, and the layers' usual initial weights.)
Adam's beta1 is 0.5, which averages gradients over fewer steps:

    for each batch of real images x:
        draw z ~ N(0, I)
        ascend  mean log D(x) + mean log(1 - D(G(z)))  with respect to D's weights
        ascend  mean log D(G(z))                       with respect to G's weights

D gets real and generated images in two separate batches. In a joint batch, D's batch normalisation
would mix their statistics, and D's output for an image would depend on which other images are in
the batch.

Source: Radford et al., "Unsupervised representation learning with deep convolutional generative
adversarial networks", ICLR 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
import minigrad.functional as F
from gans.losses import BCE_CAPTIONS, bce
from gans.networks.dcgan import ARCHITECTURES
from gans.training.cli import main
from gans.training.config import ConfigError, option
from gans.training.latent import GAN, GANConfig
from gans.training.trainer import Metrics
from minigrad import nn, optim


@dataclass(frozen=True)
class Config(GANConfig):
    """Train a DCGAN on a folder of images, on cartoon faces that the program draws, or on MNIST."""

    data: str | None = option(
        None, "folder of images, or with --arch 28 or stacked of MNIST's IDX files; by default drawn faces, or MNIST"
    )
    arch: str = option(
        "k4",
        "k4: the paper's; k5: 5 x 5 kernels; 28: small, for grey 28 x 28 images; stacked: the same for Stacked MNIST",
        choices=("k4", "k5", "28", "stacked"),
    )
    image_size: int | None = option(
        None, "height and width of the images; 64, or 28 with --arch 28 or stacked", choices=(32, 64, 128)
    )
    lr: float | None = option(None, "learning rate of both optimizers; by default 2e-4 (k4), 1e-4 (k5), 1e-3 (28, stacked)")
    ema: float = option(
        0.0, "make samples with an exponential moving average of G's weights that has this decay", at_most=0.99999
    )


class DCGAN(GAN):
    """The two networks, their optimizers, and the training step."""

    name = "dcgan"
    config_class = Config
    config: Config
    captions = BCE_CAPTIONS
    for_digits = "--arch 28"

    def __init__(self, config: Config, dtype: Any = np.float32) -> None:
        small = config.arch in ("28", "stacked")
        if small and config.image_size is not None:
            raise ConfigError(
                f"--arch {config.arch} is for 28 x 28 images: omit --image-size {config.image_size}, or use --arch k4"
            )
        self.architecture = ARCHITECTURES[config.arch]
        self.latent_size = self.architecture.latent_size
        self.image_size = 28 if small else config.image_size or 64
        self.image_shape = (1 if config.arch == "28" else 3, self.image_size, self.image_size)
        self.ema = config.ema
        super().__init__(config, dtype)

    def make_generator(self) -> nn.Module:
        return self.architecture.make_generator(self.latent_size, self.image_size)

    def make_discriminator(self) -> nn.Module:
        return self.architecture.make_discriminator(self.image_size)

    def make_optimizer(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        lr = self.architecture.lr if self.config.lr is None else self.config.lr
        return optim.Adam(parameters, lr, betas=(0.5, 0.999))

    def step(self, real: mg.Tensor) -> Metrics:
        D, G = self.discriminator, self.generator
        fake = G(self.noise(len(real)))

        real_logits, fake_logits = D(real), D(fake.detach())  # detached: D's loss sends no gradient to G
        d_loss = bce(real_logits, real=True) + bce(fake_logits, real=False)
        self.d_optimizer.step(mg.grad(d_loss, D.parameters()))

        g_loss = bce(D(self.redrawn(fake)), real=True)
        self.g_optimizer.step(mg.grad(g_loss, G.parameters()))  # through D, but only to G's weights
        self.update_average()

        with mg.no_grad():
            d_real, d_fake = F.sigmoid(real_logits).mean(), F.sigmoid(fake_logits).mean()
            return {"d_loss": d_loss, "g_loss": g_loss, "D(x)": d_real, "D(G(z))": d_fake}


if __name__ == "__main__":
    main(DCGAN)
