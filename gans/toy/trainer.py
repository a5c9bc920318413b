"""The two networks of `gans.toy` and their training step, the same for every loss."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

import minigrad as mg
import minigrad.functional as F
from gans.toy.data import Floats, Mixture
from gans.toy.losses import Loss
from gans.training.average import follow
from gans.training.loop import TrainingError, captured
from gans.training.trainer import Metrics
from gans.wgan import clip_weights
from gans.wgan_gp import EPS
from minigrad import nn, optim

LATENT = 2
LR = 3e-3
STEPS = 3_000  # of G, enough for ring and grid; the learning rate falls to 0 over them
SPREAD = 3.0  # the networks see the data scaled to this root mean square: small networks resolve it better than at 1
AVERAGE = 0.999  # decay of the running average of G's weights


class Diverged(TrainingError):
    """The losses or the gradients are no longer finite."""


class ToyGAN:
    """G turns noise into points, D scores points. Both are networks with three hidden layers.

    G's hidden units are tanh: it has to move a connected cloud of noise onto separate modes, as a staircase
    does, and tanh has flat steps. Leaky ReLUs, as in D, need many more training steps to form them.

    Parameters
    ----------
    real : the data
    loss : one of `gans.toy.losses.LOSSES`
    steps : of G, over which the learning rate falls to 0; None keeps it constant
    """

    def __init__(
        self,
        real: Mixture,
        loss: Loss,
        seed: int = 0,
        steps: int | None = None,
        lr: float = LR,
        width: int = 64,
        batch: int = 256,
        g_activation: Callable[[], nn.Module] = nn.Tanh,
    ) -> None:
        mg.manual_seed(seed)
        self.real, self.loss, self.batch = real, loss, batch
        self.scale = SPREAD / float(np.sqrt((real.centres**2).mean()))
        self.rng = np.random.default_rng(seed)
        self.generator = network(LATENT, width, real.dimensions, g_activation)
        for p in self.generator.parameters():
            if p.ndim == 2:  # larger than by default: the first points are as far apart as the data
                p.assign(nn.init.normal(p.shape, 0.0, math.sqrt(2 / p.shape[1])))
        self.discriminator = network(real.dimensions, width, 1, leaky)
        self.average = copy.deepcopy(self.generator)
        self.g_optimizer, self.d_optimizer = (
            optim.Adam(net.parameters(), optim.cosine_decay(lr, steps * each) if steps else lr, betas=(0.0, 0.9))
            for net, each in ((self.generator, 1), (self.discriminator, loss.d_steps))
        )
        self.captured = captured(self.step)
        self.done = 0  # steps of G

    def train(self, steps: int) -> dict[str, float]:
        """Train for so many steps of G. Returns the losses of the last one. Diverged if they are not finite."""
        metrics: Metrics = {}
        for _ in range(steps):
            points = self.real.sample(self.batch * self.loss.d_steps, self.rng)
            try:
                metrics = self.captured(self.as_tensor(points))
            except optim.BadGradient as error:
                raise self.diverged("a gradient is") from error
            self.done += 1
        losses = {name: value.item() for name, value in metrics.items()}
        if not all(map(math.isfinite, losses.values())):
            raise self.diverged("the losses are")
        return losses

    def diverged(self, what: str) -> Diverged:
        return Diverged(f"training diverged: after {self.done:,} steps {what} no longer finite; choose a smaller learning rate")

    def step(self, real: mg.Tensor) -> Metrics:
        """Some steps of D, each on its own part of the batch, then one of G."""
        D, G, n = self.discriminator, self.generator, self.batch
        for i in range(self.loss.d_steps):
            x = real[i * n : (i + 1) * n]
            with mg.no_grad():
                fake = G(self.noise(n))
            d_loss = self.loss.d_loss(D(x), D(fake)) + self.penalty(x, fake)
            self.d_optimizer.step(mg.grad(d_loss, D.parameters()))
            if self.loss.penalty == "clip":
                clip_weights(D.parameters(), self.loss.weight)

        g_loss = self.loss.g_loss(D(x), D(G(self.noise(n))))
        self.g_optimizer.step(mg.grad(g_loss, G.parameters()))
        follow(self.average, G, AVERAGE)
        return {"d_loss": d_loss, "g_loss": g_loss}

    def penalty(self, x: mg.Tensor, fake: mg.Tensor) -> mg.Tensor | float:
        """The loss's penalty on D's slope: at points between, or half its square at real and at generated points."""
        weight = self.loss.weight
        if self.loss.penalty == "wgan-gp":
            alpha = mg.rand((len(x), 1))
            excess = self.slope(alpha * x + (1 - alpha) * fake) - 1
            return weight * (excess * excess).mean()
        if self.loss.penalty == "r1r2":
            return 0.5 * weight * sum((self.slope(points) ** 2).mean() for points in (x, fake))
        return 0.0

    def slope(self, points: mg.Tensor) -> mg.Tensor:
        """The norm of D's gradient at each point, (n,). Differentiable."""
        points = mg.Tensor(points.data, requires_grad=True)
        (gradient,) = mg.grad(self.discriminator(points).sum(), [points], create_graph=True)
        return F.norm(gradient, axis=1, eps=EPS)

    def noise(self, n: int) -> mg.Tensor:
        return mg.randn((n, LATENT))

    # --- what there is to see: points and results are float64 arrays, in the data's own units

    def generate(self, n: int, seed: int = 0, averaged: bool = False) -> Floats:
        """Points from G, or from the running average of its weights, (n, d). The noise depends only on the seed."""
        network = self.average if averaged else self.generator
        with mg.no_grad():
            points = network(mg.Generator(seed).randn((n, LATENT))).numpy()
        return points.astype(np.float64) / self.scale

    def scores(self, points: Floats) -> Floats:
        """D's scores, (n,)."""
        with mg.no_grad():
            return self.discriminator(self.as_tensor(points)).numpy().astype(np.float64)[:, 0]

    def slopes(self, points: Floats) -> Floats:
        """The norm of the gradient of D's score at each point, (n,), in the units that D sees: WGAN-GP wants 1."""
        return self.slope(self.as_tensor(points)).numpy().astype(np.float64)

    def arrows(self, points: Floats) -> Floats:
        """Where G's loss pushes each of these generated points: n times its negative gradient, (n, d)."""
        fake = mg.Tensor(self.as_tensor(points).data, requires_grad=True)
        real = self.as_tensor(self.real.sample(len(points), np.random.default_rng(0)))
        (gradient,) = mg.grad(self.loss.g_loss(self.discriminator(real), self.discriminator(fake)), [fake])
        return -gradient.numpy().astype(np.float64) * (self.scale * len(points))

    def as_tensor(self, points: Floats) -> mg.Tensor:
        return mg.Tensor((points * self.scale).astype(np.float32))


def network(inputs: int, width: int, outputs: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    sizes = (inputs, width, width, width)
    hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), activation())]
    return nn.Sequential(*hidden, nn.Linear(width, outputs))


def leaky() -> nn.Module:
    return nn.LeakyReLU(0.2)
