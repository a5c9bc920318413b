"""Backends: what becomes an array, where arrays live, and the errors when no GPU can be used."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigrad import BackendError, Tensor
from minigrad.arrays import backend
from minigrad.kernels import cpu


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A machine without CuPy; a test installs the parts that it needs."""
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    backend.why_no_gpu.cache_clear()
    yield monkeypatch
    backend.why_no_gpu.cache_clear()


class RuntimeFailure(Exception):
    """Stands in for cupy.cuda.runtime.CUDARuntimeError."""


def install_cupy(
    machine: pytest.MonkeyPatch, driver: int = 13000, devices: Any = 1, nvrtc: bool = True, cublas: bool = True
) -> None:
    """Install a fake CuPy with only the parts that the backend checks."""

    def count() -> int:
        if isinstance(devices, Exception):
            raise devices
        return devices

    def nvrtc_version() -> tuple[int, int]:
        if not nvrtc:
            raise OSError("libnvrtc.so")
        return 13, 0

    cupy: Any = ModuleType("cupy")
    cupy.ndarray = type("ndarray", (), {})
    runtime = SimpleNamespace(
        driverGetVersion=lambda: driver,
        runtimeGetVersion=lambda: 13000,
        getDeviceCount=count,
        CUDARuntimeError=RuntimeFailure,
    )
    cupy.cuda = SimpleNamespace(runtime=runtime, nvrtc=SimpleNamespace(getVersion=nvrtc_version))
    machine.setitem(sys.modules, "cupy", cupy)
    for name in ("cupy_backends", "cupy_backends.cuda", "cupy_backends.cuda.libs"):
        machine.setitem(sys.modules, name, ModuleType(name))
    machine.setitem(sys.modules, "cupy_backends.cuda.libs.cublas", ModuleType("cublas") if cublas else None)


class TestAsArray:
    def test_arrays_are_used_as_they_are(self) -> None:
        for a in (np.ones(3), np.ones(3, np.float16), np.arange(3), np.array([True]), np.ones((2, 2)).T):
            assert backend.as_array(a) is a

    @pytest.mark.parametrize(
        ("value", "dtype"),
        [
            (1.5, np.float32),
            ([1.0, 2.0], np.float32),
            (((1.0,), (2.0,)), np.float32),
            (np.float64(1.5), np.float64),
            (np.float16(1.5), np.float16),
            (np.int32(1), np.int32),
            (1, np.int_),
            ([1, 2], np.int_),
            (True, np.bool_),
            ([], np.float32),
        ],
        ids=repr,
    )
    def test_python_floats_become_float32_and_numpy_scalars_keep_their_type(self, value: Any, dtype: Any) -> None:
        assert backend.as_array(value).dtype == dtype

    def test_a_subclass_of_array_becomes_an_array(self) -> None:
        array = backend.as_array(np.ma.array([1.0, 2.0]))
        assert type(array) is np.ndarray
        assert array.dtype == np.float64

    @pytest.mark.parametrize(
        "bad", ["text", None, 1j, {"a": 1}, ["a"], object(), np.complex128(1)], ids=lambda b: type(b).__name__
    )
    def test_a_value_that_is_not_a_number_is_refused_and_its_type_named(self, bad: Any) -> None:
        with pytest.raises(TypeError, match=rf"a tensor holds numbers, not .* \({type(bad).__name__}\)"):
            backend.as_array(bad)


class TestOnTheCpu:
    def test_the_array_type_decides_the_backend(self) -> None:
        a = np.ones(2)
        assert backend.array_module(a, 2.0, None) is np
        assert backend.array_module() is np
        assert backend.name_of(a) == "numpy"
        assert backend.kernels(a) is cpu
        assert not backend.is_gpu(a)

    def test_moving_to_the_same_backend_copies_nothing(self) -> None:
        a = np.ones(2)
        assert backend.move(a, "numpy") is a
        assert backend.to_numpy(a) is a
        assert Tensor(a).numpy() is a

    def test_nan_and_infinities_are_found_and_counted(self) -> None:
        assert backend.all_finite(np.array([1.0, -2.0]))
        assert backend.all_finite(np.array([1, 2]))
        assert backend.all_finite(np.zeros(0))
        for bad in (np.nan, np.inf, -np.inf):
            assert not backend.all_finite(np.array([1.0, bad]))
        assert backend.describe_bad_values(np.array([np.nan, np.inf, 1.0])) == "1 NaN and 1 infinite of 3 values"


@pytest.mark.usefixtures("machine")
class TestWithoutCuPy:
    def test_auto_is_numpy(self) -> None:
        assert backend.resolve("auto") == backend.resolve("numpy") == "numpy"

    def test_resolving_cupy_says_what_to_install(self) -> None:
        with pytest.raises(
            BackendError, match=r"^--backend cupy cannot run here: CuPy is not installed: pip install 'cupy-cuda13x\[ctk\]"
        ):
            backend.resolve("cupy")

    def test_moving_an_array_to_cupy_says_that_it_is_not_installed(self) -> None:
        with pytest.raises(BackendError, match=r"^CuPy is not installed"):
            backend.move(np.ones(2), "cupy")

    def test_an_unknown_backend_is_refused_with_the_choices(self) -> None:
        with pytest.raises(BackendError, match=r"^there is no backend 'gpu'; choose auto, numpy or cupy$"):
            backend.resolve("gpu")

    def test_moving_to_an_unknown_backend_names_it(self) -> None:
        with pytest.raises(BackendError, match="'gpu'"):
            backend.move(np.ones(2), "gpu")


class TestBrokenCuPy:
    """Each failure is one sentence that says what is missing."""

    def why(self) -> str:
        assert backend.resolve("auto") == "numpy"
        with pytest.raises(BackendError) as caught:
            backend.resolve("cupy")
        message = str(caught.value)
        assert message.startswith("--backend cupy cannot run here: ")
        assert message.endswith(".")
        assert "\n" not in message
        return message

    def test_import_fails(self, machine: pytest.MonkeyPatch) -> None:
        machine.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace())
        machine.setitem(sys.modules, "cupy", None)
        assert "CuPy is installed but cannot be imported (" in self.why()

    def test_no_driver(self, machine: pytest.MonkeyPatch) -> None:
        install_cupy(machine, driver=0)
        assert "no NVIDIA driver" in self.why()

    def test_driver_too_old(self, machine: pytest.MonkeyPatch) -> None:
        install_cupy(machine, driver=11000, devices=RuntimeFailure("driver version is insufficient"))
        why = self.why()
        assert "CUDA 11000" in why
        assert "CUDA 13000" in why
        assert "driver version is insufficient" in why

    def test_no_gpu(self, machine: pytest.MonkeyPatch) -> None:
        install_cupy(machine, devices=0)
        assert "CUDA_VISIBLE_DEVICES" in self.why()

    def test_no_toolkit(self, machine: pytest.MonkeyPatch) -> None:
        install_cupy(machine, nvrtc=False, cublas=False)
        assert "without NVRTC and cuBLAS: pip install 'cupy-cuda13x[ctk]'" in self.why()

    def test_a_working_cupy_is_chosen(self, machine: pytest.MonkeyPatch) -> None:
        install_cupy(machine)
        assert backend.resolve("auto") == backend.resolve("cupy") == "cupy"
        assert backend.cupy_module() is sys.modules["cupy"]
