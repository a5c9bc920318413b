"""Our side on the GPU backend, tested without a GPU: a stand-in for CuPy, with kernels in the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import capture_report
import cuda_emulator
import fake_cupy
import numpy as np
import pytest

import minigrad as mg
from benchmarks import machine
from benchmarks.cases import Case
from benchmarks.measure import floor, layers, libraries, overhead
from benchmarks.measure.watch import count_calls, watching
from benchmarks.settings import Settings
from minigrad.arrays import backend

SETTINGS = Settings(backend="cupy")


@pytest.fixture(scope="module", autouse=True)
def cupy() -> Iterator[Any]:
    if reason := cuda_emulator.why_not():
        pytest.skip(reason)
    with fake_cupy.installed() as module:
        yield module


def test_arrays_on_the_gpu_keep_their_memory_order() -> None:
    x = np.zeros((2, 3, 4, 5), np.float32).transpose(0, 3, 1, 2)
    moved = libraries.Minigrad(SETTINGS).array(x)
    assert backend.is_gpu(moved)
    assert moved.strides == x.strides


def test_the_clock_stops_when_the_gpu_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    library, order = libraries.Minigrad(SETTINGS), []
    monkeypatch.setattr(fake_cupy.Stream, "synchronize", lambda self: order.append("wait"))
    library.seconds(lambda: order.append("work"), 2)
    assert order == ["wait", "work", "work", "wait"]


def test_memory_is_the_size_of_the_pool(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = SimpleNamespace(total_bytes=lambda: 3 << 20)
    monkeypatch.setattr(cupy, "get_default_memory_pool", lambda: pool, raising=False)
    assert libraries.Minigrad(SETTINGS).memory()["gpu"] == 3


def test_tf32_is_set_as_requested_and_reported() -> None:
    try:
        assert "TF32 on" in libraries.Minigrad(Settings(backend="cupy", tf32=True)).about
        assert backend.tf32
        assert "TF32 off" in libraries.Minigrad(SETTINGS).about
        assert not backend.tf32
    finally:
        backend.allow_tf32(False)


def test_the_machine_is_described_with_its_gpu(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceProperties", lambda i: {"name": b"A GPU"}, raising=False)
    assert machine.machine("cupy").startswith("A GPU, ")


def test_products_operations_and_kernels_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "REPEATS", 5)
    assert floor.Ours(SETTINGS).rate(8) > 0
    assert min(overhead.Ours(SETTINGS).time("linear")) > 0
    side = layers.Ours(SETTINGS)
    x, w = (
        mg.Tensor(side.library.array(np.ones(shape, np.float32)), requires_grad=True) for shape in ((2, 3, 6, 6), (4, 3, 3, 3))
    )
    with watching(backend.kernels_named("cupy")) as calls:
        mg.grad(mg.functional.leaky_relu(mg.functional.conv2d(x, w, None, 1, 1), 0.2).sum(), [x, w])
    timed = [call for call, _ in count_calls(calls) if call["kernel"] in layers.TIMED]
    assert {"conv2d", "conv_transpose2d", "conv2d_weight", "leaky_relu"} <= {call["kernel"] for call in timed}
    for call in timed:
        side.prepare(call)
        assert backend.is_gpu(side.action())


def test_the_report_on_captured_steps_compares_every_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_report, "TIMED", 1)
    line, passed = capture_report.row("small", Case("mnist_gan", 2))
    assert passed
    assert line.startswith("| small | yes | yes | ")
    compare = capture_report.differences
    monkeypatch.setattr(capture_report, "differences", lambda eager, captured: [*compare(eager, captured), "d_loss"])
    line, passed = capture_report.row("small", Case("mnist_gan", 2))
    assert not passed
    assert line.startswith("| small | yes | except 1, first d_loss | ")


def test_the_report_on_captured_steps_goes_through_all_cases(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def row(name: str, case: Case) -> tuple[str, bool]:
        if name == "bad":
            raise RuntimeError("out of memory\nat line 3")
        return f"| {name} | yes |", True

    monkeypatch.setattr(capture_report, "row", row)
    monkeypatch.setattr(capture_report, "CASES", dict.fromkeys(("bad", "good"), Case("mnist_gan")))
    assert not capture_report.report()
    assert capsys.readouterr().out.splitlines()[2:] == ["| bad | RuntimeError: out of memory | | | |", "| good | yes |"]
