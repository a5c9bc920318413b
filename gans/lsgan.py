"""LSGAN: a GAN trained by least squares in place of cross-entropy.

    python -m gans.lsgan --data FOLDER

The sigmoid cross-entropy loss is flat where D is confident. A generated image that D takes for real
gets almost no gradient, even if it is far from the real images. In an LSGAN, D returns a number
without a sigmoid. Its target is 1 for real and 0 for generated images, and the loss is the squared
distance from the target, which has a gradient wherever the target is missed:

    for each batch of real images x:
        draw z ~ N(0, I)
        descend  1/2 mean (D(x) - 1)^2 + 1/2 mean D(G(z))^2  with respect to D's weights
        descend  1/2 mean (D(G(z)) - 1)^2                    with respect to G's weights

Networks, data and settings are those of `gans.dcgan`.

Source: Mao et al., "Least squares generative adversarial networks", ICCV 2017, equation 9.
"""

from __future__ import annotations

import minigrad as mg
from gans.dcgan import DCGAN
from gans.losses import least_squares
from gans.training.cli import main
from gans.training.trainer import Metrics


class LSGAN(DCGAN):
    """DCGAN's networks, and the step that trains them by least squares."""

    name = "lsgan"
    captions = {
        "d_loss": "discriminator loss, (D(x) - 1)^2 / 2 + D(G(z))^2 / 2: 0.25 if D only guesses, lower if D wins",
        "g_loss": "generator loss, (D(G(z)) - 1)^2 / 2: 0.125 if D only guesses, lower if G wins",
        "D(x)": "mean of D on real images: the target is 1, a guess is 0.5",
        "D(G(z))": "mean of D on generated images: the target is 0, a guess is 0.5",
    }

    def step(self, real: mg.Tensor) -> Metrics:
        D, G = self.discriminator, self.generator
        fake = G(self.noise(len(real)))

        real_scores, fake_scores = D(real), D(fake.detach())  # detached: D's loss sends no gradient to G
        d_loss = 0.5 * least_squares(real_scores, real=True) + 0.5 * least_squares(fake_scores, real=False)
        self.d_optimizer.step(mg.grad(d_loss, D.parameters()))

        g_loss = 0.5 * least_squares(D(self.redrawn(fake)), real=True)
        self.g_optimizer.step(mg.grad(g_loss, G.parameters()))  # through D, but only to G's weights
        self.update_average()

        with mg.no_grad():
            d_real, d_fake = real_scores.mean(), fake_scores.mean()
            return {"d_loss": d_loss, "g_loss": g_loss, "D(x)": d_real, "D(G(z))": d_fake}


if __name__ == "__main__":
    main(LSGAN)
