"""What each loss measures, checked: D is trained to its optimum on known densities, and compared with the exact value.

Everything is on a line, where densities, divergences and the Wasserstein distance are integrals over
a grid. D's loss is such an integral too, so that no sampling noise is left: what a check says about
a loss depends only on whether D, a small network, has found its optimum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

import minigrad as mg
import minigrad.functional as F
from gans.toy.data import Floats, Mixture
from gans.toy.losses import LOSSES, Loss
from gans.toy.trainer import leaky
from gans.training.loop import captured
from gans.training.trainer import Metrics
from gans.wgan import clip_weights
from minigrad import nn, optim

X = np.linspace(-8, 8, 401)  # the grid; the densities are 0 outside
DX = float(X[1] - X[0])
WIDTH = 64
STEPS = 1_500  # of Adam until D is at its optimum
DISTANCES = (1.0, 2.0, 3.0, 5.0)  # between two normal distributions, for Wasserstein critics


class Pair(NamedTuple):
    """The data's distribution and the generator's, and their densities on X."""

    name: str
    real: Mixture
    fake: Mixture
    p: Floats
    q: Floats

    @property
    def log_ratio(self) -> Floats:
        """log(p / q), the score of the optimal D."""
        return np.log(self.p / self.q)

    def p_mean(self, values: Floats) -> float:
        return float((self.p * values).sum() * DX)

    def q_mean(self, values: Floats) -> float:
        return float((self.q * values).sum() * DX)


class Check(NamedTuple):
    """One line of the report: a quantity, what D's optimum says, and the exact value."""

    what: str
    measured: float
    exact: float

    @property
    def kind(self) -> str:
        """The loss and the quantity, without the distributions."""
        return self.what.partition(",")[0] + self.what.rpartition(":")[1] + self.what.rpartition(":")[2]

    @property
    def error(self) -> float:
        return abs(self.measured - self.exact)


def gaussian(mean: float, sigma: float = 1.0) -> Mixture:
    return Mixture(np.array([[mean]]), sigma)


def pair(name: str, p: Mixture, q: Mixture) -> Pair:
    """The densities of two distributions on X, each with the integral 1."""
    p_x, q_x = (d.density(X[:, None]) for d in (p, q))
    return Pair(name, p, q, p_x / p_x.sum() / DX, q_x / q_x.sum() / DX)


def apart(distance: float) -> Pair:
    """Two normal distributions with the standard deviation 1, at this distance."""
    return pair(f"{distance:g} apart", gaussian(-distance / 2), gaussian(distance / 2))


BUMPS = pair("two bumps and one", Mixture(np.array([[-1.5], [1.5]]), 0.5), gaussian(0.0, 1.4))


# --- exact values


def ratio(p: Floats, q: Floats) -> Floats:
    """p / (p + q), and 1/2 where both are 0."""
    total = p + q
    return np.divide(p, total, out=np.full_like(total, 0.5), where=total > 0)


def kl(p: Floats, q: Floats) -> float:
    """The Kullback-Leibler divergence, the integral of p log(p / q)."""
    there = p > 0
    return float((p[there] * np.log(p[there] / q[there])).sum() * DX)


def jsd(p: Floats, q: Floats) -> float:
    """The Jensen-Shannon divergence, from 0 to log 2: the mean of both divergences from the middle."""
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2


def pearson(p: Floats, q: Floats) -> float:
    """Pearson's chi-squared divergence, the integral of (p - q)^2 / q."""
    return float(((p - q) ** 2 / q).sum() * DX)


def wasserstein(p: Floats, q: Floats) -> float:
    """The Wasserstein-1 distance: on a line, the area between the two cumulative distributions."""
    return float(np.abs(np.cumsum(q - p)).sum() * DX * DX)


def penalised_wasserstein(pair: Pair, between: Floats, weight: float) -> float:
    """The supremum of  E_p f - E_q f - weight E_between (f' - 1)^2  (without the penalty's own value).

    By parts, E_p f - E_q f is the integral of f' (Q - P), with P and Q the cumulative distributions. At
    each point the best slope is f' = s + (Q - P) / (2 weight between), with s the sign of Q - P.
    So the estimate exceeds the distance by the integral of (Q - P)^2 / (2 weight between).
    """
    gap = np.cumsum(pair.q - pair.p) * DX
    there = between > 1e-12
    return wasserstein(pair.p, pair.q) + float((gap[there] ** 2 / between[there]).sum() * DX / (2 * weight))


def between_density(pair: Pair) -> Floats:
    """The density of alpha x + (1 - alpha) y on X, for alpha from U(0, 1), x from the data and y from the generator."""
    total = np.zeros_like(X)
    for alpha in (np.arange(200) + 0.5) / 200:
        sigma = float(np.hypot(alpha * pair.real.sigma, (1 - alpha) * pair.fake.sigma))
        centres = alpha * pair.real.centres[:, None] + (1 - alpha) * pair.fake.centres
        total += Mixture(centres.reshape(-1, 1), sigma).density(X[:, None]) / 200
    return total


def generator_gradients(pair: Pair) -> tuple[float, float]:
    """The mean over q of the size of the gradient that D* sends to a generated point: of log(1 - D), and of log D."""
    d, slope = ratio(pair.p, pair.q), np.abs(np.gradient(pair.log_ratio, DX))
    return pair.q_mean(d * slope), pair.q_mean((1 - d) * slope)


# --- D at its optimum


