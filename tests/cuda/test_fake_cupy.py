"""The stand-in for CuPy refuses what CuPy refuses, and leaves no trace."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import fake_cupy
import numpy as np
import pytest

from minigrad import backend


def loaded() -> dict[str, Any]:
    return {name: module for name, module in sys.modules.items() if name.startswith(("cupy", "minigrad.kernels.gpu"))}


def test_it_comes_and_goes() -> None:
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


def test_results_are_as_cupy_gives_them(cupy: Any) -> None:
    x = cupy.ones((2, 3), np.float32)
    assert isinstance(x.sum(), cupy.ndarray)
    assert isinstance(x[0, 0], cupy.ndarray)
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
def test_capture_refuses_what_waits(cupy: Any, use: Callable[[Any, Any], Any]) -> None:
    x = cupy.ones((1, 1))
    stream = cupy.cuda.Stream(non_blocking=True)
    stream.begin_capture()
    try:
        with pytest.raises((RuntimeError, NotImplementedError)):
            use(cupy, x)
    finally:
        stream.end_capture()
    use(cupy, x)


def test_an_optimizer_step_can_be_captured(cupy: Any) -> None:
    """Once the tables of addresses are on the GPU, nothing is copied there and nothing waits."""
    gpu = backend.kernels_named("cupy")
    arrays = [[cupy.ones(5, np.float32)] for _ in range(3)]
    gpu.sgd(*arrays, 0.1, 0.9)
    stream = cupy.cuda.Stream(non_blocking=True)
    stream.begin_capture()
    try:
        gpu.sgd(*arrays, 0.1, 0.9)
    finally:
        stream.end_capture()
