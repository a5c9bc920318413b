"""How much of the data a generator covers, as the literature counts it.

Source: Srivastava et al., "VEEGAN: reducing mode collapse in GANs using implicit variational
learning", NeurIPS 2017, and Lin et al., "PacGAN: the power of two samples in generative adversarial
networks", NeurIPS 2018.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gans.toy.data import Floats, Mixture

SAMPLES = 2_500
FEWEST = 20  # good samples, for a mode to count as hit


class Coverage(NamedTuple):
    """Of some generated points.

    hit : modes with at least FEWEST good samples
    good : the share of the samples that are good, within three standard deviations of a mode
    reverse_kl : of the distribution of the good samples over the modes from the even one, in nats; infinite without any
    """

    hit: int
    good: float
    reverse_kl: float


def coverage(real: Mixture, points: Floats) -> Coverage:
    distance = np.sqrt(((points[:, None] - real.centres) ** 2).sum(axis=2))
    good = distance.min(axis=1) <= 3 * real.sigma
    counts = np.bincount(distance.argmin(axis=1)[good], minlength=len(real.centres))
    if not good.any():
        return Coverage(0, 0.0, float("inf"))
    share = counts[counts > 0] / counts.sum()
    return Coverage(int((counts >= FEWEST).sum()), float(good.mean()), float((share * np.log(share * len(counts))).sum()))
