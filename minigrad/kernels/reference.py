"""The kernels as plain loops and NumPy expressions: slow, obvious, and the oracle for the fast ones. Read these first.

Each module in this folder has the same functions with the same signatures: this one, `cpu` (numba) and `gpu` (CUDA).
Optimizer kernels change their arrays in place and return how many gradient elements were NaN or infinite: those elements
are skipped, so that a bad gradient never poisons a weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = Any


def matmul(a: Array, b: Array) -> Array:
    """a @ b for stacks of matrices."""
    return np.einsum("...ik,...kj->...ij", a, b)


def linear(x: Array, weight: Array, bias: Array | None) -> Array:
    """x W^T, plus the bias in each row: (n, in), (out, in), (out,) to (n, out)."""
    y = np.einsum("ni,oi->no", x, weight)
    return y if bias is None else y + bias


def leaky_relu(x: Array, slope: float) -> Array:
    """slope * x where x <= 0 (for slope 0 that is 0, also for -inf), else x (NaN stays NaN)."""
    return np.where(x <= 0, x * slope if slope else 0, x)


def leaky_relu_backward(g: Array, y: Array, slope: float) -> Array:
    """g where the output y > 0, else slope * g (for slope 0 that is 0, also for infinite g)."""
    return np.where(y > 0, g, g * slope if slope else 0)


def tanh_backward(g: Array, y: Array) -> Array:
    """g (1 - y^2) for y = tanh(x)."""
    return g * (1 - y * y)


def philox(seed: int, counter: int, count: int) -> Array:
    """`count` random uint32: blocks of four, block number b made from the counter words (counter + b, 0) and the key `seed`.

    Philox-4x32-10: ten rounds of multiplying two of the four words by constants, crossing the halves over, and adding the
    round's key, which moves on by the golden ratio and sqrt(3) - 1.
    """
    out = []
    mask = 2**32 - 1
    for block in range(counter, counter + -(-count // 4)):
        words = [block & mask, (block >> 32) & mask, 0, 0]
        key = [seed & mask, seed >> 32]
        for _ in range(10):
            low, high = words[0] * 0xD2511F53, words[2] * 0xCD9E8D57
            words = [(high >> 32) ^ words[1] ^ key[0], high & mask, (low >> 32) ^ words[3] ^ key[1], low & mask]
            key = [(key[0] + 0x9E3779B9) & mask, (key[1] + 0xBB67AE85) & mask]
        out += words
    return np.array(out[:count], np.uint32)


def sgd(params: Sequence[Array], grads: Sequence[Array], velocity: Sequence[Array], lr: float, momentum: float) -> list[int]:
    """v = momentum v + g;  p = p - lr v."""
    bad = []
    for p, g, v in zip(params, grads, velocity, strict=True):
        good = np.isfinite(g)
        v[good] = momentum * v[good] + g[good]
        p[good] -= lr * v[good]
        bad.append(int((~good).sum()))
    return bad


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
    """m = beta1 m + (1 - beta1) g;  s = beta2 s + (1 - beta2) g^2;  p = p - lr m' / (sqrt(s') + eps).

    m and s start at zero, so after `step` steps they are short by the factors 1 - beta1^step and 1 - beta2^step; m' and s'
    have that made good.
    Source: Kingma and Ba, "Adam", ICLR 2015, algorithm 1.
    """
    bad = []
    for p, g, m, s in zip(params, grads, first, second, strict=True):
        good = np.isfinite(g)
        m[good] = beta1 * m[good] + (1 - beta1) * g[good]
        s[good] = beta2 * s[good] + (1 - beta2) * g[good] ** 2
        mean, square = m[good] / (1 - beta1**step), s[good] / (1 - beta2**step)
        p[good] -= lr * mean / (np.sqrt(square) + eps)
        bad.append(int((~good).sum()))
    return bad


def rmsprop(
    params: Sequence[Array], grads: Sequence[Array], square: Sequence[Array], lr: float, alpha: float, eps: float
) -> list[int]:
    """s = alpha s + (1 - alpha) g^2;  p = p - lr g / (sqrt(s) + eps).    Source: Hinton, lecture 6e (2012)."""
    bad = []
    for p, g, s in zip(params, grads, square, strict=True):
        good = np.isfinite(g)
        s[good] = alpha * s[good] + (1 - alpha) * g[good] ** 2
        p[good] -= lr * g[good] / (np.sqrt(s[good]) + eps)
        bad.append(int((~good).sum()))
    return bad
