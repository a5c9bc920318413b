"""The CUDA kernels of normalisation equal the reference, at sizes around tiles, lanes and blocks of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigrad as mg
import minigrad.functional as F
from minigrad import nn
from minigrad.arrays import backend
from minigrad.kernels import reference

quick = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
dtypes = st.sampled_from([np.float32, np.float64])


@pytest.fixture(scope="module")
def gpu(cupy: Any) -> Any:
    return backend.kernels_named("cupy")


def normal(seed: int, *shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def assert_close(actual: Any, expected: np.ndarray, roundings: float) -> None:
    assert backend.is_gpu(actual)
    assert actual.dtype == expected.dtype
    allowed = roundings * np.finfo(expected.dtype).eps
    np.testing.assert_allclose(actual.get(), expected, rtol=allowed, atol=allowed * max(1, np.abs(expected).max(initial=0)))


@quick
@given(
    groups=st.integers(0, 2),
    rows=st.sampled_from([2, 7, 8, 9, 63, 64, 65, 130, 600]),
    channels=st.sampled_from([1, 3, 31, 32, 33, 70]),
    dtype=dtypes,
    with_weight=st.booleans(),
    with_bias=st.booleans(),
)
def test_normalization_of_any_size(
    cupy: Any, gpu: Any, order: str, groups: int, rows: int, channels: int, dtype: Any, with_weight: bool, with_bias: bool
) -> None:
    x, g = (normal(i, groups, rows, channels, dtype=dtype) for i in range(2))
    weight = normal(2, channels, dtype=dtype) if with_weight else None
    bias = normal(3, channels, dtype=dtype) if with_bias else None
    exact = [a if a is None else a.astype(np.float64) for a in (x, g, weight, bias)]
    results = []
    for kernels, (x_, g_, w_, b_) in (
        (gpu, [a if a is None else cupy.asarray(a) for a in (x, g, weight, bias)]),
        (reference, exact),
    ):
        y, mean, var = kernels.normalize(x_, w_, b_, 1e-3)
        sums = kernels.normalize_sums(g_, x_, mean, var, 1e-3)
        dx = kernels.normalize_backward(g_, x_, w_, mean, var, 1e-3, *sums)
        outs = [y, mean, var, *sums, dx]
        results.append([*outs, *([kernels.affine(x_, mean[0], var[0])] if groups else [])])
    steep = 1 / np.sqrt(exact[0].var(axis=1).min(initial=1) + 1e-3)
    for actual, expected in zip(*results, strict=True):
        assert_close(actual, expected.astype(dtype), 30 * steep**2)


def test_normalization_of_data_far_from_zero(cupy: Any, gpu: Any) -> None:
    x = 1000 + normal(0, 1, 3000, 40)
    y, mean, var = gpu.normalize(cupy.asarray(x), None, None, 1e-5)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean.get(), exact.mean(axis=1), rtol=1e-7)
    np.testing.assert_allclose(var.get(), exact.var(axis=1), rtol=1e-6)
    np.testing.assert_allclose(y.get(), reference.normalize(exact, None, None, 1e-5)[0], atol=6e-5)


def test_normalization_is_bit_identical_in_any_thread_order(cupy: Any, gpu: Any, order: str) -> None:
    """No sum depends on the order in which threads and blocks run."""
    x, g = (normal(i, 2, 300, 40) for i in range(2))
    y, mean, var = gpu.normalize(cupy.asarray(x), None, None, 1e-5)
    sums = gpu.normalize_sums(cupy.asarray(g), cupy.asarray(x), mean, var, 1e-5)
    bits = [a.get().tobytes() for a in (y, mean, var, *sums)]
    assert _first_bits.setdefault("bits", bits) == bits


_first_bits: dict[str, list[bytes]] = {}


def test_normalization_of_strided_arrays_and_of_two_dtypes(cupy: Any, gpu: Any) -> None:
    x, weight = np.repeat(normal(0, 1, 30, 4), 2, axis=2), normal(1, 4, dtype=np.float64)
    y, _, _ = gpu.normalize(cupy.asarray(x)[..., ::2], cupy.asarray(weight), None, 1e-5)
    expected, _, _ = reference.normalize(x[..., ::2].astype(np.float64), weight, None, 1e-5)
    assert_close(y, expected, 30)


def test_python_and_cuda_agree_on_the_constants_of_normalization(gpu: Any) -> None:
    text = gpu.launch.source("norm")
    assert f"const int TILE = {gpu.norm._TILE}, LANES = {gpu.norm._LANES};" in text
    assert f"const int BLOCK = {gpu.norm._BLOCK};" in text


def test_normalized_images_stay_channels_last(cupy: Any) -> None:
    x = mg.Tensor(cupy.asarray(normal(0, 2, 4, 5, 3)).transpose(0, 3, 1, 2), requires_grad=True)
    for y in (F.batch_norm(x, None, None, training=True), F.instance_norm(x), F.dropout2d(x, 0.5)):
        (dx,) = mg.grad(y.sum(), [x])
        for out in (y, dx):
            assert out.data.transpose(0, 2, 3, 1).flags.c_contiguous


def test_norm_layers_train_as_on_the_cpu(cupy: Any) -> None:
    """Outputs, gradients and running statistics, then evaluation."""
    results = []
    for name in ("cupy", "numpy"):
        mg.manual_seed(1)
        net = nn.Sequential(
            nn.spectral_norm(nn.Linear(5, 12)), nn.BatchNorm1d(12), nn.Reshape(3, 2, 2), nn.BatchNorm2d(3),
            nn.InstanceNorm2d(3, affine=True), nn.LayerNorm((3, 2, 2)), nn.Dropout2d(0.3),
        ).to(name)  # fmt: skip
        x = mg.Tensor(normal(0, 8, 5)).to(name)
        y = net(x)
        found = [y, *mg.grad((y * y * y).sum(), net.parameters()), *map(mg.Tensor, net.state_dict().values()), net.eval()(x)]
        results.append([t.data for t in found])
    for actual, expected in zip(*results, strict=True):
        if expected.dtype.kind == "i":
            assert int(actual) == int(expected) == 1
        else:
            assert_close(actual, expected, 2000)