def optimum(pair: Pair, loss: Loss, weight: float = 0.0, activation: Callable[[], nn.Module] = nn.Tanh) -> Floats:
    """The scores at X of a network that has learned to minimise  E_p real(s) + E_q fake(s)  and the loss's penalty.

    Parameters
    ----------
    weight : of the one-sided penalty on slopes above 1, between data and generated points; 0 for none
    """
    mg.manual_seed(0)
    unit = 8.0 if loss.penalty == "clip" else 3.0  # within 1, the clipped biases leave every unit active
    network = nn.Sequential(nn.Linear(1, WIDTH), activation(), nn.Linear(WIDTH, WIDTH), activation(), nn.Linear(WIDTH, 1))
    optimizer = optim.Adam(network.parameters(), optim.cosine_decay(1e-2, STEPS), betas=(0.9, 0.99))
    p, q, between, x = (
        mg.Tensor(a[:, None].astype(np.float32)) for a in (pair.p * DX, pair.q * DX, between_density(pair) * DX, X / unit)
    )

    def step() -> Metrics:
        points = mg.Tensor(x.data, requires_grad=True)
        s = network(points)
        value = (p * loss.real(s)).sum() + (q * loss.fake(s)).sum()
        if weight:
            (gradient,) = mg.grad(s.sum(), [points], create_graph=True)
            value = value + weight * (between * F.relu(abs(gradient / unit) - 1) ** 2).sum()
        optimizer.step(mg.grad(value, network.parameters()))
        if loss.penalty == "clip":
            clip_weights(network.parameters(), loss.weight)
        return {"loss": value}

    replayed = captured(step)
    for _ in range(STEPS):
        replayed()
    with mg.no_grad():
        return network(x).numpy()[:, 0].astype(np.float64)


def value(pair: Pair, loss: Loss, scores: Floats) -> float:
    """What D ascends, at these scores:  -E_p real(s) - E_q fake(s)."""
    s = mg.Tensor(scores)
    return -pair.p_mean(loss.real(s).numpy()) - pair.q_mean(loss.fake(s).numpy())


# --- the checks


def jensen_shannon() -> Iterator[Check]:
    """V(D*, G) + 2 log 2 = 2 JSD, and D* = p / (p + q) where there is data."""
    for pair in (apart(0.7), BUMPS, apart(1.6), apart(3.0), apart(4.0)):
        scores = optimum(pair, LOSSES["gan"])
        yield Check(
            f"gan, {pair.name}: V + 2 log 2 and 2 JSD",
            value(pair, LOSSES["gan"], scores) + 2 * np.log(2),
            2 * jsd(pair.p, pair.q),
        )
        there = pair.p + pair.q > 0.01 * (pair.p + pair.q).max()
        off = np.abs(1 / (1 + np.exp(-scores)) - ratio(pair.p, pair.q))[there].max()
        yield Check(f"gan, {pair.name}: largest |D - p / (p + q)|", float(off), 0.0)


def chi_squared() -> Iterator[Check]:
    """LSGAN's D at its optimum has the loss  integral of p q / (p + q)  =  1/2 - 1/4 integral of (p - q)^2 / (p + q)."""
    for pair in (BUMPS, apart(1.0), apart(2.0), apart(4.0)):
        total = pair.p + pair.q
        exact = float(np.divide((pair.p - pair.q) ** 2, total, out=np.zeros_like(total), where=total > 0).sum() * DX)
        measured = 2 + 4 * value(pair, LOSSES["lsgan"], optimum(pair, LOSSES["lsgan"]))
        yield Check(f"lsgan, {pair.name}: 2 - 4 loss and the integral of (p - q)^2 / (p + q)", measured, exact)


def f_divergences() -> Iterator[Check]:
    """f-GAN's bound at D's optimum, and the divergence."""
    for pair in (BUMPS, apart(1.0)):
        for name, exact in (
            ("kl", kl(pair.p, pair.q)),
            ("reverse-kl", kl(pair.q, pair.p)),
            ("pearson", pearson(pair.p, pair.q)),
        ):
            yield Check(
                f"{name}, {pair.name}: bound and divergence", value(pair, LOSSES[name], optimum(pair, LOSSES[name])), exact
            )


def clipped_critic() -> Iterator[Check]:
    """The clipped critic's estimate at different distances, in units of its estimate at distance 1."""
    loss = LOSSES["wgan"]
    estimates = [value(pair, loss, optimum(pair, loss, activation=leaky)) for pair in map(apart, DISTANCES)]
    for distance, estimate in zip(DISTANCES, estimates, strict=True):
        yield Check(
            f"wgan, {distance:g} apart: estimate, if that of {DISTANCES[0]:g} is right",
            estimate * DISTANCES[0] / estimates[0],
            distance,
        )


def penalised_critic() -> Iterator[Check]:
    """The penalised critic's estimate, and the distance with the excess that the penalty allows."""
    loss = LOSSES["wgan-gp"]
    for pair in (BUMPS, *map(apart, DISTANCES)):
        for weight in (10.0, 1.0):
            estimate = value(pair, loss, optimum(pair, loss, weight, nn.SiLU))
            exact = penalised_wasserstein(pair, between_density(pair), weight)
            yield Check(f"wgan-gp, {pair.name}, weight {weight:g}: estimate, and W + what the penalty allows", estimate, exact)


def checks() -> Iterator[Check]:
    for group in (jensen_shannon, chi_squared, f_divergences, clipped_critic, penalised_critic):
        yield from group()
