"""The optimizers' loops on the CPU: one pass over a parameter, its gradient and its state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from minigrad.kernels.cpu.loops import Loop, flat

Array = Any


def sgd(
    params: Sequence[Array], grads: Sequence[Array], velocity: Sequence[Array], lr: float, momentum: float, bad: list[int]
) -> None:
    _each(_sgd, (params, grads, velocity), (lr, momentum), bad)


def adam(
    params: Sequence[Array],
    grads: Sequence[Array],
    first: Sequence[Array],
    second: Sequence[Array],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
    bad: list[int],
) -> None:
    short1, short2 = 1 - beta1**step, 1 - beta2**step
    numbers = (lr / short1, beta1, 1 - beta1, beta2, 1 - beta2, short2**-0.5, eps)
    _each(_adam, (params, grads, first, second), numbers, bad)


def rmsprop(
    params: Sequence[Array],
    grads: Sequence[Array],
    square: Sequence[Array],
    lr: float,
    alpha: float,
    eps: float,
    bad: list[int],
) -> None:
    _each(_rmsprop, (params, grads, square), (lr, alpha, 1 - alpha, eps), bad)


def _each(loop: Loop, lists: Sequence[Sequence[Array]], numbers: Sequence[float], bad: list[int]) -> None:
    """Run an optimizer's loop on each parameter."""
    for k, arrays in enumerate(zip(*lists, strict=True)):
        bad[k] += loop(flat(arrays), numbers)


@Loop
def _sgd(p: Array, g: Array, v: Array, lr: Any, momentum: Any) -> int:
    bad = 0
    for i in numba.prange(len(p)):
        good = np.isfinite(g[i])
        bad += not good
        new_v = momentum * v[i] + g[i]
        v[i] = new_v if good else v[i]
        p[i] = p[i] - lr * new_v if good else p[i]
    return bad


@Loop
def _adam(p: Array, g: Array, m: Array, s: Array, lr: Any, b1: Any, c1: Any, b2: Any, c2: Any, scale: Any, eps: Any) -> int:
    bad = 0
    for i in numba.prange(len(p)):
        good = np.isfinite(g[i])
        bad += not good
        new_m = b1 * m[i] + c1 * g[i]
        new_s = b2 * s[i] + c2 * g[i] * g[i]
        m[i] = new_m if good else m[i]
        s[i] = new_s if good else s[i]
        p[i] = p[i] - lr * new_m / (np.sqrt(new_s) * scale + eps) if good else p[i]
    return bad


@Loop
def _rmsprop(p: Array, g: Array, s: Array, lr: Any, alpha: Any, rest: Any, eps: Any) -> int:
    bad = 0
    for i in numba.prange(len(p)):
        good = np.isfinite(g[i])
        bad += not good
        new_s = alpha * s[i] + rest * g[i] * g[i]
        s[i] = new_s if good else s[i]
        p[i] = p[i] - lr * g[i] / (np.sqrt(new_s) + eps) if good else p[i]
    return bad
