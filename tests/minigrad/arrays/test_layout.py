"""Memory layout: which arrays are dense, the order of their axes in memory, and how that order is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigrad.arrays.layout import axes_in_memory, channels_last, is_dense, keeping_layout

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)


@given(data=st.data(), shape=SHAPES)
def test_permuted_axes_are_found(data: st.DataObject, shape: tuple[int, ...]) -> None:
    """Transposing by the axes in memory makes an array in C order, with the elements in the order of memory."""
    x = numbered(shape).transpose(data.draw(st.permutations(range(len(shape)))))
    axes = axes_in_memory(x)
    assert axes is not None
    assert sorted(axes) == list(range(x.ndim))
    by_memory = x.transpose(axes)
    assert by_memory.flags.c_contiguous
    np.testing.assert_array_equal(by_memory.ravel(), np.arange(x.size))
    assert is_dense(x)


@pytest.mark.parametrize("x", [
    numbered((4, 6))[:, ::2], numbered((4, 6))[1:3, 1:3], numbered((4, 6))[::-1], numbered((4, 6))[:, 0],
    np.broadcast_to(numbered((3, 1)), (3, 4)), np.broadcast_to(numbered((1, 3)), (2, 3)),
], ids=["every other", "inner", "reversed", "column", "repeated columns", "repeated rows"])  # fmt: skip
def test_arrays_with_gaps_repetitions_or_negative_strides_are_not_dense(x: np.ndarray) -> None:
    assert axes_in_memory(x) is None
    assert not is_dense(x)


@pytest.mark.parametrize("x", [
    numbered((4, 6))[1:3], numbered((4, 6))[2], numbered((4, 6))[1:2, ::1], numbered((1, 6))[::-1], numbered((4, 6))[:, :0],
    np.broadcast_to(numbered((3,)), (1, 3)),
], ids=["rows", "a row", "one row", "one row reversed", "empty", "an axis of length 1"])  # fmt: skip
def test_whole_rows_are_dense(x: np.ndarray) -> None:
    assert axes_in_memory(x) is not None
    assert is_dense(x)


def test_axes_of_length_one_come_first_whatever_their_strides() -> None:
    """So that two arrays with the same layout in memory have the same order of axes."""
    ours = numbered((2, 4, 5, 1)).transpose(0, 3, 1, 2)  # one channel: channels-last and C order are the same memory
    assert axes_in_memory(ours) == axes_in_memory(numbered((2, 1, 4, 5))) == (1, 0, 2, 3)


@pytest.mark.parametrize("shape", [(1, 4, 3, 1), (8, 4, 1, 1), (1, 1, 3, 3), (8, 1, 3, 3), (1, 1, 1, 1)])
def test_arrays_made_like_a_conv_weight_have_its_layout(shape: tuple[int, ...]) -> None:
    """Gradients and optimizer state are made so. NumPy may change the strides of axes of length 1."""
    weight = channels_last(numbered(shape))
    assert axes_in_memory(np.zeros_like(weight)) == axes_in_memory(weight)
    assert axes_in_memory(weight.copy(order="K")) == axes_in_memory(weight)
    assert axes_in_memory(weight.astype(np.float64)) == axes_in_memory(weight)


@given(data=st.data(), shape=SHAPES)
def test_conversions_keep_the_order_of_axes(data: st.DataObject, shape: tuple[int, ...]) -> None:
    x = numbered(shape).transpose(data.draw(st.permutations(range(len(shape)))))
    given_in_c_order = []

    def convert(a: np.ndarray) -> np.ndarray:
        given_in_c_order.append(a.flags.c_contiguous)
        return np.array(a, np.float64, order="C")

    out = keeping_layout(convert, x)
    assert given_in_c_order == [True]
    np.testing.assert_array_equal(out, x)
    assert axes_in_memory(out) == axes_in_memory(x)


def test_an_array_with_gaps_gets_the_layout_that_its_conversion_gives() -> None:
    x = numbered((4, 6))[:, ::2]
    out = keeping_layout(np.ascontiguousarray, x)
    assert out.flags.c_contiguous
    np.testing.assert_array_equal(out, x)


@given(shape=hnp.array_shapes(min_dims=4, max_dims=4, min_side=0, max_side=4))
def test_channels_last_copies_only_arrays_in_another_layout(shape: tuple[int, ...]) -> None:
    x = numbered(shape)
    out = channels_last(x)
    np.testing.assert_array_equal(out, x)
    assert out.transpose(0, 2, 3, 1).flags.c_contiguous
    again = channels_last(out)
    assert again.strides == out.strides
    if x.size:
        assert np.shares_memory(again, out)


def test_channels_last_of_a_slice_is_a_copy_in_order() -> None:
    x = channels_last(numbered((2, 6, 3, 4)))
    half = channels_last(x[:, ::2])
    assert not np.shares_memory(half, x)
    assert half.transpose(0, 2, 3, 1).flags.c_contiguous
    np.testing.assert_array_equal(half, x[:, ::2])
    assert np.shares_memory(channels_last(x[1:]), x)  # a slice of whole images is not copied
