"""The optimizers' update rules, in place. In each, g is first the gradient plus `decay` times p.

`read` returns the numbers of this step. Elements whose gradient is NaN or infinite are skipped, so that a bad gradient never
reaches a weight, and counted: bad[k] grows by the number of such elements in the gradient of parameter k.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.kernels.interface import AdamNumbers, RMSpropNumbers, SGDNumbers

Array = Any


def sgd(
    params: Sequence[Array], grads: Sequence[Array], velocity: Sequence[Array], read: Callable[[], SGDNumbers], bad: Array
) -> None:
    """v = momentum v + g;  p = p - lr v."""
    lr, momentum, decay = read()
    for k, (p, g, v) in enumerate(zip(params, grads, velocity, strict=True)):
        good = np.isfinite(g)
        v[good] = momentum * v[good] + (g[good] + decay * p[good])
        p[good] -= lr * v[good]
        bad[k] += int((~good).sum())


def adam(
    params: Sequence[Array],
    grads: Sequence[Array],
    first: Sequence[Array],
    second: Sequence[Array],
    read: Callable[[], AdamNumbers],
    bad: Array,
) -> None:
    """m = beta1 m + (1 - beta1) g;  s = beta2 s + (1 - beta2) g^2;  p = keep p - lr m' / (sqrt(s') + eps).

    m' and s' are bias-corrected: m and s start at zero, so after `step` steps they are too small by the factors
    1 - beta1^step and 1 - beta2^step.
    Source: Kingma and Ba, "Adam", ICLR 2015, algorithm 1; `keep` is from Loshchilov and Hutter, "Decoupled weight decay
    regularization", ICLR 2019, algorithm 2.
    """
    lr, beta1, beta2, eps, step, decay, keep = read()
    for k, (p, g, m, s) in enumerate(zip(params, grads, first, second, strict=True)):
        good = np.isfinite(g)
        slope = g[good] + decay * p[good]
        m[good] = beta1 * m[good] + (1 - beta1) * slope
        s[good] = beta2 * s[good] + (1 - beta2) * slope**2
        mean, square = m[good] / (1 - beta1**step), s[good] / (1 - beta2**step)
        p[good] = keep * p[good] - lr * mean / (np.sqrt(square) + eps)
        bad[k] += int((~good).sum())


def rmsprop(
    params: Sequence[Array], grads: Sequence[Array], square: Sequence[Array], read: Callable[[], RMSpropNumbers], bad: Array
) -> None:
    """s = alpha s + (1 - alpha) g^2;  p = p - lr g / (sqrt(s) + eps).    Source: Hinton, lecture 6e (2012)."""
    lr, alpha, eps, decay = read()
    for k, (p, g, s) in enumerate(zip(params, grads, square, strict=True)):
        good = np.isfinite(g)
        slope = g[good] + decay * p[good]
        s[good] = alpha * s[good] + (1 - alpha) * slope**2
        p[good] -= lr * slope / (np.sqrt(s[good]) + eps)
        bad[k] += int((~good).sum())
