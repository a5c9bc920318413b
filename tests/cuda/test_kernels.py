"""The CUDA kernels of `minigrad.kernels.gpu` equal `minigrad.kernels.reference`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from minigrad.arrays import backend
from minigrad.arrays.layout import axes_in_memory
from minigrad.kernels import reference
from minigrad.kernels.interface import AdamNumbers, RMSpropNumbers, SGDNumbers

quick = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
dtypes = st.sampled_from([np.float32, np.float64])
# Sizes around a warp, a block of 256 threads and a chunk of 4096 elements.
sizes = st.sampled_from([0, 1, 2, 31, 33, 255, 256, 257, 1023, 4095, 4096, 4097, 8193])
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def gpu(cupy: Any) -> Any:
    return backend.kernels_named("cupy")


def normal(seed: int, shape: Any, dtype: Any) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def assert_close(actual: Any, expected: np.ndarray, roundings: float = 16) -> None:
    """On the GPU, of the same dtype, and equal up to a few roundings."""
    assert backend.is_gpu(actual)
    assert actual.dtype == expected.dtype
    tolerance = roundings * np.finfo(expected.dtype).eps
    np.testing.assert_allclose(actual.get(), expected, rtol=tolerance, atol=tolerance)


ELEMENTWISE = {"erf": (1, ()), "leaky_relu": (1, (0.2,)), "leaky_relu_backward": (2, (0.2,)), "tanh_backward": (2, ())}


@pytest.mark.parametrize("name", ELEMENTWISE)
@quick
@given(size=sizes, dtype=dtypes, seed=seeds)
def test_elementwise(cupy: Any, gpu: Any, order: str, name: str, size: int, dtype: Any, seed: int) -> None:
    inputs, numbers = ELEMENTWISE[name]
    arrays = list(normal(seed, (inputs, size), dtype))
    expected = getattr(reference, name)(*arrays, *numbers)
    assert_close(getattr(gpu, name)(*map(cupy.asarray, arrays), *numbers), expected)


def test_elementwise_corner_values(cupy: Any, gpu: Any) -> None:
    y = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45], np.float32)
    assert_close(gpu.leaky_relu(cupy.asarray(y), 0.25), reference.leaky_relu(y, 0.25))
    assert_close(gpu.leaky_relu_backward(cupy.asarray(y), cupy.asarray(y), 0.25), reference.leaky_relu_backward(y, y, 0.25))


def test_more_elements_than_threads(cupy: Any, gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.launch, "MOST_BLOCKS", 2)
    x = normal(0, 5000, np.float32)
    assert_close(gpu.leaky_relu(cupy.asarray(x), 0.2), reference.leaky_relu(x, 0.2))
    np.testing.assert_array_equal(gpu.philox(lambda: (1, 2), 5000).get(), reference.philox(lambda: (1, 2), 5000))
    p, g, v = (normal(i, 20_000, np.float64) for i in range(3))
    on_gpu = [[cupy.asarray(a)] for a in (p, g, v)]
    reference.sgd([p], [g], [v], sgd_numbers, [0])
    gpu.sgd(*on_gpu, sgd_numbers, none_bad(cupy))
    assert_close(on_gpu[0][0], p)


def sgd_numbers() -> SGDNumbers:
    return SGDNumbers(lr=0.1, momentum=0.9)


def none_bad(cupy: Any, parameters: int = 1) -> Any:
    return cupy.zeros(parameters, np.int32)


def place(cupy: Any, layout: str, values: np.ndarray) -> Any:
    """Values (n, c, h, w) on the GPU, in a memory layout."""
    if layout == "transposed":
        return cupy.asarray(values.T.copy()).T
    if layout == "channels-last":
        return cupy.asarray(values.transpose(0, 2, 3, 1).copy()).transpose(0, 3, 1, 2)
    if layout == "sliced":
        return cupy.asarray(np.repeat(values, 2, axis=-1))[..., ::2]
    if layout == "reversed":
        return cupy.asarray(values[::-1].copy())[::-1]
    if layout == "broadcast":
        return cupy.broadcast_to(cupy.asarray(values[:, :1]), values.shape)
    return cupy.asarray(values)


LAYOUTS = ["contiguous", "transposed", "channels-last", "sliced", "reversed", "broadcast"]


@pytest.mark.parametrize(("first", "second"), list(itertools.product(LAYOUTS, LAYOUTS)))
def test_layouts(cupy: Any, gpu: Any, first: str, second: str) -> None:
    values = normal(0, (2, 3, 4, 5), np.float32)
    g, y = place(cupy, first, values), place(cupy, second, -2 * values)
    assert_close(gpu.leaky_relu(g, 0.2), reference.leaky_relu(g.get(), 0.2))
    assert_close(gpu.tanh_backward(g, y), reference.tanh_backward(g.get(), y.get()))


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "channels-last"])
def test_a_shared_layout_is_kept_without_copies(cupy: Any, gpu: Any, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("copied")

    monkeypatch.setattr(gpu.launch, "copy_like", refuse)
    for channels in (1, 3):
        g, y = (place(cupy, layout, normal(i, (2, channels, 4, 5), np.float32)) for i in range(2))
        out = gpu.tanh_backward(g, y)
        assert axes_in_memory(out) is not None
        assert axes_in_memory(out) == axes_in_memory(g)


@pytest.mark.parametrize("shapes", [((), ()), ((3, 1), (1, 4)), ((0, 3), (0, 3)), ((0, 3), (1, 3)), ((4,), (2, 3, 4))])
def test_shapes_are_broadcast(cupy: Any, gpu: Any, shapes: tuple) -> None:
    g, y = (np.asarray(normal(i, shape, np.float32)) for i, shape in enumerate(shapes))
    expected = np.asarray(reference.tanh_backward(g, y))
    actual = gpu.tanh_backward(cupy.asarray(g), cupy.asarray(y))
    assert actual.shape == expected.shape
    assert_close(actual, expected)


def test_dtypes_are_promoted_as_on_the_cpu(cupy: Any, gpu: Any) -> None:
    g, y = normal(0, 5, np.float32), normal(1, 5, np.float64)
    assert_close(gpu.tanh_backward(cupy.asarray(g), cupy.asarray(y)), reference.tanh_backward(g, y))
    assert gpu.leaky_relu(cupy.asarray(np.arange(3)), 0.5).dtype == np.float64


def test_arrays_on_the_cpu_are_refused(cupy: Any, gpu: Any) -> None:
    on_cpu, on_gpu = np.ones(3, np.float32), cupy.ones(3, np.float32)
    for arguments in [(on_cpu, on_gpu), (on_gpu, on_cpu)]:
        with pytest.raises(TypeError, match="GPU"):
            gpu.tanh_backward(*arguments)
    with pytest.raises(TypeError, match="gradient is not"):
        gpu.sgd([on_gpu], [on_cpu], [on_gpu.copy()], sgd_numbers, none_bad(cupy))
    with pytest.raises(TypeError, match="GPU"):
        gpu.sgd([on_gpu], [on_gpu], [on_cpu], sgd_numbers, none_bad(cupy))


def test_matmul(cupy: Any, gpu: Any) -> None:
    a, b = normal(0, (5, 2, 3), np.float64), normal(1, (3, 4), np.float64)
    assert_close(gpu.matmul(cupy.asarray(a), cupy.asarray(b)), reference.matmul(a, b))


@quick
@given(seed=st.integers(0, 2**64 - 1), counter=st.integers(0, 2**64 - 1), count=st.integers(0, 1100))
@example(seed=2**64 - 1, counter=2**32 - 2, count=17)  # the lower half of the counter overflows
@example(seed=0, counter=2**64 - 2, count=17)
def test_philox_bit_for_bit(gpu: Any, order: str, seed: int, counter: int, count: int) -> None:
    out = gpu.philox(lambda: (seed, counter), count)
    assert out.dtype == np.uint32
    np.testing.assert_array_equal(out.get(), reference.philox(lambda: (seed, counter), count))


OPTIMIZERS = {  # name -> how many arrays of state, the numbers
    "sgd": (1, SGDNumbers(lr=0.1, momentum=0.9, decay=0.01)),
    "adam": (2, AdamNumbers(lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8, step=3, decay=0.01, keep=0.9)),
    "rmsprop": (1, RMSpropNumbers(lr=0.1, alpha=0.99, eps=1e-8, decay=0.01)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@quick
@given(
    parameters=st.lists(st.tuples(sizes, dtypes), min_size=1, max_size=5),
    seed=seeds,
    bad_share=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_optimizers(
    cupy: Any, gpu: Any, order: str, name: str, parameters: list[tuple[int, Any]], seed: int, bad_share: float
) -> None:
    """Several parameters of both dtypes; elements with a bad gradient are not changed, but counted."""
    states, numbers = OPTIMIZERS[name]
    rng = np.random.default_rng(seed)
    params, grads, *state = ([normal(seed + j, n, dtype) for n, dtype in parameters] for j in range(2 + states))
    for g in grads:
        bad = rng.random(g.shape) < bad_share
        g[bad] = rng.choice([np.nan, np.inf, -np.inf], bad.sum())
    state = [[abs(a) for a in arrays] for arrays in state]  # squares have no sign
    lists = [params, grads, *state]
    on_gpu = [[cupy.asarray(a) for a in arrays] for arrays in lists]

    counts, expected_counts = none_bad(cupy, len(params)), [0] * len(params)
    getattr(gpu, name)(*on_gpu, lambda: numbers, counts)
    getattr(reference, name)(*lists, lambda: numbers, expected_counts)

    assert counts.get().tolist() == expected_counts
    for actual, expected in zip(itertools.chain(*on_gpu), itertools.chain(*lists), strict=True):
        assert_close(actual, expected, roundings=500)  # dividing by the root of a small square amplifies rounding


def test_optimizers_accept_gradients_of_any_layout_and_dtype(cupy: Any, gpu: Any) -> None:
    p, v, g = normal(0, (3, 4), np.float32), np.zeros((3, 4), np.float32), normal(1, (4, 3), np.float64).T
    on_gpu = [cupy.asarray(p)], [cupy.asarray(np.ascontiguousarray(g.T)).T], [cupy.asarray(v)]
    gpu.sgd(*on_gpu, sgd_numbers, none_bad(cupy))
    reference.sgd([p], [g.astype(np.float32)], [v], sgd_numbers, [0])
    assert_close(on_gpu[0][0], p)


def test_a_table_of_addresses_is_cached_until_the_addresses_change(cupy: Any, gpu: Any) -> None:
    arrays, bad = [[cupy.ones(5, np.float32)] for _ in range(3)], none_bad(cupy)
    gpu.numbers._cached.cache_clear()
    gpu.sgd(*arrays, sgd_numbers, bad)
    gpu.sgd(*arrays, sgd_numbers, bad)
    assert gpu.numbers._cached.cache_info().misses == 1
    gpu.sgd(arrays[0], [cupy.ones(5, np.float32)], arrays[2], sgd_numbers, bad)
    assert gpu.numbers._cached.cache_info().misses == 2


def test_python_and_cuda_agree_on_the_constants_of_optimizer_and_numbers(gpu: Any) -> None:
    assert f"const int CHUNK = {gpu.optimizer._CHUNK};" in gpu.launch.source("optimizer")
    assert f"const int WORDS = {gpu.numbers._WORDS};" in gpu.launch.source("numbers")


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 200])
def test_numbers_from_the_host(cupy: Any, gpu: Any, order: str, count: int) -> None:
    floats, integers = normal(0, count, np.float64), np.arange(count, dtype=np.uint64) * np.uint64(2**63 // 100)
    for numbers in (floats, integers):
        np.testing.assert_array_equal(
            gpu.numbers.from_host(lambda numbers=numbers: numbers, count, numbers.dtype).get(), numbers
        )


def test_long_sums_of_float32_are_accumulated_in_float64(cupy: Any, gpu: Any) -> None:
    x = cupy.asarray(np.full((100_000, 2), 0.1, np.float32))
    sums = gpu.sum_axes(x, (0,))
    assert sums.dtype == np.float32
    np.testing.assert_allclose(sums.get(), 100_000 * float(np.float32(0.1)), rtol=1e-7)
