"""CGAN: a conditional GAN, which draws the digit that it is asked for.

    python -m gans.cgan

The training images have labels y. G gets a label beside the latent vector. D gets it beside the
image, and judges whether the image is real and shows what the label says:

    for each batch of real images x with labels y:
        draw z ~ N(0, I)
        ascend  mean log D(x | y) + mean log(1 - D(G(z | y) | y))  with respect to D's weights
        ascend  mean log D(G(z | y) | y)                           with respect to G's weights

How D gets the label (see `gans.networks.conditional`):

- `--condition concat`, as in the paper: beside the input. Here a learned image of the label becomes one more
  channel. (The paper's networks are dense, and join the label to a hidden layer.)
- `--condition projection`, the default: D's logit is  psi(phi(x)) + v_y . phi(x),  with the features phi(x), the
  last layer psi, and a learned vector v_y of the label. This is the form that log p(x | y) / q(x | y) has if the
  classes p(y | x) and q(y | x) are softmaxes of linear functions of the features.

Networks and settings are those of `gans.dcgan`.

Sources: Mirza and Osindero, "Conditional generative adversarial nets", 2014, equation 2; Miyato and Koyama,
"cGANs with projection discriminator", ICLR 2018, equation 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import minigrad as mg
import minigrad.functional as F
from gans import dcgan
from gans.losses import bce
from gans.networks.conditional import ConcatDiscriminator, ConditionalGenerator, ProjectionDiscriminator
from gans.training.cli import main
from gans.training.config import option
from gans.training.labelled import LabelledConfig, LabelledTrainer
from gans.training.trainer import Metrics
from minigrad import nn


@dataclass(frozen=True)
class Config(dcgan.Config, LabelledConfig):
    """Train a conditional GAN on MNIST, or with --arch k4 on a folder whose subfolders are the classes."""

    data: str | None = option(
        None, "folder of MNIST's IDX files, or with another --arch than 28 a folder whose subfolders hold the images of a class"
    )
    arch: str = option(
        "28", "28: small, for grey 28 x 28 images; k4: the DCGAN paper's; k5: 5 x 5 kernels", choices=("28", "k4", "k5")
    )
    condition: str = option("projection", "how D gets the label", choices=("projection", "concat"))


class CGAN(LabelledTrainer, dcgan.DCGAN):
    """DCGAN's networks with a label as second input, and the training step."""

    name = "cgan"
    config_class: ClassVar[type[dcgan.Config]] = Config
    config: Config

    def make_generator(self) -> nn.Module:
        classes = len(self.classes)
        network = self.architecture.make_generator(self.latent_size + classes, self.image_size)
        return ConditionalGenerator(network, classes)

    def make_discriminator(self) -> nn.Module:
        if self.config.condition == "projection":
            return ProjectionDiscriminator(self.architecture.make_discriminator(self.image_size), len(self.classes))
        network = self.architecture.make_discriminator(self.image_size, channels=self.image_shape[0] + 1)
        return ConcatDiscriminator(network, len(self.classes), self.image_size)

    def step(self, real: mg.Tensor, labels: mg.Tensor) -> Metrics:  # type: ignore[override]  # DCGAN's has no labels
        D, G = self.discriminator, self.generator
        fake = G(self.noise(len(real)), labels)

        real_logits, fake_logits = D(real, labels), D(fake.detach(), labels)  # detached: D's loss sends no gradient to G
        d_loss = bce(real_logits, real=True) + bce(fake_logits, real=False)
        self.d_optimizer.step(mg.grad(d_loss, D.parameters()))

        g_loss = bce(D(self.redrawn(fake, labels), labels), real=True)
        self.g_optimizer.step(mg.grad(g_loss, G.parameters()))  # through D, but only to G's weights
        self.update_average()

        with mg.no_grad():
            d_real, d_fake = F.sigmoid(real_logits).mean(), F.sigmoid(fake_logits).mean()
            return {"d_loss": d_loss, "g_loss": g_loss, "D(x)": d_real, "D(G(z))": d_fake}


if __name__ == "__main__":
    main(CGAN)
