"""The kernels on the CPU: numba. `reference` says what each one computes.

Loops over elements run on flat memory, in whatever order the arrays lie there. Matrix products are in `gemm`. All threads are
numba's, in one pool; what is too small for them stays on one.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from minigrad.kernels import reference
from minigrad.kernels.gemm import POOL, product

Array = Any

_REAL = (np.dtype(np.float32), np.dtype(np.float64))
PARALLEL_FROM = 1 << 15  # elements from which a loop is shared out among threads
PRODUCT_FROM = 1 << 13  # multiplications from which NumPy's BLAS would wake threads of its own


def matmul(a: Array, b: Array) -> Array:
    if _is_large(a, b):
        return product(a, b)
    return np.matmul(a, b)


def linear(x: Array, weight: Array, bias: Array | None) -> Array:
    if _is_large(x, weight.T) and (bias is None or bias.dtype == x.dtype):
        return product(x, weight.T, bias)
    y = np.matmul(x, weight.T)
    return y if bias is None else y + bias


def _is_large(a: Array, b: Array) -> bool:
    """Whether a product is one for `gemm`: of two matrices of one type, and not tiny."""
    return a.ndim == b.ndim == 2 and a.dtype == b.dtype and a.dtype in _REAL and a.size * b.shape[1] >= PRODUCT_FROM


def leaky_relu(x: Array, slope: float) -> Array:
    if x.dtype not in _REAL:
        return reference.leaky_relu(x, slope)
    return _elementwise(_leaky_relu, (x,), (slope,))


def leaky_relu_backward(g: Array, y: Array, slope: float) -> Array:
    if y.dtype not in _REAL:
        return reference.leaky_relu_backward(g, y, slope)
    return _elementwise(_leaky_relu_backward, (y, g), (slope,))


def tanh_backward(g: Array, y: Array) -> Array:
    if y.dtype not in _REAL:
        return reference.tanh_backward(g, y)
    return _elementwise(_tanh_backward, (y, g), ())


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
    """A loop over the elements of 1-D arrays, compiled for one thread and for all."""

    def __init__(self, body: Any) -> None:
        self.serial = numba.njit(cache=True, error_model="numpy")(body)
        twin = types.FunctionType(body.__code__, body.__globals__, body.__name__)
        twin.__qualname__ = body.__qualname__ + "_parallel"  # under one name, numba's cache takes one for the other
        self.parallel = numba.njit(cache=True, error_model="numpy", parallel=True)(twin)

    def __call__(self, arrays: Sequence[Array], numbers: Sequence[float]) -> int:
        """Run it; the numbers in the arrays' own precision, so that float32 stays float32."""
        real = arrays[0].dtype.type
        exact = [real(number) for number in numbers]
        if arrays[0].size < PARALLEL_FROM:
            return self.serial(*arrays, *exact)
        with POOL:
            return self.parallel(*arrays, *exact)


def _elementwise(loop: _Loop, inputs: Sequence[Array], numbers: Sequence[float]) -> Array:
    """Run a loop whose last array is the output, in the first input's memory order: channels-last stays channels-last."""
    out = np.empty_like(inputs[0])
    same = [x if x.strides == out.strides else _in_order_of(out, x) for x in inputs]
    loop([x.ravel("K") for x in (*same, out)], numbers)
    return out


def _in_order_of(out: Array, x: Array) -> Array:
    copy = np.empty_like(out)
    copy[...] = x
    return copy


def _each(loop: _Loop, lists: Sequence[Sequence[Array]], numbers: Sequence[float]) -> list[int]:
    """Run an optimizer's loop on each parameter; how many elements of each gradient were bad."""
    return [loop([a.reshape(-1) for a in arrays], numbers) for arrays in zip(*lists, strict=True)]


@_Loop
def _leaky_relu(x: Array, out: Array, slope: Any) -> int:
    for i in numba.prange(len(x)):
        out[i] = x[i] if not x[i] <= 0 else x[i] * slope if slope != 0 else slope
    return 0


@_Loop
def _leaky_relu_backward(y: Array, g: Array, out: Array, slope: Any) -> int:
    for i in numba.prange(len(y)):
        out[i] = g[i] if y[i] > 0 else g[i] * slope if slope != 0 else slope
    return 0


@_Loop
def _tanh_backward(y: Array, g: Array, out: Array) -> int:
    for i in numba.prange(len(y)):
        out[i] = g[i] * (1 - y[i] * y[i])
    return 0


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
