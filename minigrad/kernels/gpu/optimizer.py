"""The optimizers on the GPU: one launch for all parameters.

As in `reference`, but `bad` is an int32 array on the GPU: reading it waits until the GPU is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cupy
import numpy as np

from minigrad.arrays.layout import axes_in_memory
from minigrad.kernels.gpu.launch import C_TYPES, THREADS, blocks, in_one_layout, kernel
from minigrad.kernels.gpu.numbers import constant, from_host
from minigrad.kernels.interface import AdamNumbers, RMSpropNumbers, SGDNumbers

Array = Any

_CHUNK = 4096  # elements of a parameter that one block updates at a time; optimizer.cu has the same number


def sgd(
    params: Sequence[Array], grads: Sequence[Array], velocity: Sequence[Array], read: Callable[[], SGDNumbers], bad: Array
) -> None:
    _update("SGD", (params, grads, velocity), from_host(read, 3, np.float64), bad)


def adam(
    params: Sequence[Array],
    grads: Sequence[Array],
    first: Sequence[Array],
    second: Sequence[Array],
    read: Callable[[], AdamNumbers],
    bad: Array,
) -> None:
    _update("Adam", (params, grads, first, second), from_host(lambda: read().derived(), 9, np.float64), bad)


def rmsprop(
    params: Sequence[Array], grads: Sequence[Array], square: Sequence[Array], read: Callable[[], RMSpropNumbers], bad: Array
) -> None:
    _update("RMSprop", (params, grads, square), from_host(lambda: read().derived(), 5, np.float64), bad)


def _update(rule: str, lists: Sequence[Sequence[Array]], numbers: Array, bad: Array) -> None:
    """Launch an optimizer's kernel on all parameters, once for each dtype among them."""
    params, grads, *state = lists
    grads = [_like_parameter(g, p) for g, p in zip(grads, params, strict=True)]
    _check_in_place(params, *state)
    for dtype, c_type in C_TYPES.items():
        chosen = [k for k, p in enumerate(params) if p.dtype == dtype]
        table, chunks = _table([[arrays[k] for arrays in (params, grads, *state)] for k in chosen], [bad[k:] for k in chosen])
        if chunks:
            arguments = constant(table), np.int32(len(chosen)), np.int64(chunks), numbers
            kernel("optimizer", f"update<{rule}<{c_type}>>")((blocks(chunks, 1),), (THREADS,), arguments)


def _table(parameters: Sequence[Sequence[Array]], bad: Sequence[Array]) -> tuple[tuple[int, ...], int]:
    """The table of addresses and sizes that optimizer.cu reads, and the number of chunks of all parameters."""
    table: list[int] = []
    chunks = 0
    for (p, g, *state), count in zip(parameters, bad, strict=True):
        first, second = (state * 2)[:2]  # two state arrays, or the only one twice
        table += [chunks, p.size, *(a.data.ptr for a in (p, g, first, second, count))]
        chunks += -(-p.size // _CHUNK)
    return tuple(table), chunks


def _like_parameter(g: Array, p: Array) -> Array:
    """The gradient, copied if it does not have the parameter's dtype and layout."""
    if not isinstance(g, cupy.ndarray):
        raise TypeError(f"a parameter is on the GPU and its gradient is not ({type(g)})")
    return in_one_layout([p, g.astype(p.dtype, copy=False)])[1]


def _check_in_place(params: Sequence[Array], *state: Sequence[Array]) -> None:
    """TypeError for arrays that the kernel cannot update in place: on the CPU, of another dtype or layout, or not dense."""
    for p, *others in zip(params, *state, strict=True):
        for a in (p, *others):
            if not isinstance(a, cupy.ndarray) or a.dtype not in C_TYPES or axes_in_memory(a) is None:
                raise TypeError("parameters and their state must be float32 or float64 arrays without gaps on the GPU")
            if a.dtype != p.dtype or a.shape != p.shape or axes_in_memory(a) != axes_in_memory(p):
                raise TypeError(f"a parameter is {p.shape} {p.dtype}, its optimizer state {a.shape} {a.dtype}")
