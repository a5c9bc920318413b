"""What captured steps run in place of NumPy's functions gives NumPy's bits, and leaves to NumPy what it cannot do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.kernels.cpu.loops import PARALLEL_FROM
from minigrad.kernels.cpu.parallel import add, copy

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
CHANNELS_LAST = 0, 2, 3, 1
drawn = settings(max_examples=40, deadline=None)


def numbers(shape: tuple[int, ...], dtype: Any, order: tuple[int, ...] | None = None) -> np.ndarray:
    """Numbers in the memory order of these axes."""
    order = order or tuple(range(len(shape)))
    rng = np.random.default_rng(math.prod(shape))
    return rng.standard_normal([shape[i] for i in order]).astype(dtype).transpose(np.argsort(order))


@st.composite
def large_images(draw: st.DrawFn) -> tuple[int, ...]:
    """(n, channels, height, width) of at least PARALLEL_FROM numbers, with axes of any length."""
    n, height, width = draw(st.integers(1, 9)), draw(st.integers(1, 40)), draw(st.integers(1, 40))
    least = -(-PARALLEL_FROM // (n * height * width))
    return n, draw(st.integers(least, least + 20)), height, width


@DTYPES
@given(shape=large_images(), to_last=st.booleans())
@drawn
def test_a_transposing_copy_puts_every_number_in_its_place(dtype: Any, shape: tuple[int, ...], to_last: bool) -> None:
    there, here = (None, CHANNELS_LAST) if to_last else (CHANNELS_LAST, None)
    x, out = numbers(shape, dtype, there), np.full_like(numbers(shape, dtype, here), np.nan)
    run = copy(x, out)
    if run is None:  # too narrow for a vector, or nothing to transpose
        assert min(shape[1], shape[2] * shape[3]) < 64 // out.itemsize
        return
    run()
    assert np.array_equal(out, x)


def test_a_copy_writes_nothing_beside_its_result() -> None:
    memory = np.zeros(PARALLEL_FROM + 512, np.float32)
    out = memory[256:-256].reshape(8, 64, 64).transpose(0, 2, 1)
    run = copy(np.ones(out.shape, np.float32), out)
    assert run is not None
    run()
    assert memory[:256].sum() == memory[-256:].sum() == 0
    assert memory.sum() == out.size


@DTYPES
@given(shape=large_images(), last=st.booleans())
@drawn
def test_a_sum_has_numpys_bits(dtype: Any, shape: tuple[int, ...], last: bool) -> None:
    order = CHANNELS_LAST if last else None
    x, out = numbers(shape, dtype, order), np.full_like(numbers(shape, dtype, order), np.nan)
    y = np.empty_like(x)
    y[...] = np.roll(x, 1)
    run = add(x, y, out)
    assert run is not None
    run()
    assert out.tobytes("A") == (x + y).tobytes("A")


X = np.ones((64, 64, 32), np.float32)


@pytest.mark.parametrize(
    ("x", "y", "out"),
    [
        (X[:1], X[:1], X[:1].copy()),
        (X, X[:, :1], np.empty_like(X)),
        (X, 1.0, np.empty_like(X)),
        (X, X.astype(np.float64), np.empty(X.shape)),
        (X.astype(np.int64), X.astype(np.int64), np.empty(X.shape, np.int64)),
        (X.transpose(1, 0, 2), np.ones_like(X), np.empty_like(X)),
        (X, X, np.empty((64, 64, 32), np.float32).transpose(1, 0, 2)),
        (np.ones((64, 64, 64), np.float32)[..., ::2], X, np.empty_like(X)),
    ],
    ids=["small", "broadcast", "a number", "two dtypes", "integers", "two orders", "another order of the sum", "with gaps"],
)
def test_other_sums_are_left_to_numpy(x: Any, y: Any, out: np.ndarray) -> None:
    assert add(x, y, out) is None


@pytest.mark.parametrize(
    ("x", "out"),
    [
        (X[:1].transpose(0, 2, 1), X[:1].copy()),
        (X, np.empty_like(X)),
        (X.transpose(0, 2, 1), np.empty((64, 32, 64))),
        (X.transpose(2, 1, 0), np.empty((32, 64, 64), np.float32)),
        (np.ones((64, 64, 64), np.float32)[..., ::2].transpose(0, 2, 1), np.empty((64, 32, 64), np.float32)),
        (np.ones((8192, 2, 4), np.float32).transpose(0, 2, 1), np.empty((8192, 4, 2), np.float32)),
    ],
    ids=["small", "one order", "two dtypes", "three axes turned round", "with gaps", "narrow"],
)
def test_other_copies_are_left_to_numpy(x: np.ndarray, out: np.ndarray) -> None:
    assert copy(x, out) is None
