"""The stand-in for CuPy refuses what CuPy refuses, and can be uninstalled."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_cupy
import numpy as np
import pytest
import real_cupy

from minigrad.arrays import backend

TESTS_ONLY = {"cuda.Stream.capturing", "cuda.Stream.current"}  # of the stand-in's own


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
    assert not hasattr(cupy, "random")
    assert not hasattr(cupy.ones(2).flags, "writeable")
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


def test_calls_are_written_down_where_cupy_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(real_cupy, "cupy", None)
    monkeypatch.setenv("CUPY_CALLS", str(tmp_path / "calls"))
    real_cupy.check_name.__wrapped__("sum")
    real_cupy.check_call.__wrapped__("sum", 1, ("axis", "where"))
    assert (tmp_path / "calls").read_text() == '["sum"]\n["sum", 1, ["axis", "where"]]\n'


REAL = pytest.mark.skipif(real_cupy.cupy is None, reason="pip install cupy-cuda13x to compare the stand-in with the real CuPy")


@REAL
class TestTheStandInPromisesNoMoreThanCuPy:
    """CuPy can be imported without a GPU; its NCCL cannot without that library."""

    def test_names_and_parameters_of_the_module_and_of_cuda(self, cupy: Any) -> None:
        module = {name: x for name, x in vars(type(cupy)).items() if not name.startswith("__") and name != "cuda"}
        promised = {name: getattr(cupy, name) for name in module} | dict(members("cuda", cupy.cuda))
        assert {"asarray", "cuda.Stream.begin_capture", "cuda.runtime.getDeviceCount"} <= promised.keys()
        wrong = [fault for path, x in promised.items() for fault in faults(path, x)]
        assert wrong == []

    def test_methods_and_properties_of_arrays_and_kernels(self) -> None:
        classes = {"ndarray": fake_cupy.ndarray, "RawModule": fake_cupy.RawModule, "RawKernel": fake_cupy.RawKernel}
        wrong = [fault for name, kind in classes.items() for path, x in members(name, kind) for fault in faults(path, x)]
        assert wrong == []

    def test_a_call_that_cupy_does_not_take_is_refused(self, cupy: Any) -> None:
        x = cupy.ones(3)
        for call in (
            lambda: cupy.sum(x, where=True),  # NumPy takes it
            lambda: x.sum(where=True),
            lambda: cupy.exp(x, where=True),
            lambda: x.argmax(axis=0, kind=1),
        ):
            with pytest.raises(TypeError, match="does not take these arguments"):
                call()
        with pytest.raises(AttributeError):
            _ = cupy.busday_count

    def test_arguments_that_numpy_takes_in_another_order_are_refused(self, cupy: Any) -> None:
        x = cupy.ones(3)
        assert cupy.argmax(x, 0).item() == 0
        with pytest.raises(TypeError, match=r"takes a, axis, dtype, but NumPy a, axis, out"):
            cupy.argmax(x, 0, None)

    def test_a_function_whose_arguments_are_unknown_is_refused(self, cupy: Any) -> None:
        with pytest.raises(TypeError, match=r"does not say what cupy\.divmod takes"):
            cupy.divmod(cupy.ones(3), 2)

    @pytest.mark.parametrize(
        ("call", "error"),
        [
            (["sum", 1, ["axis"]], None),
            (["sum", 1, ["where"]], "does not take these arguments"),
            (["busday_count"], "no attribute 'busday_count'"),
        ],
    )
    def test_calls_that_were_written_down_are_checked_later(self, call: Any, error: str | None, tmp_path: Path) -> None:
        (tmp_path / "calls").write_text(json.dumps(call) + "\n")
        command = [sys.executable, real_cupy.__file__, str(tmp_path / "calls")]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (checked.returncode == 0) == (error is None)
        assert (error or "") in checked.stderr

    @pytest.mark.parametrize("name", fake_cupy.METHODS)
    def test_the_arguments_of_every_method_are_known(self, name: str) -> None:
        assert real_cupy.signature(f"ndarray.{name}") is not None

    def test_a_call_that_relies_on_another_default_of_numpy_is_refused(self, cupy: Any) -> None:
        with pytest.raises(TypeError, match=r"by default mode is 'wrap' in cupy\.put, but 'raise' in NumPy"):
            cupy.put(cupy.ones(3), 5, 0)


def members(path: str, x: Any) -> Iterator[tuple[str, Any]]:
    """The public names in a class or a namespace of the stand-in, at any depth, with their paths."""
    for name, member in vars(x).items():
        if not name.startswith("_") and not isinstance(member, type(sys)) and f"{path}.{name}" not in TESTS_ONLY:
            yield f"{path}.{name}", member
            if isinstance(member, SimpleNamespace | type) and getattr(member, "__module__", "fake_").startswith("fake_"):
                yield from members(f"{path}.{name}", member)


def faults(path: str, x: Any) -> list[str]:
    try:
        real_cupy.find(path)
    except AttributeError:
        return [f"CuPy has no {path}"]
    return real_cupy.promises_more(path, x)
