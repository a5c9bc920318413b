"""The kernels on the CPU: numba. `reference` says what each one computes.

Elementwise kernels are NumPy ufuncs: NumPy walks any strides, keeps the memory order of its inputs, and broadcasts.
The optimizer kernels share large parameters out among threads; small ones are not worth the hand-over.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

Array = Any

_PARALLEL_FROM = 1 << 16  # elements
_pool = threading.Lock()  # numba's simple thread pool ends the process if two Python threads enter it at once


def matmul(a: Array, b: Array) -> Array:
    return np.matmul(a, b)


@numba.vectorize(["float32(float32, float32)", "float64(float64, float64)"], cache=True)
def leaky_relu(x: Any, slope: Any) -> Any:
    return x if x > 0 else x * slope


@numba.vectorize(["float32(float32, float32, float32)", "float64(float64, float64, float64)"], cache=True)
def leaky_relu_backward(g: Any, y: Any, slope: Any) -> Any:
    return g if y > 0 else g * slope


@numba.vectorize(["float32(float32, float32)", "float64(float64, float64)"], cache=True)
def tanh_backward(g: Any, y: Any) -> Any:
    return g * (1 - y * y)


def philox(seed: int, counter: int, count: int) -> Array:
    out = np.empty((-(-count // 4), 4), np.uint32)
    _philox(np.uint64(seed), np.uint64(counter), out)
    return out.reshape(-1)[:count]


@numba.njit(cache=True)
def _philox(seed: Any, counter: Any, out: Array) -> None:
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    for block in range(len(out)):
        number = counter + np.uint64(block)
        w0, w1, w2, w3 = number & mask, number >> half, np.uint64(0), np.uint64(0)
        k0, k1 = seed & mask, seed >> half
        for _ in range(10):
            low, high = w0 * np.uint64(0xD2511F53), w2 * np.uint64(0xCD9E8D57)
            w0, w1 = (high >> half) ^ w1 ^ k0, high & mask
            w2, w3 = (low >> half) ^ w3 ^ k1, low & mask
            k0, k1 = (k0 + np.uint64(0x9E3779B9)) & mask, (k1 + np.uint64(0xBB67AE85)) & mask
        out[block, 0], out[block, 1], out[block, 2], out[block, 3] = w0, w1, w2, w3


def sgd(params: Sequence[Array], grads: Sequence[Array], velocity: Sequence[Array], lr: float, momentum: float) -> list[int]:
    return _each(_sgd, (params, grads, velocity), (lr, momentum))


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
) -> list[int]:
    short1, short2 = 1 - beta1**step, 1 - beta2**step
    return _each(_adam, (params, grads, first, second), (lr / short1, beta1, 1 - beta1, beta2, 1 - beta2, short2**-0.5, eps))


def rmsprop(
    params: Sequence[Array], grads: Sequence[Array], square: Sequence[Array], lr: float, alpha: float, eps: float
) -> list[int]:
    return _each(_rmsprop, (params, grads, square), (lr, alpha, 1 - alpha, eps))


class _Loop:
    """A loop over the elements of 1-D arrays, compiled for one thread and for all; it returns how many gradients were bad."""

    def __init__(self, body: Any) -> None:
        self.serial = numba.njit(cache=True, error_model="numpy")(body)
        self.parallel = numba.njit(cache=True, error_model="numpy", parallel=True)(body)

    def __call__(self, arrays: Sequence[Array], numbers: Sequence[float]) -> int:
        if arrays[0].size < _PARALLEL_FROM:
            return self.serial(*arrays, *numbers)
        with _pool:
            return self.parallel(*arrays, *numbers)


def _each(loop: _Loop, lists: Sequence[Sequence[Array]], numbers: Sequence[float]) -> list[int]:
    """Run the loop on each parameter; the numbers in the parameter's own precision, so that float32 stays float32."""
    bad = []
    for arrays in zip(*lists, strict=True):
        real = arrays[0].dtype.type
        bad.append(loop([a.reshape(-1) for a in arrays], [real(number) for number in numbers]))
    return bad


@_Loop
def _sgd(p: Array, g: Array, v: Array, lr: Any, momentum: Any) -> int:
    bad = 0
    for i in numba.prange(len(p)):
        good = np.isfinite(g[i])
        bad += not good
        new_v = momentum * v[i] + g[i]
        v[i] = new_v if good else v[i]
        p[i] = p[i] - lr * new_v if good else p[i]
    return bad


@_Loop
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


@_Loop
def _rmsprop(p: Array, g: Array, s: Array, lr: Any, alpha: Any, rest: Any, eps: Any) -> int:
    bad = 0
    for i in numba.prange(len(p)):
        good = np.isfinite(g[i])
        bad += not good
        new_s = alpha * s[i] + rest * g[i] * g[i]
        s[i] = new_s if good else s[i]
        p[i] = p[i] - lr * g[i] / (np.sqrt(new_s) + eps) if good else p[i]
    return bad
