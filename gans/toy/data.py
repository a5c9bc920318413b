"""Distributions in one and two dimensions whose densities are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians that have equal shares. A smooth curve is a mixture of many.

    Parameters
    ----------
    centres : (k, d)
    sigma : the standard deviation of each Gaussian, in every direction
    modes : whether the centres are modes, to be counted; those of a curve are not
    """

    centres: Floats
    sigma: float
    modes: bool = True

    @property
    def dimensions(self) -> int:
        return self.centres.shape[1]

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Random points, (n, d)."""
        which = rng.integers(len(self.centres), size=n)
        return self.centres[which] + self.sigma * rng.standard_normal((n, self.dimensions))

    def density(self, points: Floats) -> Floats:
        """The density at points (n, d): (n,)."""
        squared = ((points[:, None] - self.centres) ** 2).sum(axis=2)
        peak = (2 * math.pi * self.sigma**2) ** (-self.dimensions / 2)
        return peak * np.exp(-squared / (2 * self.sigma**2)).mean(axis=1)


def ring(modes: int = 8, radius: float = 1.0, sigma: float = 0.01) -> Mixture:
    """Gaussians on a circle."""
    angle = 2 * np.pi * np.arange(modes) / modes
    return Mixture(radius * np.stack([np.cos(angle), np.sin(angle)], axis=1), sigma)


def grid(side: int = 5, spacing: float = 2.0, sigma: float = 0.05) -> Mixture:
    """Gaussians on a square grid around 0."""
    line = spacing * (np.arange(side) - (side - 1) / 2)
    return Mixture(np.stack(np.meshgrid(line, line), axis=2).reshape(-1, 2), sigma)


def moons(sigma: float = 0.08) -> Mixture:
    """Two half circles, one hooked into the other."""
    t = np.pi * (np.arange(100) + 0.5) / 100
    upper = np.stack([np.cos(t) - 0.5, np.sin(t) - 0.25], axis=1)
    return Mixture(np.concatenate([upper, -upper]), sigma, modes=False)


def swiss_roll(sigma: float = 0.05) -> Mixture:
    """A spiral from radius 0.3 to 1.5 in one and a half turns, equally dense along its length."""
    t = np.linspace(0, 1, 2_000)
    radius, angle = 0.3 + 1.2 * t, 3 * np.pi * t
    curve = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    even = np.linspace(0, length[-1], 200)
    return Mixture(np.stack([np.interp(even, length, curve[:, i]) for i in (0, 1)], axis=1), sigma, modes=False)


def mixture() -> Mixture:
    """Two bumps on a line."""
    return Mixture(np.array([[-1.5], [1.5]]), 0.5)


DISTRIBUTIONS: dict[str, Callable[[], Mixture]] = {
    "mixture": mixture, "ring": ring, "grid": grid, "moons": moons, "swiss-roll": swiss_roll,
}  # fmt: skip
