"""The stand-in for CuPy refuses what CuPy refuses, and can be uninstalled."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import fake_cupy
import numpy as np
import pytest

from minigrad.arrays import backend


def loaded() -> dict[str, Any]:
    return {name: module for name, module in sys.modules.items() if name.startswith(("cupy", "minigrad.kernels.gpu"))}


def test_it_is_installed_and_uninstalled() -> None:
    before = loaded()
    with fake_cupy.installed() as cupy:
        assert backend.why_no_gpu() is None
        assert backend.resolve("auto") == "cupy"
        assert backend.kernels(cupy.ones(2)).__name__ == "minigrad.kernels.gpu"
    assert loaded() == before


REFUSED: dict[str, Callable[[Any, Any, np.ndarray], Any]] = {
    "sum of both kinds": lambda cupy, x, a: x + a,
    "sum of both kinds, the other way": lambda cupy, x, a: a + x,
    "in place": lambda cupy, x, a: x.__iadd__(a),
    "assigned": lambda cupy, x, a: x.__setitem__(0, a),
    "function": lambda cupy, x, a: cupy.maximum(x, a),
    "joined": lambda cupy, x, a: cupy.concatenate([x, a]),
    "index": lambda cupy, x, a: x[a.astype(int)],
    "conversion": lambda cupy, x, a: np.asarray(x),
    "NumPy's ufunc": lambda cupy, x, a: np.exp(x),
    "NumPy's function": lambda cupy, x, a: np.concatenate([x, x]),
}


@pytest.mark.parametrize("use", REFUSED.values(), ids=REFUSED)
def test_numpy_and_cupy_do_not_mix(cupy: Any, use: Callable[[Any, Any, np.ndarray], Any]) -> None:
    with pytest.raises(TypeError):
        use(cupy, cupy.ones(3), np.ones(3))


def test_what_cupy_lacks_is_missing(cupy: Any) -> None:
    for name in ("errstate", "nditer"):
        assert not hasattr(cupy, name)
    assert hasattr(cupy.add, "at")
    assert not hasattr(cupy.multiply, "at")
    with pytest.raises(AttributeError):
        cupy.where(True, cupy.ones(2), 0)


def test_results_have_cupys_types_and_layouts(cupy: Any) -> None:
    x = cupy.ones((2, 3), np.float32)
    assert isinstance(x.sum(), cupy.ndarray)
    assert isinstance(x[0, 0], cupy.ndarray)
    element = x[0, 0]
    x.fill(2)
    assert element.item() == 2
    assert (x.T + 1).flags.c_contiguous
    assert (np.float32(2) * x).dtype == np.float32
    assert backend.is_gpu(np.float32(2) * x)


WAITS: dict[str, Callable[[Any, Any], Any]] = {
    "get": lambda cupy, x: x.get(),
    "item": lambda cupy, x: x.item(),
    "bool": lambda cupy, x: bool(x),
    "mask": lambda cupy, x: x[x > 0],
    "to the GPU": lambda cupy, x: cupy.asarray(np.ones(3)),
    "matmul": lambda cupy, x: x @ x,
    "cupy.matmul": lambda cupy, x: cupy.matmul(x, x),
}


@pytest.mark.parametrize("use", WAITS.values(), ids=WAITS)
def test_capture_refuses_what_waits_for_the_gpu(cupy: Any, use: Callable[[Any, Any], Any]) -> None:
    x = cupy.ones((1, 1))
    with cupy.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        try:
            with pytest.raises((RuntimeError, NotImplementedError)):
                use(cupy, x)
        finally:
            stream.end_capture()
    use(cupy, x)


def test_a_graph_runs_the_captured_work_on_the_captured_memory_when_launched(cupy: Any) -> None:
    x, y = cupy.full(3, 2.0), cupy.zeros(3)
    with cupy.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        z = x * 3
        y += z
        y[0] = 7
        view = z[1:].reshape(2, 1)
        graph = stream.end_capture()
    assert y.get().tolist() == [0, 0, 0]
    assert np.isnan(z.get()).all(), "nothing has been computed"
    for times in (1, 2):
        x.fill(times)
        graph.launch()
        assert z.get().tolist() == [3 * times] * 3
        assert view.get().tolist() == [[3 * times]] * 2
    assert y.get().tolist() == [7, 9, 9]


def test_freed_memory_is_overwritten_and_reused_by_its_pool_on_its_stream(cupy: Any) -> None:
    pool, stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
    with stream, cupy.cuda.using_allocator(pool.malloc):
        x = cupy.ones(1000)
        address, view = x.data.ptr, x[1:]
        del x
        assert view.get().tolist() == [1] * 999, "a view keeps the memory"
        del view
        again = cupy.empty(1000)
    assert again.data.ptr == address
    assert np.isnan(again.get()).all()
    del again
    assert cupy.empty(1000).data.ptr != address, "this is another pool"
    with cupy.cuda.using_allocator(pool.malloc):
        assert cupy.empty(1000).data.ptr != address, "this is another stream"


def test_the_default_stream_cannot_be_captured_and_no_other_stream_may_work_meanwhile(cupy: Any) -> None:
    with pytest.raises(RuntimeError, match="default"):
        cupy.cuda.Stream(null=True).begin_capture()
    x, stream = cupy.ones(3), cupy.cuda.Stream(non_blocking=True)
    with stream:
        cupy.concatenate([x] * 9)
        stream.begin_capture()
        cupy.concatenate([x] * 8)
        with pytest.raises(RuntimeError, match="concatenate waits"):  # CuPy sends a table of addresses
            cupy.concatenate([x] * 9)
    with pytest.raises(RuntimeError, match="another one captures"):
        x + 1
    stream.end_capture()
