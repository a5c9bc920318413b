"""Matrix products through cuBLAS: every layout is passed correctly, and errors are named."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from ctypes import POINTER, c_int, c_longlong, c_size_t, c_void_p
from typing import Any

import cublas_header
import numpy as np
import pytest

from minigrad.arrays import backend
from minigrad.kernels import reference

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
C_TYPES: dict[str, Any] = {
    **dict.fromkeys(["cublasHandle_t", "cudaStream_t", "void*", "const void*"], c_void_p),
    **dict.fromkeys(["int", "cublasOperation_t", "cudaDataType", "cublasComputeType_t", "cublasGemmAlgo_t"], c_int),
    "cublasHandle_t*": POINTER(c_void_p),
    "long long int": c_longlong,
    "size_t": c_size_t,
}
SIZES = [(3, 4, 5), (1, 7, 2), (6, 1, 3), (5, 5, 1), (1, 1, 4), (1, 4, 1), (4, 1, 1), (1, 1, 1)]  # m, n, k


@pytest.fixture(scope="module")
def gpu(cupy: Any) -> Any:
    return backend.kernels_named("cupy")


@pytest.fixture
def tf32() -> Iterator[None]:
    backend.allow_tf32(True)
    yield
    backend.allow_tf32(False)


def normal(seed: int, *shape: int, dtype: Any = np.float64) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def wide(a: np.ndarray) -> np.ndarray:
    """The matrix as a part of a larger one, whose other elements must not be read."""
    out = np.full((*a.shape[:-2], a.shape[-2] + 1, a.shape[-1] + 2), np.nan, a.dtype)
    out[..., : a.shape[-2], : a.shape[-1]] = a
    return out


# For each layout: how to store the values, and which view of the stored array has them again.
Layout = tuple[Callable[[np.ndarray], np.ndarray], Callable[[Any, tuple[int, ...]], Any]]
READ_IN_PLACE: dict[str, Layout] = {
    "rows": (lambda a: a, lambda x, _: x),
    "columns": (lambda a: a.swapaxes(-1, -2).copy(), lambda x, _: x.swapaxes(-1, -2)),
    "cut from rows": (wide, lambda x, shape: x[..., : shape[-2], : shape[-1]]),
    "cut from columns": (
        lambda a: wide(a.swapaxes(-1, -2)),
        lambda x, shape: x[..., : shape[-1], : shape[-2]].swapaxes(-1, -2),
    ),
}
COPIED: dict[str, Layout] = {
    "every other column": (lambda a: np.repeat(a, 2, axis=-1), lambda x, _: x[..., ::2]),
    "reversed": (lambda a: a[..., ::-1, :].copy(), lambda x, _: x[..., ::-1, :]),
}


def place(cupy: Any, layout: str, a: np.ndarray) -> Any:
    store, view = (READ_IN_PLACE | COPIED)[layout]
    return view(cupy.asarray(store(a)), a.shape)


def check(cupy: Any, gpu: Any, left: str, right: str, stack: tuple[int, ...], sizes: tuple[int, int, int], dtype: Any) -> None:
    """Products of matrices in these layouts, added to an array, and written over NaN."""
    m, n, k = sizes
    a, b, c = (normal(i, *stack, *shape, dtype=dtype) for i, shape in enumerate([(m, k), (k, n), (m, n)]))
    x, y, out = place(cupy, left, a), place(cupy, right, b), cupy.asarray(c)
    tolerance = 16 * np.finfo(dtype).eps
    gpu.cublas.gemm(x, y, out, add=True)
    np.testing.assert_allclose(out.get(), c + a @ b, rtol=tolerance, atol=tolerance)
    out.fill(np.nan)
    gpu.cublas.gemm(x, y, out)
    np.testing.assert_allclose(out.get(), a @ b, rtol=tolerance, atol=tolerance)


def refuse(*_: Any) -> None:
    raise AssertionError("copied")


each_pair = pytest.mark.parametrize(("left", "right"), list(itertools.product(READ_IN_PLACE, READ_IN_PLACE)))


@DTYPES
@each_pair
@pytest.mark.parametrize("stack", [(), (3,)], ids=["matrices", "stacks"])
def test_matrices_are_read_in_place(
    cupy: Any, gpu: Any, dtype: Any, left: str, right: str, stack: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cupy, "ascontiguousarray", refuse)
    for sizes in SIZES:
        check(cupy, gpu, left, right, stack, sizes, dtype)


@pytest.mark.parametrize("stack", [(), (3,)], ids=["matrices", "stacks"])
@pytest.mark.parametrize("layout", COPIED)
def test_other_matrices_are_copied(cupy: Any, gpu: Any, layout: str, stack: tuple[int, ...]) -> None:
    for sizes in SIZES:
        check(cupy, gpu, layout, "rows", stack, sizes, np.float64)
        check(cupy, gpu, "rows", layout, stack, sizes, np.float64)


@pytest.mark.parametrize("shape", [(1, 3), (4, 1), (1, 1)])
def test_matrices_of_repeated_rows_or_columns_are_copied(cupy: Any, gpu: Any, shape: tuple[int, int]) -> None:
    a, b, out = normal(0, *shape), normal(1, 3, 5), cupy.empty((4, 5))
    gpu.cublas.gemm(cupy.broadcast_to(cupy.asarray(a), (4, 3)), cupy.asarray(b), out)
    np.testing.assert_allclose(out.get(), np.broadcast_to(a, (4, 3)) @ b, rtol=1e-14, atol=1e-14)


def test_one_matrix_may_be_repeated_along_the_stack(cupy: Any, gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cupy, "ascontiguousarray", refuse)
    a, b = normal(0, 2, 3), normal(1, 5, 3, 4)
    out = cupy.empty((5, 2, 4))
    gpu.cublas.gemm(cupy.broadcast_to(cupy.asarray(a), (5, 2, 3)), cupy.asarray(b), out)
    np.testing.assert_allclose(out.get(), a @ b, rtol=1e-14, atol=1e-14)


def test_empty_sums_are_zero(cupy: Any, gpu: Any) -> None:
    out = cupy.full((2, 3), np.nan)
    gpu.cublas.gemm(cupy.empty((2, 0)), cupy.empty((0, 3)), out)
    assert out.get().tolist() == [[0] * 3] * 2
    out.fill(7)
    gpu.cublas.gemm(cupy.empty((2, 0)), cupy.empty((0, 3)), out, add=True)
    assert out.get().tolist() == [[7] * 3] * 2


STACKS = [
    ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 1, 2, 3), (6, 3, 4)), ((1, 6, 2, 3), (5, 1, 3, 4)),
    ((0, 2, 3), (3, 4)), ((5, 0, 3), (3, 4)), ((2, 0), (0, 4)), ((5, 2, 0), (5, 0, 4)),
]  # fmt: skip


@DTYPES
@pytest.mark.parametrize("shapes", STACKS)
def test_matmul_broadcasts_stacks(cupy: Any, gpu: Any, dtype: Any, shapes: tuple) -> None:
    a, b = (normal(i, *shape, dtype=dtype) for i, shape in enumerate(shapes))
    out = gpu.matmul(cupy.asarray(a), cupy.asarray(b))
    expected = reference.matmul(a, b)
    assert out.shape == expected.shape
    assert out.dtype == expected.dtype
    np.testing.assert_allclose(out.get(), expected, rtol=1e-5, atol=1e-5)


def test_matmul_of_stacks_in_permuted_memory(cupy: Any, gpu: Any) -> None:
    a, b = normal(0, 2, 3, 4, 5), normal(1, 5, 6, 3, 2).transpose(3, 2, 0, 1)
    out = gpu.matmul(cupy.asarray(a), cupy.asarray(b.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1))
    np.testing.assert_allclose(out.get(), a @ b, rtol=1e-13, atol=1e-13)


def test_other_dtypes(cupy: Any, gpu: Any) -> None:
    integers, single, double = np.arange(6).reshape(2, 3), normal(0, 3, 4, dtype=np.float32), normal(1, 3, 4)
    for a, b in [(integers, integers.T), (integers, single), (double.T, single), (single.T, single)]:
        out, expected = gpu.matmul(cupy.asarray(a), cupy.asarray(b)), a @ b
        assert out.dtype == expected.dtype
        np.testing.assert_allclose(out.get(), expected, rtol=1e-5, atol=1e-6)
    for bias in (normal(2, 3), normal(2, 3, dtype=np.float32)):
        arrays = single.T, normal(3, 3, 3, dtype=np.float32), bias
        out, expected = gpu.linear(*map(cupy.asarray, arrays)), reference.linear(*arrays)
        assert out.dtype == expected.dtype
        np.testing.assert_allclose(out.get(), expected, rtol=1e-5, atol=1e-6)


def test_products_can_be_captured_after_one_on_the_same_stream(cupy: Any, gpu: Any) -> None:
    x, weight = (cupy.asarray(normal(i, 3, 3)) for i in range(2))
    with cupy.cuda.Stream(non_blocking=True) as stream:
        gpu.matmul(x, weight)
        stream.begin_capture()
        try:
            gpu.matmul(x, weight)
            gpu.linear(x, weight, None)
        finally:
            stream.end_capture()


def test_each_stream_has_its_own_handle_and_workspace(cupy: Any, gpu: Any) -> None:
    before = gpu.cublas._handle.cache_info().misses
    x = cupy.ones((2, 2))
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    for stream in streams * 2:
        with stream:
            gpu.matmul(x, x)
            stream.synchronize()
    assert gpu.cublas._handle.cache_info().misses == before + 2
    (first, one), (second, other) = (gpu.cublas._handle(0, stream.ptr) for stream in streams)
    assert first.value != second.value
    assert one.data.ptr != other.data.ptr


def test_an_error_is_named(cupy: Any, gpu: Any) -> None:
    x = cupy.ones((2, 2))
    with pytest.raises(gpu.cublas.CublasError, match="cublasCreate_v2: CUBLAS_STATUS_INVALID_VALUE"):
        gpu.cublas._call("cublasCreate_v2", None)
    gpu.matmul(x, x)


def relative_error(cupy: Any, gpu: Any, dtype: Any) -> float:
    a, b = normal(0, 40, 40, dtype=dtype), normal(1, 40, 40, dtype=dtype)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    out = gpu.matmul(cupy.asarray(a), cupy.asarray(b)).get()
    return float(np.linalg.norm(out - exact) / np.linalg.norm(exact))


def test_tf32_is_off_until_allowed(cupy: Any, gpu: Any) -> None:
    assert relative_error(cupy, gpu, np.float32) < 1e-6


@pytest.mark.usefixtures("tf32")
def test_tf32_loses_three_decimals_of_float32_and_none_of_float64(cupy: Any, gpu: Any) -> None:
    assert 1e-4 < relative_error(cupy, gpu, np.float32) < 1e-3
    assert relative_error(cupy, gpu, np.float64) < 1e-14


class TestCublasIsCalledAsItsHeaderSays:
    """The header comes with a package of 400 MB, so cublas_header.json keeps what it says of the functions called here."""

    def test_types_of_parameters(self, gpu: Any) -> None:
        declared = json.loads(cublas_header.KEPT.read_text())["functions"]
        assert {name: [C_TYPES[c] for c in types] for name, types in declared.items()} == gpu.cublas._PARAMETERS

    def test_constants(self, gpu: Any) -> None:
        declared, cublas = json.loads(cublas_header.KEPT.read_text())["constants"], gpu.cublas
        assert declared == {
            "CUBLAS_OP_N": cublas._AS_STORED,
            "CUBLAS_OP_T": cublas._TRANSPOSED,
            "CUBLAS_GEMM_DEFAULT": cublas._ALGORITHM,
            "CUBLAS_COMPUTE_32F": cublas._TYPES[np.dtype(np.float32)].compute,
            "CUBLAS_COMPUTE_64F": cublas._TYPES[np.dtype(np.float64)].compute,
            "CUBLAS_COMPUTE_32F_FAST_TF32": cublas._TF32,
        }

    def test_what_is_kept_of_the_header_is_what_it_says(self) -> None:
        path = cublas_header.header()
        if path is None:
            pytest.skip("pip install nvidia-cublas to compare with its header")
        kept = json.loads(cublas_header.KEPT.read_text())
        assert kept.pop("header").startswith("cublas_api.h")
        assert cublas_header.declarations(path.read_text()) == kept
