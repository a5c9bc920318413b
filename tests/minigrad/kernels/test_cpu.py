"""The CPU kernels equal the reference, for any layout, size and dtype.

test_optim.py tests the optimizers, test_random.py the random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minigrad.functional as F
from minigrad import Tensor
from minigrad.kernels import cpu, reference
from minigrad.kernels.cpu import gemm, vector
from minigrad.kernels.cpu.linear import PRODUCT_FROM
from minigrad.kernels.cpu.threads import get_num_threads, set_num_threads
from minigrad.kernels.cpu.tile import aligned
from minigrad.kernels.cpu.vectors import LINE_BYTES

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
ROWS = st.integers(0, 2 * gemm.ROWS + 1)
COLUMNS = st.integers(0, 2 * gemm.TILE_BYTES // 4 + 1)
SIZES = st.integers(1, 40) | st.integers(vector.COLUMNS - 1, vector.COLUMNS + 1) | st.just(2 * vector.COLUMNS + 3)
DEPTHS = st.integers(0, 40) | st.integers(gemm.BLOCK - 1, gemm.BLOCK + 1) | st.just(2 * gemm.BLOCK + 3)


def gaps(a: np.ndarray) -> np.ndarray:
    """A view of the same values in memory where each is followed by a NaN, which must not be read."""
    wide = np.full((a.shape[0], 2 * a.shape[1]), np.nan, a.dtype)
    wide[:, ::2] = a
    return wide[:, ::2]


LAYOUTS: dict[str, Callable[[Any], np.ndarray]] = {"C": np.ascontiguousarray, "Fortran": np.asfortranarray, "gaps": gaps}


def matrix(rows: int, columns: int, dtype: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(dtype)


def assert_close(ours: np.ndarray, a: np.ndarray, b: np.ndarray, bias: Any = 0) -> None:
    """Within the rounding errors of sums of this length, element by element."""
    exact = a.astype(np.float64) @ b.astype(np.float64) + bias
    bound = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64) + np.abs(bias)
    assert ours.shape == exact.shape
    assert ours.dtype == a.dtype
    eps = np.finfo(a.dtype).eps
    allowed = (4 + a.shape[1] ** 0.5) * eps * bound
    assert (np.abs(ours - exact) <= allowed).all()


@DTYPES
@given(m=ROWS, k=DEPTHS, n=COLUMNS, layouts=st.tuples(*[st.sampled_from(sorted(LAYOUTS))] * 2), with_bias=st.booleans())
@example(m=1, k=1, n=1, layouts=("C", "C"), with_bias=True)
@settings(max_examples=60, deadline=None)
def test_products_of_any_size_and_layout(dtype: Any, m: int, k: int, n: int, layouts: tuple[str, str], with_bias: bool) -> None:
    a, b = LAYOUTS[layouts[0]](matrix(m, k, dtype)), LAYOUTS[layouts[1]](matrix(k, n, dtype, 1))
    bias = matrix(1, n, dtype, 2)[0] if with_bias else None
    by_all, by_one = (product_shared_from(start, a, b, bias) for start in (0, math.inf))
    assert_close(by_all, a, b, 0 if bias is None else bias)
    np.testing.assert_array_equal(by_all, by_one)


def product_shared_from(multiplications: float, *arrays: Any) -> np.ndarray:
    """A product that threads share if it has at least this many multiplications."""
    with mock.patch.object(gemm, "PARALLEL_FROM", multiplications):
        return gemm.product(*arrays)


@DTYPES
@given(
    sizes=st.tuples(SIZES, SIZES), one=st.integers(0, 2), layouts=st.tuples(*[st.sampled_from(sorted(LAYOUTS))] * 2),
    with_bias=st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_products_with_a_vector(
    dtype: Any, sizes: tuple[int, int], one: int, layouts: tuple[str, str], with_bias: bool
) -> None:
    m, k, n = (*sizes[:one], 1, *sizes[one:])
    a, b = LAYOUTS[layouts[0]](matrix(m, k, dtype)), LAYOUTS[layouts[1]](matrix(k, n, dtype, 1))
    bias = matrix(1, n, dtype, 2)[0] if with_bias else None
    with mock.patch.object(vector, "PARALLEL_FROM", 0):
        by_all = vector.vector_product(a, b, bias)
    assert by_all.flags.c_contiguous
    assert_close(by_all, a, b, 0 if bias is None else bias)
    with mock.patch.object(vector, "PARALLEL_FROM", math.inf):
        np.testing.assert_array_equal(vector.vector_product(a, b, bias), by_all)


@pytest.mark.parametrize("shapes", [((40, 50), (50, 1)), ((1, 50), (50, 40)), ((40, 1), (1, 50))])
def test_nan_and_infinity_in_products_with_a_vector(shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    for order in "CF":
        for bad in (np.nan, np.inf, -np.inf):
            a, b = (matrix(*shape, np.float32, i).copy(order) for i, shape in enumerate(shapes))
            a[0, -1], b[0, 0] = bad, 0
            with np.errstate(invalid="ignore"):
                expected = np.einsum("mk,kn->mn", a, b)
            np.testing.assert_allclose(vector.vector_product(a, b), expected, rtol=1e-4, atol=1e-5)


def test_large_products_with_a_vector_have_a_kernel_of_their_own() -> None:
    x, weight, bias = matrix(128, 256, np.float32), matrix(1, 256, np.float32, 1), np.ones(1, np.float32)
    with mock.patch.object(gemm, "launch", side_effect=AssertionError("in tiles")):
        assert_close(cpu.linear(x, weight, bias), x, weight.T, bias)
        assert_close(cpu.matmul(x[:, :1], weight), x[:, :1], weight)
        assert_close(cpu.matmul(weight, x.T), weight, x.T)


@DTYPES
def test_matmul_and_linear_of_small_and_large_matrices(dtype: Any) -> None:
    x, weight, bias = matrix(300, 70, dtype), matrix(40, 70, dtype, 1), matrix(1, 40, dtype, 2)[0]
    small = x[:1, :5], weight[:3, :5], bias[:3]
    assert small[0].size * len(small[1]) < PRODUCT_FROM <= x.size * len(weight)
    for xs, ws, bs in ((x, weight, bias), small):
        assert_close(cpu.matmul(xs, ws.T), xs, ws.T)
        assert_close(cpu.linear(xs, ws, None), xs, ws.T)
        assert_close(cpu.linear(xs, ws, bs), xs, ws.T, bs)
        np.testing.assert_allclose(cpu.linear(xs, ws, bs), reference.linear(xs, ws, bs), rtol=1e-4, atol=1e-4)


def test_matmul_of_a_column_and_a_row_and_of_stacks() -> None:
    for shape_a, shape_b in [((50, 1), (1, 60)), ((4, 50, 1), (1, 60)), ((3, 1, 20, 30), (2, 30, 20)), ((2, 0, 3), (3, 4))]:
        a, b = (np.random.default_rng(0).standard_normal(shape) for shape in (shape_a, shape_b))
        np.testing.assert_allclose(cpu.matmul(a, b), reference.matmul(a, b), rtol=1e-12, atol=1e-13)


def test_nan_and_infinity_reach_their_row_or_column_and_nothing_else() -> None:
    a, b = matrix(40, 50, np.float32), matrix(50, 60, np.float32)
    a[3, 7] = np.nan
    b[9, 11] = np.inf
    reached = ~np.isfinite(gemm.product(a, b))
    expected = np.zeros((40, 60), bool)
    expected[3] = expected[:, 11] = True
    np.testing.assert_array_equal(reached, expected)


@DTYPES
def test_a_bias_of_another_dtype_is_added(dtype: Any) -> None:
    other = np.float64 if dtype == np.float32 else np.float32
    for rows in (1, 200):
        x, weight, bias = matrix(rows, 40, dtype), matrix(30, 40, dtype, 1), np.linspace(-3, 3, 30).astype(other)
        out = F.linear(Tensor(x), Tensor(weight), Tensor(bias))
        np.testing.assert_allclose(out.data, x @ weight.T + bias, rtol=1e-4, atol=1e-4)


def test_operands_of_two_dtypes_of_integers_and_of_swapped_bytes() -> None:
    a, b = matrix(60, 50, np.float32), matrix(50, 40, np.float64)
    np.testing.assert_allclose(cpu.matmul(a, b), a @ b, rtol=1e-12)
    integers = np.arange(40 * 50).reshape(40, 50)
    np.testing.assert_array_equal(cpu.matmul(integers, integers.T), integers @ integers.T)
    swapped = a.astype(">f4")
    np.testing.assert_allclose(cpu.matmul(swapped, swapped.T), a @ a.T, rtol=1e-4, atol=1e-4)


def test_products_are_bit_identical_on_one_thread_and_on_all() -> None:
    a, b = matrix(90, 1500, np.float32), matrix(1500, 110, np.float32)
    on_all = gemm.product(a, b)
    threads = get_num_threads()
    set_num_threads(1)
    try:
        on_one = gemm.product(a, b)
    finally:
        set_num_threads(threads)
    np.testing.assert_array_equal(on_all, on_one)


@numba.njit
def _place_of_panels(count: int) -> tuple[int, int]:
    panels = aligned(count, np.float32)
    return panels.ctypes.data % LINE_BYTES, len(panels)


@pytest.mark.parametrize("count", [0, 1, 31, 32, 1000, 1 << 20])
def test_panels_begin_where_a_cache_line_does(count: int) -> None:
    """Else they cost a tenth of the speed, which no other test would show."""
    assert _place_of_panels(count) == (0, count)


def test_several_python_threads_can_multiply_at_the_same_time() -> None:
    a, b = matrix(128, 128, np.float64), matrix(128, 128, np.float64, 1)
    assert a.size * len(b) >= gemm.PARALLEL_FROM
    expected = gemm.product(a, b)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: gemm.product(a, b), range(40)):
            np.testing.assert_array_equal(result, expected)


SPECIAL = [0.0, -0.0, 1.5, -1.5, 1e-30, -1e-30, np.nan]


@DTYPES
def test_elementwise_kernels_equal_the_reference_on_special_values(dtype: Any) -> None:
    x, y = (a.astype(dtype) for a in np.meshgrid(SPECIAL, SPECIAL))
    with np.errstate(invalid="ignore"):  # comparing NaN
        for slope in (0.0, 0.2, 1.5):
            np.testing.assert_array_equal(cpu.leaky_relu(x, slope), reference.leaky_relu(x, dtype(slope)))
            expected = reference.leaky_relu_backward(x, y, dtype(slope))
            np.testing.assert_array_equal(cpu.leaky_relu_backward(x, y, slope), expected)
    np.testing.assert_allclose(cpu.erf(x), reference.erf(x), rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(cpu.tanh_backward(x, y), reference.tanh_backward(x, y), rtol=4 * np.finfo(dtype).eps)


@DTYPES
def test_elementwise_kernels_keep_memory_order_and_dtype(dtype: Any) -> None:
    """Images stay channels-last through activations."""
    x = np.ones((2, 4, 4, 3), dtype).transpose(0, 3, 1, 2)
    for out in (cpu.leaky_relu(x, 0.2), cpu.leaky_relu_backward(x, x, 0.2), cpu.tanh_backward(x, x), cpu.erf(x)):
        assert out.dtype == dtype
        assert out.strides == x.strides
