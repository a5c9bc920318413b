"""LSGAN, the GAN of least squares: `python -m gans.lsgan --data FOLDER`.

A sigmoid's loss is flat where D is sure: a generated image that D takes for real with confidence gets no gradient, however far
it is from the real ones. LSGAN has D give each image a number, without a sigmoid, and asks it for 1 on real images and 0 on
generated ones; the loss is the squared distance, which pulls at every image that is not where it should be:

    for each batch of real images x:
        draw z ~ N(0, 1)
        descend  1/2 (D(x) - 1)^2 + 1/2 D(G(z))^2  by D's weights
        descend  1/2 (D(G(z)) - 1)^2               by G's weights

Networks, data and settings are DCGAN's.

Source: Mao et al., "Least squares generative adversarial networks", ICCV 2017, equation 9.
"""

from __future__ import annotations

import minigrad as mg
from gans.dcgan import DCGAN
from gans.training.cli import main
from gans.training.trainer import Metrics


class LSGAN(DCGAN):
    """DCGAN's networks, and the step that trains them by least squares."""

    name = "lsgan"
    captions = {
        "d_loss": "discriminator loss, (D(x) - 1)^2 / 2 + D(G(z))^2 / 2: 0.25 when it can only guess, lower when it wins",
        "g_loss": "generator loss, (D(G(z)) - 1)^2 / 2: 0.125 when the discriminator can only guess, lower when G wins",
        "D(x)": "mean of D on real images: 1 is its target, 0.5 is a guess",
        "D(G(z))": "mean of D on generated images: 0 is its target, 0.5 is a guess",
    }

    def step(self, real: mg.Tensor) -> Metrics:
        D, G = self.discriminator, self.generator
        fake = G(self.noise(len(real)))

        on_real, on_fake = D(real), D(fake.detach())  # detached: D's loss does not reach into G
        d_loss = 0.5 * ((on_real - 1) ** 2).mean() + 0.5 * (on_fake**2).mean()
        self.d_optimizer.step(mg.grad(d_loss, D.parameters()))

        g_loss = 0.5 * ((D(fake) - 1) ** 2).mean()
        self.g_optimizer.step(mg.grad(g_loss, G.parameters()))  # through D, but only to G's weights
        self.follow_generator()

        return {"d_loss": d_loss, "g_loss": g_loss, "D(x)": on_real.mean(), "D(G(z))": on_fake.mean()}


if __name__ == "__main__":
    main(LSGAN)
