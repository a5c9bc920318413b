"""Random shapes, axes and keys: forward equals NumPy, and backward equals finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad.functional as F
from minigrad import Tensor
from minigrad.gradcheck import gradcheck

drawn = settings(max_examples=40, deadline=None)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
FULL_SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4)


def leaf(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Distinct values, at least 0.1 apart from each other and from 0, in random order."""
    size = int(np.prod(shape))
    values = (np.arange(size) - size / 2 + 0.25 + seed / 7) / 5
    return Tensor(np.random.default_rng(seed).permutation(values).reshape(shape), requires_grad=True)


def leaves(shapes: tuple[tuple[int, ...], ...]) -> list[Tensor]:
    return [leaf(shape, seed) for seed, shape in enumerate(shapes)]


def check(f: Callable[..., Tensor], expected: Any, *inputs: Tensor) -> None:
    """`f(*inputs)` has the expected values and shape, and correct gradients."""
    out = f(*inputs)
    assert out.shape == np.shape(expected)
    np.testing.assert_allclose(out.data, expected, rtol=1e-13, atol=1e-14)
    gradcheck(f, inputs)


@st.composite
def shape_and_axes(draw: st.DrawFn, shapes: st.SearchStrategy) -> tuple[tuple[int, ...], Any]:
    """A shape, and axes to reduce: None, one number or several, negative ones too."""
    shape = draw(shapes)
    some = hnp.valid_tuple_axes(len(shape))
    axis = draw(st.none() | some | (st.integers(-len(shape), len(shape) - 1) if shape else st.nothing()))
    return shape, axis


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "maximum", "minimum"])
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=3))
@drawn
def test_two_inputs_are_broadcast(name: str, shapes: hnp.BroadcastableShapes) -> None:
    in_numpy = {"sub": "subtract", "mul": "multiply", "div": "divide"}.get(name, name)
    x, y = leaves(shapes.input_shapes)
    check(getattr(F, name), getattr(np, in_numpy)(x.data, y.data), x, y)


@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=3))
@drawn
def test_where_broadcasts_all_three(shapes: hnp.BroadcastableShapes) -> None:
    first, x, y = leaves(shapes.input_shapes)
    condition = first.data > 0
    check(lambda x, y: F.where(condition, x, y), np.where(condition, x.data, y.data), x, y)


@pytest.mark.parametrize("name", ["sum", "mean", "var", "max", "min", "logsumexp"])
@given(drawn_axes=shape_and_axes(FULL_SHAPES), keepdims=st.booleans())
@drawn
def test_reductions_over_any_axes(name: str, drawn_axes: tuple[tuple[int, ...], Any], keepdims: bool) -> None:
    shape, axis = drawn_axes
    x = leaf(shape)
    if name == "logsumexp":
        expected = np.log(np.exp(x.data).sum(axis=axis, keepdims=keepdims))
    else:
        expected = getattr(np, name)(x.data, axis=axis, keepdims=keepdims)
    check(lambda x: getattr(F, name)(x, axis, keepdims=keepdims), expected, x)


@given(drawn_axes=shape_and_axes(SHAPES), keepdims=st.booleans())
@drawn
def test_sums_over_empty_axes_are_zero(drawn_axes: tuple[tuple[int, ...], Any], keepdims: bool) -> None:
    shape, axis = drawn_axes
    x = leaf(shape)
    check(lambda x: F.sum(x, axis, keepdims), x.data.sum(axis=axis, keepdims=keepdims), x)


@given(shapes=hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, min_side=0, max_side=3))
@drawn
def test_matmul_of_vectors_matrices_and_stacks(shapes: hnp.BroadcastableShapes) -> None:
    a, b = leaves(shapes.input_shapes)
    check(F.matmul, np.matmul(a.data, b.data), a, b)


@given(rows=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), sizes=st.tuples(*[st.integers(1, 4)] * 2))
@drawn
def test_linear_takes_any_leading_axes(rows: tuple[int, ...], sizes: tuple[int, int]) -> None:
    features, outputs = sizes
    x, weight, bias = leaves(((*rows, features), (outputs, features), (outputs,)))
    check(F.linear, x.data @ weight.data.T + bias.data, x, weight, bias)


