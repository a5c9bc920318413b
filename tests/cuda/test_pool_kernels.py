"""The CUDA kernels of max-pooling are bit-identical to the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawn_windows import images, windows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minigrad.arrays import backend
from minigrad.kernels import reference
from minigrad.kernels.geometry import Geometry, Size

quick = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
HALVES = Geometry(Size(8, 6), (2, 2), (2, 2))
OVERLAPPING = Geometry(Size(8, 6), (3, 3), (2, 1), (1, 1))


@pytest.fixture(scope="module")
def gpu(cupy: Any) -> Any:
    return backend.kernels_named("cupy")


def assert_same(actual: Any, expected: np.ndarray) -> None:
    assert backend.is_gpu(actual)
    assert actual.dtype == expected.dtype
    assert actual.transpose(0, 2, 3, 1).flags.c_contiguous
    np.testing.assert_array_equal(actual.get(), expected)


def on_gpu(cupy: Any, x: np.ndarray) -> Any:
    """The images on the GPU, channels-last."""
    return cupy.asarray(np.ascontiguousarray(x.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)


def compare(cupy: Any, gpu: Any, geometry: Geometry, n: int, channels: int, dtype: Any, ties: bool, seed: int) -> None:
    x, h = (images(n, channels, geometry.image, dtype, seed + i, ties and not i) for i in range(2))
    g = images(n, channels, geometry.positions, dtype, seed + 2)
    there = {id(a): on_gpu(cupy, a) for a in (x, h, g)}
    for name, values in (("max_pool_pick", x), ("max_pool_pick", h), ("max_pool_place", g)):
        actual = getattr(gpu, name)(there[id(values)], there[id(x)], geometry)
        assert_same(actual, getattr(reference, name)(values, x, geometry))


@quick
@given(
    geometry=windows(),
    n=st.integers(0, 2),
    channels=st.integers(0, 9),
    dtype=st.sampled_from([np.float32, np.float64]),
    ties=st.booleans(),
    seed=st.integers(0, 99),
)
def test_max_pooling(
    cupy: Any, gpu: Any, order: str, geometry: Geometry, n: int, channels: int, dtype: Any, ties: bool, seed: int
) -> None:
    compare(cupy, gpu, geometry, n, channels, dtype, ties, seed)


@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("geometry", [HALVES, OVERLAPPING], ids=["halves", "overlapping"])
def test_more_images_and_pixels_than_threads(
    cupy: Any, gpu: Any, geometry: Geometry, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu.launch, "MOST_BLOCKS", most)
    compare(cupy, gpu, geometry, n=5, channels=40, dtype=np.float32, ties=False, seed=0)


def test_c_contiguous_images(cupy: Any, gpu: Any) -> None:
    x = np.ascontiguousarray(images(2, 3, HALVES.image, np.float32))
    assert_same(gpu.max_pool_pick(cupy.asarray(x), cupy.asarray(x), HALVES), reference.max_pool_pick(x, x, HALVES))


@pytest.mark.parametrize("types", [(np.float32, np.float64), (np.float64, np.float32), (np.int64, np.int64)])
def test_the_result_has_the_dtype_of_the_moved_values(cupy: Any, gpu: Any, types: tuple[Any, Any]) -> None:
    h, x = ((10 * images(1, 2, HALVES.image, np.float64, i)).astype(dtype) for i, dtype in enumerate(types))
    assert_same(gpu.max_pool_pick(on_gpu(cupy, h), on_gpu(cupy, x), HALVES), reference.max_pool_pick(h, x, HALVES))


def test_images_on_the_cpu_are_refused(cupy: Any, gpu: Any) -> None:
    x = images(1, 2, HALVES.image, np.float32)
    with pytest.raises(TypeError, match="GPU"):
        gpu.max_pool_pick(on_gpu(cupy, x), x, HALVES)
