"""The kernels on the GPU: CUDA C++ from `cuda/*.cu`, compiled by CuPy on first use. `reference` says what each one computes.

A raw kernel knows nothing of shapes and strides: it is given addresses and numbers, and reads an integer argument of the
wrong size as garbage. So this file makes arrays agree in memory before a launch, and passes NumPy scalars of exact types.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Sequence
from typing import Any

import cupy
import numpy as np

Array = Any

_C_TYPES: dict[Any, str] = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
_THREADS = 256  # in a block
_MOST_BLOCKS = 4096  # more than any GPU runs at once; the kernels loop over what is left
_CHUNK = 4096  # elements of a parameter that one block updates at a time; optimizer.cu has the same number

TEMPLATES = {"elementwise": ["leaky_relu", "leaky_relu_backward", "tanh_backward"], "optimizer": ["sgd", "adam", "rmsprop"]}
KERNELS = {  # file -> its kernels, templates once for each type
    **{file: [f"{name}<{c_type}>" for name in names for c_type in _C_TYPES.values()] for file, names in TEMPLATES.items()},
    "random": ["philox"],
}
OPTIONS = ("--std=c++17",)


def source(file: str) -> str:
    """The text of cuda/<file>.cu."""
    return importlib.resources.files("minigrad.kernels").joinpath("cuda", f"{file}.cu").read_text(encoding="utf-8")


@functools.cache
def _module(file: str) -> Any:
    return cupy.RawModule(code=source(file), options=OPTIONS, name_expressions=KERNELS[file])


@functools.cache
def _kernel(file: str, name: str) -> Any:
    """A compiled kernel. The file is compiled when the first of its kernels is asked for; CuPy keeps the result on disk."""
    return _module(file).get_function(name)


def matmul(a: Array, b: Array) -> Array:
    return cupy.matmul(a, b)


def linear(x: Array, weight: Array, bias: Array | None) -> Array:
    y = cupy.matmul(x, weight.T)
    if bias is not None:
        y += bias
    return y


def leaky_relu(x: Array, slope: float) -> Array:
    return _elementwise("leaky_relu", [x], slope)


def leaky_relu_backward(g: Array, y: Array, slope: float) -> Array:
    return _elementwise("leaky_relu_backward", [g, y], slope)


def tanh_backward(g: Array, y: Array) -> Array:
    return _elementwise("tanh_backward", [g, y])


def philox(seed: int, counter: int, count: int) -> Array:
    out = cupy.empty(count, np.uint32)
    if count:
        blocks = _blocks(-(-count // 4), _THREADS)
        _kernel("random", "philox")((blocks,), (_THREADS,), (out, np.int64(count), np.uint64(seed), np.uint64(counter)))
    return out


def _blocks(work: int, per_block: int) -> int:
    """How many blocks to launch."""
    return min(-(-work // per_block), _MOST_BLOCKS)


def _elementwise(name: str, arrays: Sequence[Array], *numbers: float) -> Array:
    """Run an elementwise kernel: broadcast the arrays, walk them as flat memory. The result has their layout."""
    arrays = _in_one_layout(_of_one_type(arrays))
    out = cupy.empty_like(arrays[0])
    if out.size:
        kernel = _kernel("elementwise", f"{name}<{_C_TYPES[out.dtype]}>")
        exact = [out.dtype.type(number) for number in numbers]
        kernel((_blocks(out.size, _THREADS),), (_THREADS,), (*arrays, out, np.int64(out.size), *exact))
    return out


def _of_one_type(arrays: Sequence[Array]) -> list[Array]:
    """The arrays in float32 if all are, else in float64. TypeError if one is not on the GPU: CuPy would copy it unasked."""
    if not all(isinstance(a, cupy.ndarray) for a in arrays):
        raise TypeError(f"the arrays must all be on the GPU, and are {', '.join(str(type(a)) for a in arrays)}")
    dtype = np.float32 if all(a.dtype == np.float32 for a in arrays) else np.float64
    return [a.astype(dtype, copy=False) for a in arrays]


def _in_one_layout(arrays: Sequence[Array]) -> list[Array]:
    """The arrays in one shape and one layout without gaps, so that element i in memory is the same element of all.

    That of the first array without gaps, contiguous or with permuted axes such as channels-last, so that often none is copied.
    """
    if len({a.shape for a in arrays}) > 1:
        arrays = cupy.broadcast_arrays(*arrays)
    orders = [axes_in_memory(a) for a in arrays]
    dense = [a for a, order in zip(arrays, orders, strict=True) if order is not None]
    pattern = dense[0] if dense else cupy.ascontiguousarray(arrays[0])
    wanted = axes_in_memory(pattern)
    return [a if order == wanted else _copy_like(pattern, a) for a, order in zip(arrays, orders, strict=True)]


def axes_in_memory(a: Array) -> tuple[int, ...] | None:
    """The axes from the one with the largest steps in memory to that with the smallest; axes of length 1 do not count.

    None if the elements do not fill one piece of memory: slices leave gaps, broadcast views repeat elements.
    """
    axes = sorted((i for i in range(a.ndim) if a.shape[i] != 1), key=lambda i: -a.strides[i])
    step = a.dtype.itemsize
    for i in reversed(axes):
        if a.strides[i] != step:
            return None
        step *= a.shape[i]
    return tuple(axes)


def _copy_like(pattern: Array, values: Array) -> Array:
    out = cupy.empty_like(pattern)
    out[...] = values
    return out


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
    for dtype, c_type in _C_TYPES.items():
        chunks = _chunks(tuple(p.size if p.dtype == dtype else 0 for p in params))
        if len(chunks):
            exact = [dtype.type(number) for number in numbers]
            arguments = (*tables, device_sizes, chunks, np.int32(len(chunks)), bad, *exact)
            _kernel("optimizer", f"{name}<{c_type}>")((_blocks(len(chunks), 1),), (_THREADS,), arguments)
    return bad


def _like_parameter(g: Array, p: Array) -> Array:
    """The gradient, copied if it is not of the parameter's type or not contiguous."""
    if not isinstance(g, cupy.ndarray):
        raise TypeError(f"a parameter is on the GPU and its gradient is not ({type(g)})")
    return cupy.ascontiguousarray(g, dtype=p.dtype)


def _check_in_place(params: Sequence[Array], *state: Sequence[Array]) -> None:
    """Refuse arrays that a kernel would change wrongly: those elsewhere, of another type, or not contiguous."""
    for p, *others in zip(params, *state, strict=True):
        for a in (p, *others):
            if not isinstance(a, cupy.ndarray) or a.dtype not in _C_TYPES or not a.flags.c_contiguous:
                raise TypeError("parameters and their state must be contiguous float32 or float64 arrays on the GPU")
            if a.dtype != p.dtype or a.size != p.size:
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
