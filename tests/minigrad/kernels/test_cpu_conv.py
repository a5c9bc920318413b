"""The convolutions on the CPU equal the reference, also at sizes around those of vectors and blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from drawn_convolutions import geometries, normal
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minigrad.arrays.layout import channels_last
from minigrad.kernels import cpu, reference
from minigrad.kernels.cpu.gemm import BLOCK
from minigrad.kernels.cpu.threads import THREADS, get_num_threads, set_num_threads
from minigrad.kernels.geometry import Geometry, Size

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
AROUND_A_VECTOR = [1, 3, 16, 31, 32, 33, 64, 65]
DCGAN = Geometry(Size(6, 4), (4, 4), (2, 2), (1, 1))
DILATED = Geometry(Size(7, 8), (3, 2), (1, 2), (2, 0), (2, 3))

Kernels = Any  # the module, cpu or reference
Function = Callable[[Kernels], np.ndarray]


def functions(geometry: Geometry, n: int, channels: int, out: int, dtype: Any = np.float64) -> dict[str, Function]:
    """The three convolutions, with and without biases, of random images, weights and cotangents."""
    x = normal(0, n, channels, *geometry.image, dtype=dtype)
    w = normal(1, out, channels, *geometry.kernel, dtype=dtype)
    g = normal(2, n, out, *geometry.positions, dtype=dtype)
    return of_arrays(x, w, g, normal(3, out, dtype=dtype), normal(4, channels, dtype=dtype), geometry)


def of_arrays(x: Any, w: Any, g: Any, bias: Any, transposed_bias: Any, geometry: Geometry) -> dict[str, Function]:
    return {
        "conv2d": lambda kernels: kernels.conv2d(x, w, None, geometry),
        "conv2d, bias": lambda kernels: kernels.conv2d(x, w, bias, geometry),
        "conv_transpose2d": lambda kernels: kernels.conv_transpose2d(g, w, None, geometry),
        "conv_transpose2d, bias": lambda kernels: kernels.conv_transpose2d(g, w, transposed_bias, geometry),
        "conv2d_weight": lambda kernels: kernels.conv2d_weight(x, g, geometry),
    }


def check(geometry: Geometry, n: int, channels: int, out: int, dtype: Any = np.float64) -> None:
    for name, function in functions(geometry, n, channels, out, dtype).items():
        assert_close(function(cpu), function(reference), name)


def assert_close(actual: np.ndarray, expected: np.ndarray, name: str = "") -> None:
    """Equal up to the rounding of sums in another order, and channels-last."""
    assert actual.shape == expected.shape, name
    assert actual.dtype == expected.dtype, name
    assert actual.transpose(0, 2, 3, 1).flags.c_contiguous, name
    tolerance = 64 * np.finfo(expected.dtype).eps * max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance, err_msg=name)


@DTYPES
@given(geometry=geometries(leave_some_out=True), n=st.integers(0, 3), channels=st.integers(1, 5), out=st.integers(1, 5))
@example(geometry=DCGAN, n=2, channels=3, out=2)
@settings(max_examples=60, deadline=None)
def test_any_geometry(dtype: Any, geometry: Geometry, n: int, channels: int, out: int) -> None:
    check(geometry, n, channels, out, dtype)


@DTYPES
@pytest.mark.parametrize("out", AROUND_A_VECTOR)
@pytest.mark.parametrize("channels", AROUND_A_VECTOR)
def test_channels_around_the_width_of_a_vector(dtype: Any, channels: int, out: int) -> None:
    for geometry in (DCGAN, DILATED):
        check(geometry, 2, channels, out, dtype)


@DTYPES
@pytest.mark.parametrize("channels", [BLOCK // 16, BLOCK // 16 + 1, BLOCK // 4, BLOCK // 4 + 1, BLOCK + 1])
def test_rows_of_im2col_around_the_length_of_a_block(dtype: Any, channels: int) -> None:
    """16 taps are as long as a block at BLOCK / 16 channels, a row of the kernel at BLOCK / 4."""
    check(DCGAN, 1, channels, 2, dtype)


@DTYPES
@pytest.mark.parametrize("out", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3])
def test_output_channels_around_the_length_of_a_block(dtype: Any, out: int) -> None:
    check(DCGAN, 1, 3, out, dtype)


@DTYPES
@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 40, 200])
def test_few_and_many_images(dtype: Any, n: int) -> None:
    """Few images are padded with zeros; with many, the targets at the borders form their own classes."""
    for channels, out in ((64, 2), (128, 20), (96, 17), (5, 2)):
        check(Geometry(Size(3, 4), (2, 3), (2, 1), (1, 1)), n, channels, out, dtype)
    check(Geometry(Size(4, 4), (4, 4)), n, 3, 5, dtype)  # a single position, as in a generator's first layer


@DTYPES
def test_more_positions_than_a_block_has(dtype: Any) -> None:
    check(Geometry(Size(70, 40), (3, 3), (1, 1), (1, 1)), 2, 2, 3, dtype)


MANY = {  # sizes at which the work is split into several of these
    "groups of panels of weights": (Geometry(Size(3, 3), (3, 3), (1, 1), (1, 1)), 1, 128, 320),
    "blocks of lines, cut within an image": (Geometry(Size(90, 70), (2, 2), (1, 1), (1, 1)), 1, 32, 20),
    "blocks of positions": (Geometry(Size(20, 30), (3, 3), (2, 1), (1, 1)), 3, 40, 14),
    "shares of positions, and pieces of these": (Geometry(Size(20, 30), (3, 3), (2, 1), (1, 1)), 4, 40, 14),
    "blocks of columns of im2col": (Geometry(Size(24, 30), (4, 4), (2, 1), (1, 1)), 2, 40, 14),
}


@DTYPES
@pytest.mark.parametrize("sizes", MANY.values(), ids=MANY)
def test_work_in_several_pieces(dtype: Any, sizes: tuple[Geometry, int, int, int]) -> None:
    check(*sizes, dtype)


@pytest.mark.parametrize("sizes", [(0, 3, 2), (2, 0, 3), (2, 3, 0), (0, 0, 0)])
def test_empty_arrays(sizes: tuple[int, int, int]) -> None:
    for geometry in (DCGAN, DILATED):
        check(geometry, *sizes)


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "C order": np.ascontiguousarray,
    "Fortran order": np.asfortranarray,
    "gaps": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: a[..., ::-1].copy()[..., ::-1],
    "read-only": lambda a: np.broadcast_to(channels_last(a), a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_arrays_in_any_layout(layout: Callable[[np.ndarray], np.ndarray]) -> None:
    arrays = [normal(i, *shape) for i, shape in enumerate([(2, 3, 6, 4), (5, 3, 4, 4), (2, 5, 3, 2), (5,), (3,)])]
    laid = [layout(a) if a.ndim == 4 else a for a in arrays]
    expected = of_arrays(*arrays, DCGAN)
    for name, function in of_arrays(*laid, DCGAN).items():
        assert_close(function(cpu), expected[name](reference), name)


def test_a_bias_that_is_not_contiguous() -> None:
    x, w, bias = normal(0, 2, 3, 6, 4), normal(1, 5, 3, 4, 4), normal(2, 10)[::2]
    assert_close(cpu.conv2d(x, w, bias, DCGAN), reference.conv2d(x, w, bias, DCGAN))


def mixed(*dtypes: Any) -> dict[str, Function]:
    """The convolutions of images, weights, cotangents and two biases of these dtypes."""
    shapes = (2, 3, 6, 4), (5, 3, 4, 4), (2, 5, 3, 2), (5,), (3,)
    arrays = [(4 * normal(i, *shape)).astype(dtype) for i, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=True))]
    return of_arrays(*arrays, DCGAN)


@pytest.mark.parametrize("dtype", [np.int64, np.longdouble, np.float16])
def test_other_dtypes_are_left_to_the_reference(dtype: Any) -> None:
    for name, function in mixed(*[dtype] * 5).items():
        actual, expected = function(cpu), function(reference)
        assert actual.dtype == expected.dtype, name
        assert actual.transpose(0, 2, 3, 1).flags.c_contiguous, name
        np.testing.assert_array_equal(actual, expected, err_msg=name)


def test_arrays_of_swapped_byte_order() -> None:
    swapped, plain = mixed(*[">f4"] * 5), mixed(*["f4"] * 5)
    for name in plain:
        np.testing.assert_array_equal(swapped[name](cpu), plain[name](cpu), err_msg=name)


@pytest.mark.parametrize("doubles", [(0,), (1,), (2,), (1, 2), (3, 4), (0, 1, 2)])
def test_dtypes_are_promoted_as_in_the_reference(doubles: tuple[int, ...]) -> None:
    for name, function in mixed(*[np.float64 if i in doubles else np.float32 for i in range(5)]).items():
        expected = function(reference)
        actual = function(cpu)
        assert actual.dtype == expected.dtype
        assert_close(actual.astype(np.float32), expected.astype(np.float32), name)


@DTYPES
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("sizes", [(3, 5, 7), (3, 40, 34), (60, 5, 7), (60, 32, 34)])
@pytest.mark.parametrize("place", range(3), ids=["images", "weights", "cotangents"])
def test_nan_and_infinity_reach_what_depends_on_them_and_nothing_else(
    dtype: Any, bad: float, sizes: tuple[int, int, int], place: int
) -> None:
    """Vectors extend beyond the last channel, and blocks beyond the last position: those values must not count.

    A product of padding and infinity may be 0 or NaN, because some loops skip the padding.
    """
    n, channels, out = sizes
    shapes = (n, channels, 6, 4), (out, channels, 4, 4), (n, out, 3, 2)
    arrays, zeros = [normal(i, *shape, dtype=dtype) for i, shape in enumerate(shapes)], [np.zeros(shape) for shape in shapes]
    arrays[place][1, 2, 1, 0] = bad
    ones = [zeros[i] + (i != place) for i in range(3)]
    ones[place][1, 2, 1, 0] = 1
    functions, of_ones, of_zeros = (of_arrays(*three, None, None, DCGAN) for three in (arrays, ones, zeros))
    for name, operands in {"conv2d": (0, 1), "conv_transpose2d": (1, 2), "conv2d_weight": (0, 2)}.items():
        depends = (of_ones if place in operands else of_zeros)[name](reference) != 0
        reached, may_be_reached = (~np.isfinite(functions[name](kernels)) for kernels in (cpu, reference))
        if (name, place) == ("conv_transpose2d", 1):  # the reference skips the products outside the image
            may_be_reached[:, 2] = True
        assert depends.any() == (place in operands)
        assert reached[depends].all(), name
        assert not reached[~may_be_reached].any(), name


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = get_num_threads()
    yield set_num_threads
    set_num_threads(before)


@DTYPES
@pytest.mark.parametrize("sizes", [(1, 64, 3), (3, 5, 40), (9, 33, 70), (2, 128, 1), (30, 64, 20)])
def test_any_number_of_threads_is_bit_identical(
    dtype: Any, sizes: tuple[int, int, int], threads: Callable[[int], None]
) -> None:
    if THREADS < 2:
        pytest.skip("one processor")
    for geometry in (DCGAN, DILATED):
        for name, function in functions(geometry, *sizes, dtype).items():
            threads(1)
            alone = function(cpu)
            threads(2)
            np.testing.assert_array_equal(function(cpu), alone, err_msg=name)


def test_several_python_threads_can_convolve_at_the_same_time() -> None:
    """The kernels' threads share the work of one of them at a time."""
    work = list(functions(DCGAN, 3, 20, 9).values())
    expected = [function(cpu) for function in work]
    with ThreadPoolExecutor(4) as pool:
        for i, result in enumerate(pool.map(lambda i: work[i % len(work)](cpu), range(20))):
            np.testing.assert_array_equal(result, expected[i % len(work)])
