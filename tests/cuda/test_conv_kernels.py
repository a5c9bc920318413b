"""The convolutions of `minigrad.kernels.gpu` equal those of `minigrad.kernels.reference`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawn_convolutions import geometries, normal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim
from minigrad.arrays import backend
from minigrad.kernels import reference
from minigrad.kernels.geometry import Geometry, Size

quick = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
dtypes = st.sampled_from([np.float32, np.float64])
images = st.integers(0, 3)
channels = st.sampled_from([1, 2, 3, 31, 33])
DCGAN = Geometry(Size(8, 6), (4, 4), (2, 2), (1, 1))
PLAIN = Geometry(Size(4, 5), (1, 1))


@pytest.fixture(scope="module")
def gpu(cupy: Any) -> Any:
    return backend.kernels_named("cupy")


def on_gpu(cupy: Any, x: np.ndarray) -> Any:
    """The array on the GPU, in the same memory layout."""
    return backend.move(x, "cupy")


def assert_close(actual: Any, expected: np.ndarray) -> None:
    """On the GPU, channels-last, of one dtype, and equal up to the rounding of sums in another order."""
    assert backend.is_gpu(actual)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert actual.transpose(0, 2, 3, 1).flags.c_contiguous
    tolerance = 64 * np.finfo(expected.dtype).eps * max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(actual.get(), expected, rtol=0, atol=tolerance)


def check(cupy: Any, gpu: Any, geometry: Geometry, n: int, channels: int, out: int, dtype: Any = np.float32) -> None:
    """All three convolutions, with and without a bias."""
    x = normal(0, n, channels, *geometry.image, dtype=dtype)
    w = normal(1, out, channels, *geometry.kernel, dtype=dtype)
    g = normal(2, n, out, *geometry.positions, dtype=dtype)
    there = [on_gpu(cupy, a) for a in (x, w, g)]
    for bias in (None, normal(3, out, dtype=dtype)):
        row = None if bias is None else on_gpu(cupy, bias)
        assert_close(gpu.conv2d(there[0], there[1], row, geometry), reference.conv2d(x, w, bias, geometry))
    for bias in (None, normal(4, channels, dtype=dtype)):
        row = None if bias is None else on_gpu(cupy, bias)
        expected = reference.conv_transpose2d(g, w, bias, geometry)
        assert_close(gpu.conv_transpose2d(there[2], there[1], row, geometry), expected)
    assert_close(gpu.conv2d_weight(there[0], there[2], geometry), reference.conv2d_weight(x, g, geometry))


@quick
@given(geometry=geometries(leave_some_out=True), n=images, channels=channels, dtype=dtypes)
def test_im2col_bit_for_bit(cupy: Any, gpu: Any, order: str, geometry: Geometry, n: int, channels: int, dtype: Any) -> None:
    x = normal(0, n, channels, *geometry.image, dtype=dtype)
    columns = gpu.conv._im2col(cupy.asarray(x.transpose(0, 2, 3, 1)), geometry)
    np.testing.assert_array_equal(columns.get(), reference.conv.im2col(x, geometry).reshape(columns.shape))


@quick
@given(geometry=geometries(leave_some_out=True), n=images, channels=channels, dtype=dtypes)
def test_col2im_sets_every_pixel(
    cupy: Any, gpu: Any, order: str, geometry: Geometry, n: int, channels: int, dtype: Any
) -> None:
    """Also the pixels that no window reaches."""
    columns = normal(0, n, *geometry.positions, *geometry.kernel, channels, dtype=dtype)
    x = cupy.full((n, *geometry.image, channels), np.nan, dtype)
    gpu.conv._launch("col2im", x, cupy.asarray(columns), geometry, geometry.image, channels)
    assert_close(x.transpose(0, 3, 1, 2), reference.conv.col2im(columns, geometry))


@quick
@given(
    geometry=geometries(largest_kernel=3, most_free=3, leave_some_out=True),
    n=images,
    channels=channels,
    out=channels,
    dtype=dtypes,
)
def test_convolutions(cupy: Any, gpu: Any, order: str, geometry: Geometry, n: int, channels: int, out: int, dtype: Any) -> None:
    check(cupy, gpu, geometry, n, channels, out, dtype)


def test_zero_channels(cupy: Any, gpu: Any) -> None:
    for geometry in (DCGAN, PLAIN):
        check(cupy, gpu, geometry, 2, 0, 3)
        check(cupy, gpu, geometry, 2, 3, 0)


@pytest.mark.parametrize("images_at_a_time", [1, 2, 3, 5])
def test_many_images_are_processed_a_few_at_a_time(
    cupy: Any, gpu: Any, images_at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    empty_columns = gpu.conv._empty_columns
    monkeypatch.setattr(gpu.conv, "_empty_columns", lambda x, geometry: sizes.append(len(x)) or empty_columns(x, geometry))
    monkeypatch.setattr(gpu.conv, "COLUMN_BYTES", images_at_a_time * 12 * 16 * 2 * 4 + 1)
    check(cupy, gpu, DCGAN, 5, 2, 3)
    assert sizes == [min(images_at_a_time, 5 - first) for first in range(0, 5, images_at_a_time)] * 5


def test_the_matrix_of_one_image_may_be_larger_than_the_limit(cupy: Any, gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.conv, "COLUMN_BYTES", 1)
    check(cupy, gpu, DCGAN, 3, 2, 3)


def test_more_positions_and_images_than_threads(cupy: Any, gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.launch, "MOST_BLOCKS", 2)
    for channels in (1, 40):
        check(cupy, gpu, Geometry(Size(40, 30), (2, 2)), 5, channels, 1, np.float64)


def test_more_channels_than_threads(cupy: Any, gpu: Any) -> None:
    check(cupy, gpu, Geometry(Size(3, 4), (1, 2)), 2, 300, 2, np.float64)


def test_one_by_one_convolutions_need_no_im2col(cupy: Any, gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("im2col was launched")

    monkeypatch.setattr(gpu.conv, "_launch", refuse)
    check(cupy, gpu, PLAIN, 3, 4, 5)
    for geometry in (Geometry(Size(4, 5), (1, 1), (2, 1)), Geometry(Size(4, 5), (1, 1), padding=(0, 1)), DCGAN):
        with pytest.raises(AssertionError, match="im2col was launched"):
            check(cupy, gpu, geometry, 1, 2, 2)


def test_images_in_any_layout(cupy: Any, gpu: Any) -> None:
    x, w = normal(0, 2, 3, *DCGAN.image), normal(1, 4, 3, *DCGAN.kernel)
    expected = reference.conv2d(x, w, None, DCGAN)
    for convert in (np.ascontiguousarray, lambda a: a, lambda a: a[::-1].copy()[::-1]):
        assert_close(gpu.conv2d(cupy.asarray(convert(x)), cupy.asarray(convert(w)), None, DCGAN), expected)


def test_channels_last_arrays_are_not_copied(cupy: Any, gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    n, channels, out = 2, 3, 4
    shapes = (n, channels, *DCGAN.image), (out, channels, *DCGAN.kernel), (n, out, *DCGAN.positions)
    x, w, g = (on_gpu(cupy, normal(0, *shape)) for shape in shapes)
    monkeypatch.setattr(cupy.ndarray, "copy", lambda *_, **__: pytest.fail("copied"))
    gpu.conv2d(x, w, None, DCGAN)
    gpu.conv_transpose2d(g, w, None, DCGAN)
    gpu.conv2d_weight(x, g, DCGAN)


def test_convolutions_promote_dtypes_as_on_the_cpu(cupy: Any, gpu: Any) -> None:
    x, w, bias = normal(0, 2, 3, *DCGAN.image, dtype=np.float32), normal(1, 4, 3, *DCGAN.kernel), normal(2, 4)
    on = [on_gpu(cupy, a) for a in (x, w, bias)]
    assert_close(gpu.conv2d(*on, DCGAN), reference.conv2d(x, w, bias, DCGAN))
    w = w.astype(np.float32)
    assert gpu.conv2d(on[0], on_gpu(cupy, w), on[2], DCGAN).dtype == reference.conv2d(x, w, bias, DCGAN).dtype


def test_convolutions_refuse_arrays_on_the_cpu(cupy: Any, gpu: Any) -> None:
    x, w = normal(0, 2, 3, *DCGAN.image), normal(1, 4, 3, *DCGAN.kernel)
    for arguments in ((on_gpu(cupy, x), w), (x, on_gpu(cupy, w))):
        with pytest.raises(TypeError, match="GPU"):
            gpu.conv2d(*arguments, None, DCGAN)


def test_a_nan_reaches_what_depends_on_it_and_nothing_else(cupy: Any, gpu: Any) -> None:
    x, w = normal(0, 2, 3, *DCGAN.image), normal(1, 4, 3, *DCGAN.kernel)
    x[1, 2, 5, 0] = np.nan
    out = gpu.conv2d(on_gpu(cupy, x), on_gpu(cupy, w), None, DCGAN).get()
    np.testing.assert_array_equal(np.isnan(out), np.isnan(reference.conv2d(x, w, None, DCGAN)))


def test_a_step_of_convolutions_can_be_captured(cupy: Any, gpu: Any) -> None:
    """After it has run once on the same stream."""
    x, w, bias = (on_gpu(cupy, normal(i, *shape)) for i, shape in enumerate([(2, 3, 8, 6), (4, 3, 4, 4), (4,)]))

    def step() -> Any:
        y = gpu.conv2d(x, w, bias, DCGAN)
        return gpu.conv2d_weight(gpu.conv_transpose2d(y, w, None, DCGAN), y, DCGAN)

    with cupy.cuda.Stream(non_blocking=True) as stream:
        expected = step().get()
        stream.begin_capture()
        try:
            captured = step()
        finally:
            graph = stream.end_capture()
        if graph is not None:  # a real GPU has only captured the step
            graph.launch(stream)
        stream.synchronize()
    np.testing.assert_allclose(captured.get(), expected, rtol=1e-12)


def convolutions() -> nn.Sequential:
    mg.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 6, 4, 2, 1), nn.LeakyReLU(0.2), nn.ConvTranspose2d(6, 2, (4, 3), (2, 1), 1))


def weights(net: nn.Module) -> list[Any]:
    return [p.data for p in net.parameters() if p.ndim == 4]


def test_weights_moved_to_the_gpu_and_back_stay_channels_last(cupy: Any) -> None:
    net = convolutions()
    before = [w.copy() for w in weights(net)]
    for name in ("cupy", "numpy"):
        for w in weights(net.to(name)):
            assert backend.name_of(w) == name
            assert w.transpose(0, 2, 3, 1).flags.c_contiguous
    for w, old in zip(weights(net), before, strict=True):
        np.testing.assert_array_equal(w, old)


def test_a_network_trains_as_on_the_cpu(cupy: Any) -> None:
    losses: dict[str, list[float]] = {"cupy": [], "numpy": []}
    for name, found in losses.items():
        net = convolutions().to(name)
        optimizer = optim.Adam(net.parameters(), lr=1e-2)
        x = mg.Tensor(backend.move(normal(0, 3, 2, 8, 6, dtype=np.float32), name))
        for _ in range(4):
            loss = F.mse_loss(net(x)[:, :, :, :1], 1.0)
            optimizer.step(mg.grad(loss, net.parameters()))
            found.append(loss.item())
        assert all(w.transpose(0, 2, 3, 1).flags.c_contiguous for w in weights(net))
    np.testing.assert_allclose(losses["cupy"], losses["numpy"], rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 4, 3, 1), (8, 4, 1, 1), (1, 1, 3, 3), (8, 1, 3, 3)])
def test_kernels_of_every_shape_can_be_optimized(cupy: Any, shape: tuple[int, ...]) -> None:
    """Along axes of length 1, `empty_like` may give other strides; the layout is the same."""
    weight = mg.Tensor(on_gpu(cupy, normal(0, *shape)), requires_grad=True)
    before = weight.data.get()
    optim.Adam([weight], lr=0.1).step([mg.Tensor(cupy.ones(shape))])
    np.testing.assert_allclose(weight.data.get(), before - 0.1, rtol=1e-6)
