"""The optimizers' loops on the CPU: one pass over a parameter, its gradient and its state.

`lr` and `step` may be functions, which are asked at each replay (see `capture.again`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np

from minigrad import recorder
from minigrad.kernels.cpu.loops import Loop, flat
from minigrad.recorder import tracked, value

Array = Any
Number = float | Callable[[], float]


def sgd(
    params: Sequence[Array], grads: Sequence[Array], velocity: Sequence[Array], lr: Number, momentum: float, bad: Array
) -> None:
    _each(_sgd, params, grads, [velocity], bad, lambda: (value(lr), momentum))


def adam(
    params: Sequence[Array],
    grads: Sequence[Array],
    first: Sequence[Array],
    second: Sequence[Array],
    lr: Number,
    beta1: float,
    beta2: float,
    eps: float,
    step: Number,
    bad: Array,
) -> None:
    def numbers() -> tuple[float, ...]:
        count = value(step)
        short1, short2 = 1 - beta1**count, 1 - beta2**count
        return value(lr) / short1, beta1, 1 - beta1, beta2, 1 - beta2, short2**-0.5, eps

    _each(_adam, params, grads, [first, second], bad, numbers)


def rmsprop(
    params: Sequence[Array],
    grads: Sequence[Array],
    square: Sequence[Array],
    lr: Number,
    alpha: float,
    eps: float,
    bad: Array,
) -> None:
    _each(_rmsprop, params, grads, [square], bad, lambda: (value(lr), alpha, 1 - alpha, eps))


def _each(
    loop: Loop,
    params: Sequence[Array],
    grads: Sequence[Array],
    states: Sequence[Sequence[Array]],
    bad: Array,
    numbers: Callable[[], tuple[float, ...]],
) -> None:
    """Run an optimizer's loop on each parameter, with numbers in its own precision, so that float32 stays float32."""
    exact = {dtype: recorder.from_host(numbers, dtype) for dtype in {p.dtype for p in params}}
    counts = tracked(bad)
    for k, (p, g, *state) in enumerate(zip(params, grads, *states, strict=True)):
        arrays = flat([p, g, *map(tracked, state)])
        loop([*arrays, counts[k : k + 1], exact[p.dtype]])


@Loop
def _sgd(p: Array, g: Array, v: Array, bad: Array, numbers: Array) -> None:
    lr, momentum = numbers[0], numbers[1]
    count = 0
    for i in numba.prange(len(p)):
        good = np.isfinite(g[i])
        count += not good
        new_v = momentum * v[i] + g[i]
        v[i] = new_v if good else v[i]
        p[i] = p[i] - lr * new_v if good else p[i]
    bad[0] += count


@Loop
def _adam(p: Array, g: Array, m: Array, s: Array, bad: Array, numbers: Array) -> None:
    """numbers: lr / (1 - beta1^t), beta1, 1 - beta1, beta2, 1 - beta2, 1 / sqrt(1 - beta2^t), eps"""
    lr, b1, c1, b2, c2, scale, eps = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6]
    count = 0
    for i in numba.prange(len(p)):
        good = np.isfinite(g[i])
        count += not good
        new_m = b1 * m[i] + c1 * g[i]
        new_s = b2 * s[i] + c2 * g[i] * g[i]
        m[i] = new_m if good else m[i]
        s[i] = new_s if good else s[i]
        p[i] = p[i] - lr * new_m / (np.sqrt(new_s) * scale + eps) if good else p[i]
    bad[0] += count


@Loop
def _rmsprop(p: Array, g: Array, s: Array, bad: Array, numbers: Array) -> None:
    lr, alpha, rest, eps = numbers[0], numbers[1], numbers[2], numbers[3]
    count = 0
    for i in numba.prange(len(p)):
        good = np.isfinite(g[i])
        count += not good
        new_s = alpha * s[i] + rest * g[i] * g[i]
        s[i] = new_s if good else s[i]
        p[i] = p[i] - lr * g[i] / (np.sqrt(new_s) + eps) if good else p[i]
    bad[0] += count
