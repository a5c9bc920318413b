"""WGAN-GP: the Wasserstein GAN with a gradient penalty in place of clipped weights.

    python -m gans.wgan_gp

Clipping the critic's weights (`gans.wgan`) bounds its slope, but makes the critic too simple a
function: most weights end up at the bounds. Instead, the loss can ask for the slope directly. The
optimal critic has a gradient of norm 1 on the lines between real and generated images that belong
together (the paper's proposition 1). Which images belong together is unknown, so the penalty asks
for norm 1 at random points between random pairs:

    critic_steps (5) times:
        take a batch of real images x, draw z ~ N(0, I), draw alpha ~ U(0, 1), one number per image
        between = alpha x + (1 - alpha) G(z)
        descend  mean f(G(z)) - mean f(x) + 10 mean (|df/dx at between| - 1)^2  with respect to f's weights
    draw z ~ N(0, I)
    ascend  mean f(G(z))  with respect to G's weights

The penalty contains a gradient, and descending it takes the gradient of that gradient. Here it is
for a critic of two layers. Every array has one row per point, as in the engine: x is (n, d), W is
(k, d), b is (k,), w is (1, k), c is (1,). 1 is a column of n ones, * multiplies elementwise, phi is
the activation. The last column names the engine's op.

    forward           h = x W^T + b           Linear
                      y = phi(h) w^T + c      Tanh, Linear
    first backward    t = 1 w                 MatMul            gradient of sum(y) at phi(h)
                      u = t * phi'(h)         TanhBackward
                      s = u W                 MatMul            row i is the gradient of y_i at x_i
    penalty           r = |s|                 Norm              of each row
                      P = mean (r - 1)^2      Sub, Mul, Mean

The first backward pass is a computation like any other, and W and w appear in it again.
`mg.grad(..., create_graph=True)` adds it to the graph, and the gradient of P goes back through it
op by op, from the last one to the first:

    P = mean (r - 1)^2   dP/dr = 2 (r - 1) / n
    r = |s|              dP/ds = dP/dr * s / r       =: v    (P is steepest along s)
    s = u W              dP/du = v W^T               =: q    Linear
                         dP/dW = u^T v                       LinearWeight
    u = t * phi'(h)      dP/dt = q * phi'(h)                 TanhBackward
                         dP/dh = q * t * phi''(h)    =: p
    t = 1 w              dP/dw = 1^T dP/dt                   LinearWeight
    h = x W^T + b        dP/dW += p^T x                      LinearWeight
                         dP/db = 1^T p                       Sum

    c appears nowhere, so dP/dc = 0. For LeakyReLU, phi' is a step function and phi'' is 0. Then p = 0 and dP/db = 0 too.

No op contains code for second derivatives. Each op's backward is written in the engine's own ops
(see `minigrad.engine`), so it can be differentiated in turn. `tests/gans/test_wgan_gp.py` evaluates
these formulas and compares them with the engine.

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
EPS = 1e-20  # added under the square root of the norm, so that a gradient of zero has derivative zero, not NaN


@dataclass(frozen=True)
class Config(wgan.CriticConfig):
    """Train a Wasserstein GAN with gradient penalty on MNIST, on a folder of images or on drawn faces."""

    lr: float = option(1e-4, "learning rate of both optimizers")
    penalty: str = option("two-sided", "where the critic's slope is measured, and its target", choices=PENALTIES)
    penalty_weight: float = option(10.0, "weight of the penalty, lambda in the paper")


class WGANGP(wgan.CriticTrainer):
    """WGAN's networks, and the training step with the penalty."""

    name = "wgan_gp"
    config_class = Config
    config: Config
    captions = {
        "wasserstein": "estimate of the Wasserstein distance, mean f(x) - mean f(G(z)), the negative of the critic's loss "
        "without the penalty: it should rise while the critic catches up, then fall as the images get better",
        "penalty": "gradient penalty before weighting: 0 if the critic's slope is on target",
        "g_loss": "generator loss, - mean f(G(z)): its level means nothing, because any constant can be added to f",
    }

    def make_optimizer(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        return optim.Adam(parameters, self.config.lr, betas=(0.5, 0.9))

    def step(self, real: mg.Tensor) -> Metrics:
        f, G, n = self.critic, self.generator, self.config.batch_size
        for x in self.critic_batches(real):
            with mg.no_grad():  # the critic's loss needs no way back to G
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
        """The points at which the critic's slope is measured, (n, channels, height, width)."""
        if self.config.penalty == "zero-centred":
            return real
        if self.config.penalty == "dragan":
            spread = 0.5 * real.var() ** 0.5
            return real + spread * self.uniform(real.shape)
        alpha = self.uniform((len(real), 1, 1, 1))
        return alpha * real + (1 - alpha) * fake


def gradient_penalty(critic: nn.Module, points: mg.Tensor, kind: str = "two-sided") -> mg.Tensor:
    """The mean penalty on the critic's slope r, the norm of its gradient at each point. Differentiable.

    Parameters
    ----------
    critic : images to scores (n, 1); each score must depend on its own image only
    points : (n, channels, height, width)
    kind : str
        "two-sided" (r - 1)^2; "dragan" the same, for points around real images (Kodali et al. 2017);
        "one-sided" max(r - 1, 0)^2 (Petzka et al. 2018); "zero-centred" r^2 / 2, for real images: R1 (Mescheder et al. 2018)

    Raises
    ------
    ValueError : if the critic contains batch normalisation, or `kind` is unknown
    """
    if kind not in PENALTIES:
        raise ValueError(f"unknown penalty {kind!r}; choose one of {', '.join(PENALTIES)}")
    for name, module in critic.named_modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            where = f"the critic's layer {name}" if name else "the critic"
            raise ValueError(
                f"{where} is {type(module).__name__}: with it, a score depends on the other images of the batch, so the slope "
                "at a single image is undefined; use LayerNorm or InstanceNorm2d"
            )
    points = mg.Tensor(points.data, requires_grad=True)
    (slopes,) = mg.grad(critic(points).sum(), [points], create_graph=True)
    r = F.norm(slopes, axis=tuple(range(1, slopes.ndim)), eps=EPS)  # over all pixels and channels of a point
    if kind == "zero-centred":
        return 0.5 * (r * r).mean()
    excess = r - 1
    if kind == "one-sided":
        excess = F.relu(excess)
    return (excess * excess).mean()


if __name__ == "__main__":
    main(WGANGP)
