"""The optimizers on the GPU: one launch for all parameters.

As in `reference`, but `bad` is an array on the GPU, int32: looking at it waits until the GPU is done. While a step is recorded,
`lr` and `step` may be functions, which are asked before each replay (see `capture.again`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cupy
import numpy as np

from minigrad.kernels.gpu.launch import C_TYPES, THREADS, blocks, in_one_layout, kernel
from minigrad.kernels.gpu.numbers import constant, from_host
from minigrad.layout import axes_in_memory
from minigrad.recorder import value

Array = Any
Number = float | Callable[[], float]

_CHUNK = 4096  # elements of a parameter that one block updates at a time; optimizer.cu has the same number


def sgd(
    params: Sequence[Array], grads: Sequence[Array], velocity: Sequence[Array], lr: Number, momentum: float, bad: Array
) -> None:
    _update("SGD", (params, grads, velocity), from_host(lambda: (value(lr), momentum), 2, np.float64), bad)


def adam(
    params: Sequence[Array],
    grads: Sequence[Array],
    first: Sequence[Array],
    second: Sequence[Array],
    lr: Number,
    beta1: float,
    beta2: float,
    eps: float,
    step: int | Callable[[], int],
    bad: Array,
) -> None:
    def numbers() -> tuple[float, ...]:
        short1, short2 = 1 - beta1 ** value(step), 1 - beta2 ** value(step)
        return value(lr) / short1, beta1, 1 - beta1, beta2, 1 - beta2, short2**-0.5, eps

    _update("Adam", (params, grads, first, second), from_host(numbers, 7, np.float64), bad)


def rmsprop(
    params: Sequence[Array], grads: Sequence[Array], square: Sequence[Array], lr: Number, alpha: float, eps: float, bad: Array
) -> None:
    _update("RMSprop", (params, grads, square), from_host(lambda: (value(lr), alpha, 1 - alpha, eps), 4, np.float64), bad)


def _update(rule: str, lists: Sequence[Sequence[Array]], numbers: Array, bad: Array) -> None:
    """Launch an optimizer's kernel on all parameters (once for each type among them)."""
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
    """The parameters as optimizer.cu wants to have them described, and how many chunks they have in all."""
    table: list[int] = []
    chunks = 0
    for (p, g, *state), count in zip(parameters, bad, strict=True):
        first, second = (state * 2)[:2]  # of two kept arrays, or of one twice
        table += [chunks, p.size, *(a.data.ptr for a in (p, g, first, second, count))]
        chunks += -(-p.size // _CHUNK)
    return tuple(table), chunks


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
