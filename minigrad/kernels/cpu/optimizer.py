"""The optimizers' loops on the CPU: one pass over a parameter, its gradient and its state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.arrays.hooks import from_host, persistent
from minigrad.kernels.cpu.loops import Loop, elements, flat
from minigrad.kernels.cpu.threads import add_up
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


# An element whose gradient is not finite keeps its value and its state, and is counted. The loops say so with numbers
# (one times the old value, plus zero): where a store depends on a condition, it is a masked store, and on AMD's
# processors three of them take longer than all the rest. A count of 64 bits would halve the number of lanes.


@Loop
def _sgd(first: int, last: int, p: Array, g: Array, v: Array, bad: Array, numbers: Array) -> None:
    lr, momentum, decay = numbers[0], numbers[1], numbers[2]
    zero, one, count = p.dtype.type(0), p.dtype.type(1), np.uint32(0)
    for i in elements(first, last):
        good = np.isfinite(g[i])
        count = np.uint32(count + np.uint32(not good))
        slope = g[i] + decay * p[i] if good else zero
        v[i] = (momentum if good else one) * v[i] + slope
        p[i] = p[i] - (lr * v[i] if good else zero)
    add_up(bad, count)


@Loop
def _adam(first: int, last: int, p: Array, g: Array, m: Array, s: Array, bad: Array, numbers: Array) -> None:
    """numbers: lr / (1 - beta1^t), beta1, 1 - beta1, beta2, 1 - beta2, 1 / sqrt(1 - beta2^t), eps, decay, keep"""
    lr, b1, c1, b2, c2, scale, eps = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6]
    decay, keep = numbers[7], numbers[8]
    zero, one, count = p.dtype.type(0), p.dtype.type(1), np.uint32(0)
    for i in elements(first, last):
        good = np.isfinite(g[i])
        count = np.uint32(count + np.uint32(not good))
        slope = g[i] + decay * p[i] if good else zero
        m[i] = (b1 if good else one) * m[i] + c1 * slope
        s[i] = (b2 if good else one) * s[i] + c2 * slope * slope
        step = lr * m[i] / (np.sqrt(s[i]) * scale + eps)
        p[i] = (keep if good else one) * p[i] - (step if good else zero)
    add_up(bad, count)


@Loop
def _rmsprop(first: int, last: int, p: Array, g: Array, s: Array, bad: Array, numbers: Array) -> None:
    lr, alpha, rest, eps, decay = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    zero, one, count = p.dtype.type(0), p.dtype.type(1), np.uint32(0)
    for i in elements(first, last):
        good = np.isfinite(g[i])
        count = np.uint32(count + np.uint32(not good))
        slope = g[i] + decay * p[i] if good else zero
        s[i] = (alpha if good else one) * s[i] + rest * slope * slope
        step = lr * slope / (np.sqrt(s[i]) + eps)
        p[i] = p[i] - (step if good else zero)
    add_up(bad, count)
