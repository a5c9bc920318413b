"""Watching a step changes nothing, and its arithmetic is counted correctly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import minigrad.functional as F
from benchmarks.cases import Case
from benchmarks.measure import watch
from minigrad.arrays.backend import kernels_named
from minigrad.arrays.layout import axes_in_memory

KERNELS = kernels_named("numpy")


def watched_flops(*arrays: np.ndarray, **how: int) -> int:
    x, w = (mg.Tensor(a.astype(np.float32)) for a in arrays)
    with watch.watching(KERNELS) as calls:
        F.conv2d(x, w, **how) if x.ndim == 4 else x @ w
    return sum(map(watch.flops, calls))


@given(st.lists(st.integers(1, 9), min_size=3, max_size=3), st.integers(0, 1))
def test_a_product_counts_each_multiplication_and_addition(sizes: list[int], stacks: int) -> None:
    m, k, n = sizes
    a, b = np.zeros((*[2] * stacks, m, k)), np.zeros((k, n))
    assert watched_flops(a, b) == 2 * 2**stacks * m * k * n


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.integers(0, 1))
def test_a_convolution_counts_each_tap_of_each_kernel_at_each_position(
    n: int, channels: int, out: int, size: int, stride: int, padding: int
) -> None:
    y = F.conv2d(
        mg.Tensor(np.zeros((n, channels, 6, 7))), mg.Tensor(np.zeros((out, channels, size, size))), None, stride, padding
    )
    found = watched_flops(np.zeros((n, channels, 6, 7)), np.zeros((out, channels, size, size)), stride=stride, padding=padding)
    assert found == 2 * y.size * channels * size * size


def test_gradients_of_a_convolution_count_as_much_as_the_convolution() -> None:
    x, w = (mg.Tensor(np.zeros(shape, np.float32), requires_grad=True) for shape in ((2, 3, 9, 9), (5, 3, 4, 4)))
    with watch.watching(KERNELS) as calls:
        y = F.conv2d(x, w, None, 2, 1)
        mg.grad(y.sum(), [x, w])
    counts = {call["kernel"]: watch.flops(call) for call in calls if watch.flops(call)}
    assert counts == dict.fromkeys(["conv2d", "conv_transpose2d", "conv2d_weight"], 2 * y.size * 3 * 16)


def test_the_arithmetic_of_a_step_of_mnist_gan_follows_from_its_layers() -> None:
    """Forward, weight gradient and input gradient cost the same; in D's step its first layer needs no input gradient."""
    n = 8
    trainer = Case("mnist_gan", n).trainer()
    with watch.watching(KERNELS) as calls:
        trainer.step(mg.Tensor(np.zeros((n, 1, 28, 28), np.float32)))
    g, d = [100 * 256, 256 * 256, 256 * 784], [784 * 256, 256 * 256, 256 * 1]
    forward = sum(g) + 3 * sum(d)
    d_step = 2 * (sum(d) + sum(d[1:]))
    g_step = sum(d) + sum(g) + sum(g[1:])
    assert sum(map(watch.flops, calls)) == 2 * n * (forward + d_step + g_step)


def test_watching_restores_the_kernels() -> None:
    before = {name: getattr(KERNELS, name) for name in KERNELS.__all__}
    with pytest.raises(ValueError, match="mismatch"), watch.watching(KERNELS):
        KERNELS.matmul(np.zeros((2, 3)), np.zeros((2, 3)))
    assert {name: getattr(KERNELS, name) for name in KERNELS.__all__} == before


@given(st.permutations(range(4)), st.lists(st.integers(1, 3), min_size=4, max_size=4))
def test_an_array_is_made_with_the_described_shape_and_memory_order(axes: list[int], shape: list[int]) -> None:
    x = np.zeros(shape, np.float32).transpose(axes)
    again = watch.make(watch.describe(x), np.random.default_rng(0))
    assert (again.shape, again.dtype) == (x.shape, x.dtype)
    assert axes_in_memory(again) == axes_in_memory(x)


def test_equal_calls_are_counted_whatever_numbers_they_are_given() -> None:
    x = watch.describe(np.zeros((2, 3)))
    calls = [{"kernel": kernel, "arguments": [x, number]} for kernel, number in (("adam", 1), ("tanh", 1), ("adam", 2))]
    assert watch.count_calls(calls) == [(calls[0], 2), (calls[1], 1)]


def test_a_function_among_the_arguments_is_not_called() -> None:
    assert watch.describe([np.zeros(2), lambda: 1 / 0])[1] is None


def test_reading_numbers_from_the_host_is_not_counted_as_a_kernel_call() -> None:
    with watch.watching(KERNELS) as calls:
        KERNELS.from_host(lambda: (1, 2), 2, np.int64)
    assert calls == []
