"""Adversarial losses that several algorithms share. Each takes scores, and whether they should say "real".

the discriminator descends  loss(D(x), real=True) + loss(D(G(z)), real=False)
the generator descends      loss(D(G(z)), real=True)
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import minigrad as mg
import minigrad.functional as F


def bce(logits: mg.Tensor, real: bool) -> mg.Tensor:
    """Binary cross-entropy with D = sigmoid(logit):  -mean log D  if real, else  -mean log(1 - D)."""
    return F.binary_cross_entropy_with_logits(logits, float(real))


def least_squares(scores: mg.Tensor, real: bool) -> mg.Tensor:
    """mean (D - 1)^2  if real, else  mean D^2."""
    return ((scores - float(real)) ** 2).mean()


def wasserstein(scores: mg.Tensor, real: bool) -> mg.Tensor:
    """-mean f  if real, else  mean f.  The critic f needs a bounded slope."""
    return -scores.mean() if real else scores.mean()


BCE_CAPTIONS = {  # of the metrics of algorithms that train by `bce`
    "d_loss": "discriminator loss, -log D(x) - log(1 - D(G(z))): 2 log 2 = 1.39 if D only guesses, lower if D wins",
    "g_loss": "generator loss, -log D(G(z)): log 2 = 0.69 if D only guesses, lower if G wins",
    "D(x)": "mean of D on real images: 0.5 if D only guesses",
    "D(G(z))": "mean of D on generated images: 0.5 if D only guesses",
}


@functools.cache  # never freed: a captured step may read them
def real_then_fake(n: int, backend: str, dtype: Any) -> mg.Tensor:
    """The labels of n real images followed by n generated ones: n ones, then n zeros, (2n, 1)."""
    return mg.Tensor(np.repeat([[1.0], [0.0]], n, axis=0).astype(dtype)).to(backend)
