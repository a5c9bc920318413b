"""Softmax GAN: one softmax over the whole batch in place of one probability for each image.

    python -m gans.softmax_gan --data FOLDER

D gives each image of a batch a score s. A softmax turns the scores of the n real and n generated
images into one distribution over all 2n. D wants it to be even on the real images, and 0 on the
generated ones. G wants it to be even on all. Both losses are cross-entropies:

    for each batch of real images x:
        draw z ~ N(0, I)
        log Z = log (sum exp D(x) + sum exp D(G(z)))        both sums over the batch
        descend  log Z - mean D(x)                          with respect to D's weights
        log Z, with the new D
        descend  log Z - mean D(x) / 2 - mean D(G(z)) / 2   with respect to G's weights

Adding a number to all scores changes nothing: only differences within a batch count. The more an
image is taken for real, the smaller its share in G's gradient.

Networks, data and settings are those of `gans.dcgan`.

Source: Lin, "Softmax GAN", 2017, equations 4 and 5, with the scores' sign turned: here, a large one means real.
"""

from __future__ import annotations

import minigrad as mg
import minigrad.functional as F
from gans.dcgan import DCGAN
from gans.training.cli import main
from gans.training.trainer import Metrics


class SoftmaxGAN(DCGAN):
    """DCGAN's networks, and the step that trains them by a softmax over the batch."""

    name = "softmax_gan"
    captions = {
        "d_loss": "discriminator loss: log of twice the batch size if D only guesses, log of the batch size if it wins",
        "g_loss": "generator loss: log of twice the batch size if all images get the same score, higher if D wins",
        "real share": "the softmax's sum over the real images: 0.5 if D only guesses, 1 if it wins",
    }

    def step(self, real: mg.Tensor) -> Metrics:
        D, G = self.discriminator, self.generator
        fake = G(self.noise(len(real)))

        real_scores, fake_scores = D(real), D(fake.detach())  # detached: D's loss sends no gradient to G
        log_z = log_partition(real_scores, fake_scores)
        d_loss = log_z - real_scores.mean()
        self.d_optimizer.step(mg.grad(d_loss, D.parameters()))

        judged_real, judged_fake = D(real), D(self.redrawn(fake))
        g_loss = log_partition(judged_real, judged_fake) - 0.5 * judged_real.mean() - 0.5 * judged_fake.mean()
        self.g_optimizer.step(mg.grad(g_loss, G.parameters()))  # through D, but only to G's weights
        self.update_average()

        with mg.no_grad():
            return {"d_loss": d_loss, "g_loss": g_loss, "real share": F.exp(real_scores - log_z).sum()}


def log_partition(real: mg.Tensor, fake: mg.Tensor) -> mg.Tensor:
    """log of the sum of exp(score) over real and generated images."""
    return F.logsumexp(F.concatenate([real, fake]), axis=(0, 1))


if __name__ == "__main__":
    main(SoftmaxGAN)
