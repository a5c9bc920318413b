"""Sums over rows: correct for every size and layout, and bit-identical for any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad.functional as F
from minigrad import Tensor
from minigrad.kernels import cpu, reference
from minigrad.kernels.cpu.loops import PARALLEL_FROM
from minigrad.kernels.cpu.reduce import ROWS
from minigrad.kernels.cpu.threads import get_num_threads, set_num_threads

SHAPES = [(0, 3), (3, 0), (1, 1), (ROWS + 1, 3), (PARALLEL_FROM, 1), (2 * ROWS, PARALLEL_FROM // ROWS), (5, PARALLEL_FROM)]


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_sum_over_rows_equals_the_sum_in_float64(shape: tuple[int, int], dtype: Any) -> None:
    x = normal(*shape).astype(dtype)
    ours = cpu.sum_axes(x, (0,))
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours, reference.sum_axes(x.astype(np.float64), (0,)), rtol=0, atol=1e3 * np.finfo(dtype).eps)


@pytest.mark.parametrize("axes", [(0, 2, 3), (-1, 0, -2), (0, 1, 2), (1, 2, 3), (0, 1, 3)])
def test_images_of_any_layout_are_summed_over_any_three_axes(axes: tuple[int, ...]) -> None:
    x = normal(7, 40, 30, 8)
    for image in (x, x.transpose(0, 3, 1, 2), x[:, ::2], x.astype(np.float32)):
        np.testing.assert_allclose(F.sum(Tensor(image), axes).data, image.astype(float).sum(axes), atol=1e-3)


def test_sums_are_bit_identical_for_any_number_of_threads() -> None:
    x = normal(5 * ROWS + 3, 70).astype(np.float32)
    on_all = cpu.sum_axes(x, (0,))
    threads = get_num_threads()
    set_num_threads(1)
    try:
        np.testing.assert_array_equal(cpu.sum_axes(x, (0,)), on_all)
    finally:
        set_num_threads(threads)
