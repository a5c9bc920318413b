"""What the losses of several trainers share."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import minigrad as mg

CAPTIONS = {  # what the curves of the original game mean
    "d_loss": "discriminator loss, -log D(x) - log(1 - D(G(z))): 2 log 2 = 1.39 when it can only guess, lower when it wins",
    "g_loss": "generator loss, -log D(G(z)): log 2 = 0.69 when the discriminator can only guess, lower when G wins",
    "D(x)": "mean probability that D gives real images: 0.5 when it can only guess",
    "D(G(z))": "mean probability that D gives generated images: 0.5 when it can only guess",
}


@functools.cache  # kept for good: a captured graph may read them
def real_then_fake(n: int, backend: str, dtype: Any) -> mg.Tensor:
    """The labels of n real images followed by n generated ones: n ones, then n zeros, (2n, 1)."""
    return mg.Tensor(np.repeat([[1.0], [0.0]], n, axis=0).astype(dtype)).to(backend)
