"""Max-pooling on the CPU is bit-identical to the reference, whose two functions are each other's transpose."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from drawn_windows import images, windows
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.kernels import cpu, reference
from minigrad.kernels.cpu.threads import get_num_threads, set_num_threads
from minigrad.kernels.geometry import Geometry, Size

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
drawn = settings(max_examples=60, deadline=None)
HALVES = Geometry(Size(8, 6), (2, 2), (2, 2))
OVERLAPPING = Geometry(Size(8, 6), (3, 3), (2, 1), (1, 1))


def assert_same(ours: np.ndarray, expected: np.ndarray) -> None:
    """Bit-identical, including NaN and the sign of zero, and channels-last."""
    assert ours.dtype == expected.dtype
    assert ours.tobytes() == expected.tobytes()
    assert ours.transpose(0, 2, 3, 1).flags.c_contiguous


@DTYPES
@given(geometry=windows(), n=st.integers(0, 2), channels=st.integers(0, 19), ties=st.booleans(), seed=st.integers(0, 99))
@drawn
def test_equals_the_reference(dtype: Any, geometry: Geometry, n: int, channels: int, ties: bool, seed: int) -> None:
    x = images(n, channels, geometry.image, dtype, seed, ties)
    h = images(n, channels, geometry.image, dtype, seed + 1)
    g = images(n, channels, geometry.positions, dtype, seed + 2)
    assert_same(cpu.max_pool_pick(x, x, geometry), reference.max_pool_pick(x, x, geometry))
    assert_same(cpu.max_pool_pick(h, x, geometry), reference.max_pool_pick(h, x, geometry))
    assert_same(cpu.max_pool_place(g, x, geometry), reference.max_pool_place(g, x, geometry))


@given(geometry=windows(), ties=st.booleans(), seed=st.integers(0, 99))
@drawn
def test_place_is_the_transpose_of_pick(geometry: Geometry, ties: bool, seed: int) -> None:
    x, h = (images(2, 3, geometry.image, np.float64, seed + i, ties and not i) for i in range(2))
    g = images(2, 3, geometry.positions, np.float64, seed + 2)
    picked, placed = reference.max_pool_pick(h, x, geometry), reference.max_pool_place(g, x, geometry)
    assert np.vdot(g, picked) == pytest.approx(np.vdot(placed, h), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("geometry", [HALVES, OVERLAPPING], ids=["halves", "overlapping"])
def test_results_are_bit_identical_on_one_thread_and_on_all(geometry: Geometry) -> None:
    x, g = images(9, 5, geometry.image, np.float32), images(9, 5, geometry.positions, np.float32, 1)
    on_all = cpu.max_pool_pick(x, x, geometry), cpu.max_pool_place(g, x, geometry)
    threads = get_num_threads()
    set_num_threads(1)
    try:
        on_one = cpu.max_pool_pick(x, x, geometry), cpu.max_pool_place(g, x, geometry)
    finally:
        set_num_threads(threads)
    for ours, expected in zip(on_all, on_one, strict=True):
        assert_same(ours, expected)


def test_several_python_threads_can_pool_at_the_same_time() -> None:
    x, g = images(4, 5, HALVES.image, np.float32), images(4, 5, HALVES.positions, np.float32, 1)
    expected = cpu.max_pool_place(g, x, HALVES)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: cpu.max_pool_place(g, x, HALVES), range(20)):
            assert_same(result, expected)


@pytest.mark.parametrize("place", [np.ascontiguousarray, np.asfortranarray, lambda a: a[:, ::-1, ::-1]])
def test_images_in_any_memory_order(place: Any) -> None:
    x, h = (place(images(2, 3, HALVES.image, np.float32, i)) for i in range(2))
    g = place(images(2, 3, HALVES.positions, np.float32, 2))
    assert_same(cpu.max_pool_pick(h, x, HALVES), reference.max_pool_pick(h, x, HALVES))
    assert_same(cpu.max_pool_place(g, x, HALVES), reference.max_pool_place(g, x, HALVES))


@pytest.mark.parametrize("types", [(np.float32, np.float64), (np.float64, np.float32), (np.int64, np.int64), (np.float16,) * 2])
def test_the_result_has_the_dtype_of_the_moved_values(types: tuple[Any, Any]) -> None:
    h, x = (10 * images(1, 2, HALVES.image, np.float64, i) for i in range(2))
    h, x = h.astype(types[0]), x.astype(types[1])
    g = h[:, :, :4, :3]
    assert_same(cpu.max_pool_pick(h, x, HALVES), reference.max_pool_pick(h, x, HALVES))
    assert_same(cpu.max_pool_place(g, x, HALVES), reference.max_pool_place(g, x, HALVES))
    assert cpu.max_pool_pick(h, x, HALVES).dtype == types[0]