@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
@drawn
def test_every_basic_index(data: st.DataObject, shape: tuple[int, ...]) -> None:
    key = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    x = leaf(shape)
    check(lambda x: x[key], x.data[key], x)


@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
@drawn
def test_every_index_by_arrays(data: st.DataObject, shape: tuple[int, ...]) -> None:
    """An element that is taken several times gets the sum of its cotangents."""
    key = data.draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4)))
    x = leaf(shape)
    check(lambda x: x[key], x.data[key], x)
    check(lambda x: x[tuple(Tensor(k) for k in key)], x.data[key], x)


@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
@drawn
def test_every_mask(data: st.DataObject, shape: tuple[int, ...]) -> None:
    key = data.draw(hnp.arrays(bool, shape[: data.draw(st.integers(1, len(shape)))]))
    x = leaf(shape)
    check(lambda x: x[key], x.data[key], x)


@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3))
@drawn
def test_concatenate_along_any_axis(data: st.DataObject, shape: tuple[int, ...]) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    lengths = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    place = axis % len(shape)
    xs = leaves(tuple((*shape[:place], n, *shape[place + 1 :]) for n in lengths))
    check(lambda *xs: F.concatenate(xs, axis), np.concatenate([x.data for x in xs], axis), *xs)


@given(data=st.data(), shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), count=st.integers(1, 3))
@drawn
def test_stack_along_any_new_axis(data: st.DataObject, shape: tuple[int, ...], count: int) -> None:
    axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    xs = leaves((shape,) * count)
    check(lambda *xs: F.stack(xs, axis), np.stack([x.data for x in xs], axis), *xs)


@given(data=st.data(), shape=SHAPES)
@drawn
def test_transpose_and_flip_along_any_axes(data: st.DataObject, shape: tuple[int, ...]) -> None:
    order = data.draw(st.permutations(range(len(shape))))
    order = [a - data.draw(st.sampled_from([0, len(shape)])) for a in order]
    axis = data.draw(st.none() | hnp.valid_tuple_axes(len(shape)))
    x = leaf(shape)
    check(lambda x: F.transpose(x, order), x.data.transpose(order), x)
    check(lambda x: F.flip(x, axis), np.flip(x.data, axis), x)


@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3))
@drawn
def test_pad_counts_axes_from_the_last(data: st.DataObject, shape: tuple[int, ...]) -> None:
    widths = data.draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=len(shape)))
    x = leaf(shape)
    all_widths = [(0, 0)] * (len(shape) - len(widths)) + widths[::-1]
    expected = np.pad(x.data, all_widths, constant_values=-1.5)
    check(lambda x: F.pad(x, [n for pair in widths for n in pair], value=-1.5), expected, x)


@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3))
@drawn
def test_flatten_any_run_of_axes(data: st.DataObject, shape: tuple[int, ...]) -> None:
    start = data.draw(st.integers(0, len(shape) - 1))
    end = data.draw(st.integers(start, len(shape) - 1))
    x = leaf(shape)
    expected = x.data.reshape((*shape[:start], int(np.prod(shape[start : end + 1])), *shape[end + 1 :]))
    check(lambda x: F.flatten(x, start, end), expected, x)
    check(lambda x: F.flatten(x, start - len(shape), end - len(shape)), expected, x)


@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=3))
@drawn
def test_broadcast_to_the_common_shape(shapes: hnp.BroadcastableShapes) -> None:
    x = leaf(shapes.input_shapes[0])
    check(lambda x: F.broadcast_to(x, shapes.result_shape), np.broadcast_to(x.data, shapes.result_shape), x)


@given(
    indices=hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), elements=st.integers(0, 4))
)
@drawn
def test_embedding_of_indices_of_any_shape(indices: np.ndarray) -> None:
    weight = leaf((5, 2))
    check(lambda w: F.embedding(Tensor(indices), w), weight.data[indices], weight)
