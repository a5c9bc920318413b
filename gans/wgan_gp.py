"""WGAN-GP, the Wasserstein GAN with a gradient penalty: `python -m gans.wgan_gp`.

Clipping the critic's weights (`gans.wgan`) bounds its slope, but makes it a poor function: most weights end up at the bounds.
Instead the loss can ask for the slope itself. The best critic has slope 1 along the ways on which images are carried, so at
points between real and generated images its gradient should have norm 1:

    five times: for a batch of real images x, z ~ N(0, 1) and alpha ~ U(0, 1), one for each image
        between = alpha x + (1 - alpha) G(z)
        descend  mean f(G(z)) - mean f(x) + 10 mean (|df/dx at between| - 1)^2   by f's weights
    for z ~ N(0, 1)
        ascend   mean f(G(z))                                                    by G's weights

To descend it, the gradient of a function of a gradient is needed. What that is, for a critic of two layers and one image x:

    forward          h = W x + b          y = w . phi(h) + c                           phi an activation
    first backward   u = phi'(h) * w      s = W^T u          (s = dy/dx, * by element)
    penalty          r = |s|              P = (r - 1)^2

The first backward is a computation like any other, made of products and of phi', and W and w appear in it again. So
`mg.grad(..., create_graph=True)` records it, and P's gradient goes back through it, node by node, last one first:

    P = (r - 1)^2        dP/dr = 2 (r - 1)
    r = |s|              dP/ds = dP/dr s / r                  =: v       (the penalty is steepest along s)
    s = W^T u            dP/dW = u v^T,  dP/du = W v          =: q
    u = phi'(h) * w      dP/dw = phi'(h) * q,  dP/dh = phi''(h) * w * q  =: p
    h = W x + b          dP/dW += p x^T,  dP/db = p

    c enters nowhere: dP/dc = 0.  For LeakyReLU phi' is a step, phi'' is 0, and with it p: then dP/db = 0 as well.

No op has code for this: each backward method is written in the engine's own ops (`minigrad.engine`), and that is all it takes.
`tests/gans/test_wgan_gp.py` evaluates these formulas and compares them with what the engine finds.

Source: Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017, algorithm 1.
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

PENALTIES = ("two-sided", "one-sided", "zero-centred", "dragan")
SMALL = 1e-20  # under the root of the norm: there the root has a slope, so that a gradient of zero gives zero, not NaN


@dataclass(frozen=True)
class Config(wgan.CriticConfig):
    """Train a Wasserstein GAN with gradient penalty on MNIST, on a folder of pictures or on drawn faces."""

    lr: float = option(1e-4, "learning rate of both optimizers")
    penalty: str = option("two-sided", "where the critic's slope is measured, and what it should be", choices=PENALTIES)
    penalty_weight: float = option(10.0, "the penalty's weight, lambda in the paper")


class WGANGP(wgan.WGAN):
    """WGAN's networks, and the step with the penalty."""

    name = "wgan_gp"
    config_class = Config
    captions = {
        "wasserstein": "estimate of the Wasserstein distance, mean f(x) - mean f(G(z)), that is minus the critic's loss "
        "without the penalty: it should rise while the critic catches up, then fall as the images get better",
        "penalty": "gradient penalty before its weight: 0 when the critic's slope is what is asked for",
        "g_loss": "generator loss, - mean f(G(z)): its level means nothing, because f may shift as a whole",
    }

    def make_optimizers(self) -> None:
        self.g_optimizer = optim.Adam(self.generator.parameters(), self.config.lr, betas=(0.5, 0.9))
        self.critic_optimizer = optim.Adam(self.critic.parameters(), self.config.lr, betas=(0.5, 0.9))

    def step(self, real: mg.Tensor) -> Metrics:
        f, G, n = self.critic, self.generator, self.config.batch_size
        for x in self.critic_batches(real):
            with mg.no_grad():
                fake = G(self.noise(n))
                points = self.penalised_points(x, fake)
            scores = f(F.concatenate([x, fake]))
            wasserstein = (scores[:n] - scores[n:]).mean()
            penalty = gradient_penalty(f, points, self.config.penalty)
            critic_loss = self.config.penalty_weight * penalty - wasserstein
            self.critic_optimizer.step(mg.grad(critic_loss, f.parameters()))

        g_loss = -f(G(self.noise(n))).mean()
        self.g_optimizer.step(mg.grad(g_loss, G.parameters()))  # through f, but only to G's weights
        return {"wasserstein": wasserstein, "penalty": penalty, "g_loss": g_loss}

    def penalised_points(self, real: mg.Tensor, fake: mg.Tensor) -> mg.Tensor:
        """The images at which the critic's slope is measured, (n, channels, height, width)."""
        if self.config.penalty == "zero-centred":
            return real
        if self.config.penalty == "dragan":
            spread = 0.5 * real.var() ** 0.5
            return real + spread * self.uniform(real.shape)
        alpha = self.uniform((len(real), 1, 1, 1))
        return alpha * real + (1 - alpha) * fake


def gradient_penalty(critic: nn.Module, points: mg.Tensor, kind: str = "two-sided") -> mg.Tensor:
    """The mean over the points of a function of the critic's slope r there, to be differentiated by its weights.

    Parameters
    ----------
    critic : images to scores (n, 1), each score depending on its own image only
    points : (n, channels, height, width)
    kind : str
        "two-sided" (r - 1)^2, as is "dragan" (Kodali et al. 2017), whose points are real images with noise;
        "one-sided" max(r - 1, 0)^2 (Petzka et al. 2018); "zero-centred" r^2 / 2, at real images: R1 (Mescheder et al. 2018).

    Raises
    ------
    ValueError : if the critic has batch normalisation, or there is no such kind
    """
    if kind not in PENALTIES:
        raise ValueError(f"there is no penalty {kind!r}; choose among {', '.join(PENALTIES)}")
    for name, module in critic.named_modules().items():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            where = f"the critic's layer {name}" if name else "the critic"
            raise ValueError(
                f"{where} is {type(module).__name__}: with it an image's score depends on the other images of the batch, and "
                "the slope at one image has no meaning; take LayerNorm or InstanceNorm2d"
            )
    points = mg.Tensor(points.data, requires_grad=True)
    (slopes,) = mg.grad(critic(points).sum(), [points], create_graph=True)
    r = F.norm(slopes, axis=tuple(range(1, slopes.ndim)), eps=SMALL)  # over all numbers of an image
    if kind == "zero-centred":
        return 0.5 * (r * r).mean()
    excess = r - 1
    if kind == "one-sided":
        excess = F.relu(excess)
    return (excess * excess).mean()


if __name__ == "__main__":
    main(WGANGP)
