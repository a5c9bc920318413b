"""The optimizers on the GPU: one launch for all parameters."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import cupy
import numpy as np

from minigrad.kernels.gpu.launch import C_TYPES, THREADS, blocks, in_one_layout, kernel
from minigrad.layout import axes_in_memory

Array = Any

_CHUNK = 4096  # elements of a parameter that one block updates at a time; optimizer.cu has the same number


def sgd(params: Sequence[Array], grads: Sequence[Array], velocity: Sequence[Array], lr: float, momentum: float) -> Array:
    """As `reference.sgd`, but the counts come as an array on the GPU: looking at them waits for the GPU to finish."""
    return _update("sgd", (params, grads, velocity), (lr, momentum))


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
) -> Array:
    """As `reference.adam`; the counts are an array on the GPU."""
    short1, short2 = 1 - beta1**step, 1 - beta2**step
    numbers = (lr / short1, beta1, 1 - beta1, beta2, 1 - beta2, short2**-0.5, eps)
    return _update("adam", (params, grads, first, second), numbers)


def rmsprop(
    params: Sequence[Array], grads: Sequence[Array], square: Sequence[Array], lr: float, alpha: float, eps: float
) -> Array:
    """As `reference.rmsprop`; the counts are an array on the GPU."""
    return _update("rmsprop", (params, grads, square), (lr, alpha, 1 - alpha, eps))


def _update(name: str, lists: Sequence[Sequence[Array]], numbers: Sequence[float]) -> Array:
    """Launch an optimizer kernel on all parameters (once for each type among them); the counts of bad gradient elements."""
    params, grads, *state = lists
    grads = [_like_parameter(g, p) for g, p in zip(grads, params, strict=True)]
    _check_in_place(params, *state)
    sizes = tuple(p.size for p in params)
    device_sizes = _device_array(sizes)
    tables = [_device_array(tuple(a.data.ptr for a in arrays)) for arrays in (params, grads, *state)]
    bad = cupy.zeros(len(params), np.int32)
    for dtype, c_type in C_TYPES.items():
        chunks = _chunks(tuple(p.size if p.dtype == dtype else 0 for p in params))
        if len(chunks):
            exact = [dtype.type(number) for number in numbers]
            arguments = (*tables, device_sizes, chunks, np.int32(len(chunks)), bad, *exact)
            kernel("optimizer", f"{name}<{c_type}>")((blocks(len(chunks), 1),), (THREADS,), arguments)
    return bad


def _like_parameter(g: Array, p: Array) -> Array:
    """The gradient, copied if it is not of the parameter's type and layout."""
    if not isinstance(g, cupy.ndarray):
        raise TypeError(f"a parameter is on the GPU and its gradient is not ({type(g)})")
    return in_one_layout([p, g.astype(p.dtype, copy=False)])[1]


def _check_in_place(params: Sequence[Array], *state: Sequence[Array]) -> None:
    """Refuse arrays that a kernel would change wrongly: those elsewhere, of another type, with gaps, or in another layout."""
    for p, *others in zip(params, *state, strict=True):
        for a in (p, *others):
            if not isinstance(a, cupy.ndarray) or a.dtype not in C_TYPES or axes_in_memory(a) is None:
                raise TypeError("parameters and their state must be float32 or float64 arrays without gaps on the GPU")
            if a.dtype != p.dtype or a.shape != p.shape or axes_in_memory(a) != axes_in_memory(p):
                raise TypeError(f"a parameter is {p.shape} {p.dtype}, its optimizer state {a.shape} {a.dtype}")


@functools.lru_cache(maxsize=64)
def _device_array(numbers: tuple[int, ...]) -> Array:
    """int64 numbers, sizes or addresses, on the GPU; not copied again as long as they are the same."""
    return cupy.asarray(np.array(numbers, np.int64))


@functools.lru_cache(maxsize=64)
def _chunks(sizes: tuple[int, ...]) -> Array:
    """Pairs (parameter, number of the chunk in it) that cover parameters of these sizes, on the GPU."""
    pairs = [(k, number) for k, size in enumerate(sizes) for number in range(-(-size // _CHUNK))]
    return cupy.asarray(np.array(pairs, np.int32).reshape(-1, 2))
