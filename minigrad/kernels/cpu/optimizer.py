"""The optimizers' loops on the CPU: one pass over a parameter, its gradient and its state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.arrays.hooks import from_host, persistent
from minigrad.kernels.cpu.loops import Loop, elements, flat
from minigrad.kernels.cpu.units import add_up, inner
from minigrad.kernels.interface import AdamNumbers, RMSpropNumbers, SGDNumbers

Array = Any


def sgd(
    params: Sequence[Array], grads: Sequence[Array], velocity: Sequence[Array], read: Callable[[], SGDNumbers], bad: Array
) -> None:
    _update(_sgd, params, grads, [velocity], bad, read, 3)


def adam(
    params: Sequence[Array],
    grads: Sequence[Array],
    first: Sequence[Array],
    second: Sequence[Array],
    read: Callable[[], AdamNumbers],
    bad: Array,
) -> None:
    _update(_adam, params, grads, [first, second], bad, lambda: read().derived(), 9)


def rmsprop(
    params: Sequence[Array], grads: Sequence[Array], square: Sequence[Array], read: Callable[[], RMSpropNumbers], bad: Array
) -> None:
    _update(_rmsprop, params, grads, [square], bad, lambda: read().derived(), 5)


def _update(
    loop: Loop,
    params: Sequence[Array],
    grads: Sequence[Array],
    states: Sequence[Sequence[Array]],
    bad: Array,
    numbers: Callable[[], Sequence[float]],
    count: int,
) -> None:
    """Run an optimizer's loop on each parameter, with the numbers in its own dtype, so that float32 stays float32."""
    exact = {dtype: from_host(numbers, count, dtype) for dtype in {p.dtype for p in params}}
    counts = persistent(bad)
    for k, (p, g, *state) in enumerate(zip(params, grads, *states, strict=True)):
        arrays = flat([p, g, *map(persistent, state)])
        loop([*arrays, counts[k : k + 1], exact[p.dtype]])


@inner
def _count_bad(first: int, last: int, g: Array) -> int:
    """In a loop of its own: beside the rest it makes that a third slower."""
    count = 0
    for i in elements(first, last):
        count += not np.isfinite(g[i])
    return count


@Loop
def _sgd(first: int, last: int, p: Array, g: Array, v: Array, bad: Array, numbers: Array) -> None:
    lr, momentum, decay = numbers[0], numbers[1], numbers[2]
    for i in elements(first, last):
        good = np.isfinite(g[i])
        new_v = momentum * v[i] + (g[i] + decay * p[i])
        v[i] = new_v if good else v[i]
        p[i] = p[i] - lr * new_v if good else p[i]
    add_up(bad, _count_bad(first, last, g))


@Loop
def _adam(first: int, last: int, p: Array, g: Array, m: Array, s: Array, bad: Array, numbers: Array) -> None:
    """numbers: lr / (1 - beta1^t), beta1, 1 - beta1, beta2, 1 - beta2, 1 / sqrt(1 - beta2^t), eps, decay, keep"""
    lr, b1, c1, b2, c2, scale, eps = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6]
    decay, keep = numbers[7], numbers[8]
    for i in elements(first, last):
        good = np.isfinite(g[i])
        slope = g[i] + decay * p[i]
        new_m = b1 * m[i] + c1 * slope
        new_s = b2 * s[i] + c2 * slope * slope
        m[i] = new_m if good else m[i]
        s[i] = new_s if good else s[i]
        p[i] = keep * p[i] - lr * new_m / (np.sqrt(new_s) * scale + eps) if good else p[i]
    add_up(bad, _count_bad(first, last, g))


@Loop
def _rmsprop(first: int, last: int, p: Array, g: Array, s: Array, bad: Array, numbers: Array) -> None:
    lr, alpha, rest, eps, decay = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    for i in elements(first, last):
        good = np.isfinite(g[i])
        slope = g[i] + decay * p[i]
        new_s = alpha * s[i] + rest * slope * slope
        s[i] = new_s if good else s[i]
        p[i] = p[i] - lr * slope / (np.sqrt(new_s) + eps) if good else p[i]
    add_up(bad, _count_bad(first, last, g))
