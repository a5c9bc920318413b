"""Pooling, resizing and padding: random sizes against plain loops and PyTorch, memory layout, and errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawn_windows import TIES, images, windows
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import minigrad.functional as F
from minigrad import Tensor
from minigrad.gradcheck import gradcheck
from minigrad.kernels.geometry import Geometry, Size
from minigrad.ops.pool import SpreadWindows, SumWindows

drawn = settings(max_examples=50, deadline=None)
seeds = st.integers(0, 99)
SIZES = st.tuples(st.integers(1, 8), st.integers(1, 8))
MODES = pytest.mark.parametrize("mode", ["nearest", "bilinear"])


def leaf(values: np.ndarray) -> Tensor:
    return Tensor(values, requires_grad=True)


def is_channels_last(x: Any) -> bool:
    return x.transpose(0, 2, 3, 1).flags.c_contiguous


def assert_equals_torch(torch: Any, ours: Callable[..., Tensor], theirs: Callable[..., Any], values: np.ndarray) -> None:
    """Values and gradients, both in channels-last memory."""
    x, its = leaf(values), torch.tensor(values, requires_grad=True)
    y, expected = ours(x), theirs(its)
    g = images(*y.shape[:2], Size(*y.shape[2:]), np.float64, seed=1)
    (dx,) = mg.grad(y, [x], Tensor(g))
    (expected_dx,) = torch.autograd.grad(expected, [its], torch.tensor(g))
    for actual, wanted in ((y, expected.detach()), (dx, expected_dx)):
        np.testing.assert_allclose(actual.data, wanted.numpy(), rtol=1e-12, atol=1e-13)
        assert is_channels_last(actual.data)


def arguments(geometry: Geometry) -> tuple[Any, Any, Any]:
    return geometry.kernel, geometry.stride, geometry.padding


@given(geometry=windows(), seed=seeds)
@drawn
def test_max_pool2d_equals_pytorch(torch: Any, geometry: Geometry, seed: int) -> None:
    x = images(2, 3, geometry.image, np.float64, seed)
    pool = torch.nn.functional.max_pool2d
    assert_equals_torch(torch, lambda x: F.max_pool2d(x, *arguments(geometry)), lambda x: pool(x, *arguments(geometry)), x)


@given(geometry=windows(), seed=seeds)
@drawn
def test_ties_nan_and_infinities_are_pooled_as_in_pytorch(torch: Any, geometry: Geometry, seed: int) -> None:
    x = images(2, 3, geometry.image, np.float64, seed, ties=True)
    pool = torch.nn.functional.max_pool2d
    assert_equals_torch(torch, lambda x: F.max_pool2d(x, *arguments(geometry)), lambda x: pool(x, *arguments(geometry)), x)


@given(geometry=windows(), seed=seeds)
@drawn
def test_avg_pool2d_equals_pytorch(torch: Any, geometry: Geometry, seed: int) -> None:
    x = images(2, 3, geometry.image, np.float64, seed)
    pool = torch.nn.functional.avg_pool2d
    assert_equals_torch(torch, lambda x: F.avg_pool2d(x, *arguments(geometry)), lambda x: pool(x, *arguments(geometry)), x)


@given(geometry=windows(), seed=seeds)
@drawn
def test_window_sums_and_their_transpose_equal_plain_loops(geometry: Geometry, seed: int) -> None:
    """The loops run over the windows of the padded image."""
    x, g = images(2, 3, geometry.image, np.float64, seed), images(2, 3, geometry.positions, np.float64, seed + 1)
    (top, left), (height, width) = geometry.padding, geometry.kernel
    padded = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
    sums, spread = np.zeros_like(g), np.zeros_like(padded)
    for i, j in itertools.product(*map(range, geometry.positions)):
        row, column = i * geometry.stride[0], j * geometry.stride[1]
        window = slice(None), slice(None), slice(row, row + height), slice(column, column + width)
        sums[:, :, i, j] = padded[window].sum((2, 3))
        spread[window] += g[:, :, i : i + 1, j : j + 1]
    middle = spread[:, :, top : top + x.shape[2], left : left + x.shape[3]]
    np.testing.assert_allclose(SumWindows(geometry)(Tensor(x)).data, sums, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(SpreadWindows(geometry)(Tensor(g)).data, middle, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("pool", [F.max_pool2d, F.avg_pool2d])
def test_the_stride_defaults_to_the_kernel_size(pool: Callable[..., Tensor]) -> None:
    x = Tensor(images(1, 2, Size(5, 7), np.float32))
    np.testing.assert_array_equal(pool(x, (2, 3)).data, pool(x, (2, 3), (2, 3)).data)
    assert pool(x, (2, 3)).shape == (1, 2, 2, 2)


def test_the_first_of_equal_pixels_and_the_last_nan_get_the_cotangent() -> None:
    x = leaf(np.array([3.0, 3.0, 1.0, np.nan, 0.0, np.nan, -np.inf, -np.inf]).reshape(1, 1, 1, -1))
    y = F.max_pool2d(x, (1, 2))
    np.testing.assert_array_equal(y.data.ravel(), [3, np.nan, np.nan, -np.inf])
    (dx,) = mg.grad(y, [x], Tensor(np.arange(1.0, 5.0).reshape(y.shape)))
    np.testing.assert_array_equal(dx.data.ravel(), [1, 0, 0, 2, 0, 3, 4, 0])


def test_padding_is_never_the_maximum() -> None:
    x = Tensor(np.full((1, 1, 2, 2), -5.0))
    np.testing.assert_array_equal(F.max_pool2d(x, 2, 1, 1).data, np.full((1, 1, 3, 3), -5.0))


@MODES
@given(before=SIZES, after=SIZES, seed=seeds)
@drawn
def test_interpolate_to_a_size_equals_pytorch(
    torch: Any, mode: str, before: tuple[int, int], after: tuple[int, int], seed: int
) -> None:
    x = images(2, 3, Size(*before), np.float64, seed)
    theirs = torch.nn.functional.interpolate
    assert_equals_torch(torch, lambda x: F.interpolate(x, after, mode=mode), lambda x: theirs(x, after, mode=mode), x)


@MODES
@pytest.mark.parametrize("factor", [1, 2, 3.0, 0.5, 1.5, 1.1, (2, 3), (1.3, 0.7), (1.19, 2.3)])
def test_interpolate_by_a_factor_equals_pytorch(torch: Any, mode: str, factor: Any) -> None:
    x = images(2, 3, Size(5, 8), np.float64)
    theirs = torch.nn.functional.interpolate
    assert_equals_torch(
        torch,
        lambda x: F.interpolate(x, scale_factor=factor, mode=mode),
        lambda x: theirs(x, scale_factor=factor, mode=mode),
        x,
    )


@MODES
def test_an_axis_that_keeps_its_size_is_copied(mode: str) -> None:
    """1.1 * 8 pixels is 8.8, rounded down to 8."""
    x = images(2, 3, Size(8, 8), np.float32)
    np.testing.assert_array_equal(F.interpolate(Tensor(x), scale_factor=1.1, mode=mode).data, x)


def test_scale_factors_may_be_numpy_numbers() -> None:
    x = Tensor(images(1, 2, Size(3, 4), np.float32))
    expected = F.interpolate(x, scale_factor=(2, 3)).data
    np.testing.assert_array_equal(F.interpolate(x, scale_factor=(np.float32(2), np.int64(3))).data, expected)  # type: ignore[arg-type]
    assert F.interpolate(x, scale_factor=np.float32(2)).shape == (1, 2, 6, 8)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [49, 98])
def test_nearest_finds_the_pixel_exactly(size: int) -> None:
    """In floating point, 49 * (1 / 49) is less than 1."""
    x = np.arange(2.0).reshape(1, 1, 2, 1)
    np.testing.assert_array_equal(F.interpolate(Tensor(x), (size, 1)).data.ravel(), np.arange(size) * 2 // size)


@given(size=SIZES, factors=st.tuples(st.integers(1, 4), st.integers(1, 4)))
@drawn
def test_nearest_by_whole_factors_copies_every_value(size: tuple[int, int], factors: tuple[int, int]) -> None:
    x = images(2, 3, Size(*size), np.float32, ties=True)
    expected = x.repeat(factors[0], axis=2).repeat(factors[1], axis=3)
    np.testing.assert_array_equal(F.interpolate(Tensor(x), scale_factor=factors).data, expected)
    np.testing.assert_array_equal(F.interpolate(Tensor(x), expected.shape[2:]).data, expected)


@given(data=st.data(), shape=st.lists(st.integers(0, 5), max_size=4).map(tuple), layout=st.permutations(range(4)))
@drawn
def test_padding_equals_numpy_and_keeps_the_memory_layout(
    data: st.DataObject, shape: tuple[int, ...], layout: list[int]
) -> None:
    mode = data.draw(st.sampled_from(["constant", "reflect"]))
    most = [max(n - 1, 0) if mode == "reflect" else 3 for n in shape]
    widths = [data.draw(st.tuples(st.integers(0, m), st.integers(0, m))) for m in most]
    order = [axis for axis in layout if axis < len(shape)]
    x = np.random.default_rng(0).standard_normal([shape[axis] for axis in order]).transpose(np.argsort(order))
    assert x.shape == shape
    numbers = [n for pair in reversed(widths) for n in pair]
    out = F.pad(Tensor(x), numbers, mode)
    expected = np.pad(x, widths, mode) if shape else x  # type: ignore[call-overload]
    np.testing.assert_array_equal(out.data, expected)
    if min(shape, default=1) > 1:  # an axis of length 1 may be anywhere in memory
        assert out.data.transpose(order).flags.c_contiguous
    if all(shape):
        gradcheck(lambda x: F.pad(x, numbers, mode), [leaf(x)])


@pytest.mark.parametrize("shape", list(itertools.product((1, 2), (1, 3), (1, 2), (1, 4))))
def test_results_and_gradients_are_channels_last_for_axes_of_length_1_too(shape: tuple[int, int, int, int]) -> None:
    functions: list[Callable[[Tensor], Tensor]] = [
        lambda x: F.pad(x, (1, 2, 0, 1)),
        lambda x: F.pad(x, (0, x.shape[3] - 1, x.shape[2] - 1, 0), "reflect"),
        lambda x: F.max_pool2d(x, 2, 1, 1),
        lambda x: F.avg_pool2d(x, 2, 1, 1),
        lambda x: F.interpolate(x, scale_factor=2),
        lambda x: F.interpolate(x, size=(3, 5)),
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    ]
    for f in functions:
        x = leaf(images(*shape[:2], Size(*shape[2:]), np.float32))
        out = f(x)
        g = leaf(images(*out.shape[:2], Size(*out.shape[2:]), np.float32))
        (dx,) = mg.grad(out, [x], g, create_graph=True)
        (dg,) = mg.grad(dx, [g], x)
        assert is_channels_last(out.data) and is_channels_last(dx.data) and is_channels_last(dg.data)


def test_booleans_and_integers_can_be_padded() -> None:
    assert F.pad(Tensor(np.array([True])), (1, 0)).data.tolist() == [False, True]
    assert F.pad(Tensor(np.array([1, 2, 3])), (2, 1), "reflect").data.tolist() == [3, 2, 1, 2, 3, 2]


@pytest.mark.parametrize(
    ("dtype", "value"), [(np.int64, 7.0), (np.uint8, 255), (bool, 1), (np.float32, 0.1), (np.float32, np.nan)]
)
def test_a_padding_value_that_the_dtype_can_represent_is_used(dtype: Any, value: float) -> None:
    x = np.zeros(2, dtype)
    np.testing.assert_array_equal(F.pad(Tensor(x), (1, 0), value=value).data, np.array([value, 0, 0], dtype))


@pytest.mark.parametrize(("dtype", "value"), [
    (np.int64, 0.5), (np.int64, np.nan), (np.int64, np.inf), (np.uint8, 256), (np.uint8, -1), (bool, 2),
])  # fmt: skip
def test_a_padding_value_that_the_dtype_cannot_represent_is_refused(dtype: Any, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^pad: value {value} cannot be represented in {np.dtype(dtype)}, the dtype of x"):
        F.pad(Tensor(np.zeros(2, dtype)), (1, 0), value=value)


def test_padding_widths_may_be_numpy_numbers() -> None:
    assert F.pad(Tensor(np.zeros(2)), np.array([1, 2])).shape == (5,)  # type: ignore[arg-type]


def test_second_derivatives_through_a_max_pool() -> None:
    """Of sum y^2 / 2 for y = max_pool2d(x): the Hessian-vector product is v at the maxima and 0 elsewhere."""
    x = leaf(np.array([[1.0, 4.0, 3.0, 2.0]]).reshape(1, 1, 1, 4))
    y = F.max_pool2d(x, (1, 2))
    (dx,) = mg.grad((y * y).sum() / 2, [x], create_graph=True)
    v = np.array([5.0, 6.0, 7.0, 8.0]).reshape(x.shape)
    (hv,) = mg.grad((dx * Tensor(v)).sum(), [x])
    np.testing.assert_array_equal(hv.data.ravel(), [0, 6, 7, 0])


def test_integers_can_be_max_pooled_and_copied_but_not_averaged() -> None:
    x = Tensor(np.arange(12).reshape(1, 1, 3, 4))
    np.testing.assert_array_equal(F.max_pool2d(x, 2).data, [[[[5, 7]]]])
    np.testing.assert_array_equal(F.interpolate(x, (1, 2)).data, [[[[0, 2]]]])
    for average in (lambda: F.avg_pool2d(x, 2), lambda: F.interpolate(x, (1, 2), mode="bilinear")):
        with pytest.raises(TypeError, match="floating-point numbers, not int64"):
            average()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_repeated_resize_gives_the_same_result(dtype: Any) -> None:
    """The weights are cached, separately for each dtype."""
    x = Tensor(images(1, 2, Size(3, 4), dtype))
    first, again = (F.interpolate(x, (5, 6), mode="bilinear") for _ in range(2))
    assert first.dtype == dtype
    np.testing.assert_array_equal(first.data, again.data)


def test_the_drawn_values_include_nan_and_both_infinities() -> None:
    assert np.isnan(TIES).any() and np.isinf(TIES).sum() == 2


def image(*shape: int) -> Tensor:
    return Tensor(np.ones(shape))


def wrongly(function: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """Call `function` on an image with arguments that its type annotations forbid."""
    return function(image(1, 1, 4, 4), *arguments)


BAD_CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    "three axes": (lambda: F.max_pool2d(image(3, 4, 4), 2), r"^max_pool2d: x is \(3, 4, 4\); it must be images \(n, channels"),
    "wide padding": (
        lambda: F.max_pool2d(image(1, 1, 4, 4), 3, padding=2),
        r"^max_pool2d: padding \(2, 2\) .* kernel \(3, 3\)",
    ),
    "one axis": (
        lambda: F.avg_pool2d(image(1, 1, 4, 4), (4, 1), padding=(0, 1)),
        r"^avg_pool2d: padding \(0, 1\) is more than",
    ),
    "large window": (lambda: F.avg_pool2d(image(1, 1, 4, 4), 5), r"^avg_pool2d: the kernel \(5, 5\) .* \(4, 4\)"),
    "stride 0": (lambda: F.max_pool2d(image(1, 1, 4, 4), 2, 0), r"^max_pool2d: stride is \(0, 0\); it must be 1 or more"),
    "negative": (lambda: F.max_pool2d(image(1, 1, 4, 4), 2, padding=-1), r"^max_pool2d: padding is \(-1, -1\)"),
    "no size": (lambda: F.interpolate(image(1, 1, 4, 4)), "^interpolate: give either size or scale_factor"),
    "two sizes": (lambda: F.interpolate(image(1, 1, 4, 4), 2, 2), "^interpolate: give either size or scale_factor"),
    "mode": (lambda: F.interpolate(image(1, 1, 4, 4), 2, mode="cubic"), "^interpolate: mode is 'cubic'; choose 'nearest' or"),
    "no pixels": (lambda: F.interpolate(image(1, 1, 4, 4), (0, 2)), r"^interpolate: size is \(0, 2\); it must be 1 or more"),
    "little": (lambda: F.interpolate(image(1, 1, 4, 4), scale_factor=0.2), r"^interpolate: images of \(4, 4\) .* \(0, 0\)"),
    "nothing": (lambda: F.interpolate(image(1, 1, 0, 4), (2, 2)), r"^interpolate: images of \(0, 4\) pixels cannot become"),
    "axes": (lambda: F.interpolate(image(4, 4), 2), r"^interpolate: x is \(4, 4\); it must be images"),
    "mirror": (
        lambda: F.pad(image(1, 1, 4, 3), (3, 0), "reflect"),
        r"^pad: x is \(1, 1, 4, 3\); .* \(3, 0\), each axis must be",
    ),
    "pad mode": (lambda: F.pad(image(2), (1, 0), "circle"), "^pad: mode is 'circle'; choose 'constant' or 'reflect'"),
    "kernel": (lambda: wrongly(F.max_pool2d, "a"), "^max_pool2d: kernel_size is 'a'; it must be one whole number"),
    "stride": (lambda: wrongly(F.avg_pool2d, 2, 1.5), r"^avg_pool2d: stride is 1\.5; it must be one whole number"),
    "padding": (lambda: wrongly(F.avg_pool2d, 2, 1, (1, 1, 1)), r"^avg_pool2d: padding is \(1, 1, 1\); it must be one whole"),
    "size 1.5": (lambda: wrongly(F.interpolate, 1.5), r"^interpolate: size is 1\.5; it must be one whole number"),
    "factor nan": (lambda: wrongly(F.interpolate, None, np.nan), "^interpolate: scale_factor is nan; it must be a finite"),
    "factor inf": (lambda: wrongly(F.interpolate, None, (2, np.inf)), "^interpolate: scale_factor is inf; it must be a finite"),
    "factor -1": (lambda: wrongly(F.interpolate, None, -1), "^interpolate: scale_factor is -1; it must be a finite number, 0"),
    "factor '2'": (lambda: wrongly(F.interpolate, None, "2"), "^interpolate: scale_factor is '2'; it must be one number, or"),
    "three factors": (
        lambda: wrongly(F.interpolate, None, (1, 2, 3)),
        r"^interpolate: scale_factor is \(1, 2, 3\); it must be one number, or two",
    ),
    "one width": (lambda: wrongly(F.pad, 3), "^pad: 3 must hold two numbers, whole and 0 or more, for each of up to 4 axes"),
    "half a pixel": (lambda: wrongly(F.pad, (1.5, 1)), r"^pad: \(1\.5, 1\) must hold two numbers, whole"),
    "letters": (lambda: wrongly(F.pad, "ab"), "^pad: 'ab' must hold two numbers, whole"),
    "negative width": (lambda: wrongly(F.pad, (1, -1)), r"^pad: \(1, -1\) must hold two numbers, whole"),
    "value": (lambda: F.pad(image(2), (1, 0), "reflect", 1.0), "^pad: mode 'reflect' takes no value, and value is 1.0"),
}


@pytest.mark.parametrize(("call", "message"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_arguments_that_do_not_fit_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
