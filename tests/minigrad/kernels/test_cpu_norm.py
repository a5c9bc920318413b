"""The normalisation kernels on the CPU equal the reference, and are bit-identical for any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minigrad.kernels import cpu, reference
from minigrad.kernels.cpu.loops import PARALLEL_FROM
from minigrad.kernels.cpu.norm import BLOCK
from minigrad.kernels.cpu.threads import get_num_threads, set_num_threads

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
ROWS = st.integers(2, 9) | st.sampled_from([BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 3])


def normal(*shape: int, seed: int = 0, dtype: Any = np.float64) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def run(kernels: Any, x: np.ndarray, g: np.ndarray, weight: Any, bias: Any) -> list[np.ndarray]:
    """Everything the kernels compute."""
    y, mean, var = kernels.normalize(x, weight, bias, 1e-5)
    sums = kernels.normalize_sums(g, x, mean, var, 1e-5)
    dx = kernels.normalize_backward(g, x, weight, mean, var, 1e-5, *sums)
    return [y, mean, var, *sums, dx, kernels.affine(x, mean[0], var[0])]


def assert_close(actual: np.ndarray, expected: np.ndarray, roundings: float) -> None:
    assert actual.dtype == expected.dtype
    allowed = roundings * np.finfo(expected.dtype).eps
    np.testing.assert_allclose(actual, expected, rtol=allowed, atol=allowed * max(1, np.abs(expected).max(initial=0)))


@DTYPES
@given(groups=st.integers(1, 3), rows=ROWS, channels=st.integers(0, 40), with_weight=st.booleans(), with_bias=st.booleans())
@example(groups=2, rows=BLOCK + 1, channels=PARALLEL_FROM // BLOCK, with_weight=True, with_bias=True)
@settings(max_examples=40, deadline=None)
def test_any_size_equals_the_reference(
    dtype: Any, groups: int, rows: int, channels: int, with_weight: bool, with_bias: bool
) -> None:
    x, g = (normal(groups, rows, channels, seed=i, dtype=dtype) for i in range(2))
    weight = normal(channels, seed=2, dtype=dtype) if with_weight else None
    bias = normal(channels, seed=3, dtype=dtype) if with_bias else None
    exact = [a if a is None else a.astype(np.float64) for a in (x, g, weight, bias)]
    steep = 1 / np.sqrt(x.astype(np.float64).var(axis=1).min(initial=1) + 1e-5)  # magnifies rounding errors
    for actual, expected in zip(run(cpu, x, g, weight, bias), run(reference, *exact), strict=True):
        assert_close(actual, expected.astype(dtype), 30 * steep**2)


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1000, 70), (5, 300, 64), (1, 40, 2000)])
def test_results_are_bit_identical_on_one_thread_and_on_all(shape: tuple[int, ...], dtype: Any) -> None:
    arrays = normal(*shape, dtype=dtype), normal(*shape, seed=1, dtype=dtype), *normal(2, shape[2], seed=2, dtype=dtype)
    assert arrays[0].size > PARALLEL_FROM
    on_all = run(cpu, *arrays)
    threads = get_num_threads()
    set_num_threads(1)
    try:
        on_one = run(cpu, *arrays)
    finally:
        set_num_threads(threads)
    for one, every in zip(on_one, on_all, strict=True):
        np.testing.assert_array_equal(one, every)


@pytest.mark.parametrize(("first", "allowed"), [(0.0, 1e-6), (1e4, 1e-4), (-1e6, 1e-4)])
def test_mean_and_variance_far_from_zero_and_after_an_outlier(first: float, allowed: float) -> None:
    """Distances are taken from a block's first row. An outlier there costs some digits, but not all."""
    x = 1000 + normal(1, 500, 3, dtype=np.float32)
    x[0, 0] += first
    _, mean, var = cpu.normalize(x, None, None, 1e-5)
    exact = x.astype(np.float64)
    np.testing.assert_array_less(np.abs(mean - exact.mean(axis=1)), 1e-4 + 1e-6 * exact.std(axis=1))
    np.testing.assert_allclose(var, exact.var(axis=1), rtol=allowed)


def test_strided_arrays_and_mixed_dtypes() -> None:
    x, g = (np.repeat(normal(2, 30, 4, seed=i), 2, axis=2)[..., ::2] for i in range(2))
    weight, bias = normal(4, seed=2), normal(4, seed=3)
    for arrays in ((x, g, weight, bias), (x.astype(np.float32), g, weight, bias), (x, g, weight.astype(np.float32), bias)):
        for actual, expected in zip(run(cpu, *arrays), run(reference, *arrays), strict=True):
            assert actual.dtype == expected.dtype
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_a_nan_reaches_its_channel_and_nothing_else() -> None:
    x = normal(2, 200, 5, dtype=np.float32)
    x[1, 77, 3] = np.nan
    y, mean, _ = cpu.normalize(x, None, None, 1e-5)
    reached = np.zeros((2, 5), bool)
    reached[1, 3] = True
    np.testing.assert_array_equal(np.isnan(mean), reached)
    np.testing.assert_array_equal(np.isnan(y).all(axis=1), reached)
    np.testing.assert_array_equal(np.isnan(y).any(axis=1), reached)
