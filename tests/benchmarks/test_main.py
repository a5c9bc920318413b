"""`python -m benchmarks`: what it runs, in what order, what it keeps when interrupted, and its messages when it cannot run."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as program
from benchmarks import run
from benchmarks.cases import CASES
from benchmarks.measure import layers, start
from benchmarks.measure.process import WorkerError
from benchmarks.measure.steps import Disagreement
from benchmarks.settings import SIDES, Settings

ROOT = Path(__file__).parents[2]


def test_quick_compares_and_times_a_case(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    command = [sys.executable, "-m", "benchmarks", "mnist_gan", "--quick", "--part", "steps", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert [line.split("|")[2].strip() for line in done.stdout.splitlines() if line.startswith("| mnist_gan")] == [
        "minigrad", "PyTorch tuned",
    ]  # fmt: skip
    (result,) = json.loads((tmp_path / "results.json").read_text())["results"]
    sides = ("ours", "tuned")
    assert {name: len(times) for name, times in result["seconds"].items()} == dict.fromkeys(sides, 2)
    assert "| mnist_gan | PyTorch tuned |" in (tmp_path / "report.md").read_text()


def test_an_unknown_case_is_named_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        program.main(["nonsense"])
    assert f"there is no case nonsense; choose from {', '.join(CASES)}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flag", ["--threads=0", "--seconds=nan", "--patience=-1", "--stop-after=soon", "--out=", "--out={file}", "--x=\x1b[2J"]
)
def test_a_flag_that_cannot_be_used_is_one_sentence(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called = stub_parts(monkeypatch)
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        program.main([flag.format(file=tmp_path / "file")])
    assert ended.value.code in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m benchmarks: ") and line.isprintable()
    assert flag.partition("=")[0] in line or "cannot use the folder" in line
    assert not called


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_results_that_cannot_be_printed_are_kept(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    command = [sys.executable, "-m", "benchmarks", "--stop-after", "0", "--out", str(tmp_path)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    lost = "python -m benchmarks: stdout could not be written (No space left on device)\n"
    assert (done.returncode, done.stderr) == (74, lost)
    assert (tmp_path / "results.json").exists()


def test_without_pytorch_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="1"):
        program.main([])
    assert "PyTorch is not installed here: pip install torch" in capsys.readouterr().err


def test_without_a_gpu_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setattr("minigrad.arrays.backend.why_no_gpu", lambda: "the driver is on holiday.")
    with pytest.raises(SystemExit, match="1"):
        program.main(["--backend", "cupy"])
    assert "--backend cupy cannot run here: the driver is on holiday" in capsys.readouterr().err


def process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def stub_parts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Settings]]:
    """Replace every part by one that only notes that it was called, in the returned list."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    called: list[tuple[str, Settings]] = []

    def part(name: str) -> Any:
        return lambda run, settings: called.append((name, settings))

    for name in run.PARTS:
        monkeypatch.setitem(run.PARTS, name, part(name))
    return called


def stub_result(name: str, *_: Any) -> dict[str, Any]:
    """What `compare` returns."""
    facts = {"case": name, "batch_size": 1, "about": {}, "notes": {}, "missing": {}, "flops": 1, "rounds": 1, "steps": 1}
    return {**facts, "seconds": {"ours": [0.1]}, "memory": {"ours": {"resident": 1.0}}, "calls": [], "layers": {}}


def test_by_default_all_parts_run(monkeypatch: pytest.MonkeyPatch) -> None:
    called = stub_parts(monkeypatch)
    program.main([])
    settings = replace(Settings(), jax=importlib.util.find_spec("jax") is not None)
    assert called == [(name, settings) for name in run.PARTS]


def test_quick_leaves_the_long_parts_out(monkeypatch: pytest.MonkeyPatch) -> None:
    called = stub_parts(monkeypatch)
    program.main(["--quick"])
    assert called == [(name, Settings().quick()) for name in ("floor", "steps")]


def test_parts_run_in_order_of_importance(monkeypatch: pytest.MonkeyPatch) -> None:
    called = stub_parts(monkeypatch)
    program.main(["--part", "layers", "--part", "floor"])
    assert [name for name, _ in called] == ["floor", "layers"]


def test_all_sides_are_compared_and_the_compiled_one_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, ...]] = []
    monkeypatch.setattr("benchmarks.measure.steps.compare", lambda *given: compared.append(given[3]) or stub_result(given[0]))
    this = run.Run(["mnist_gan"])
    this.measure(["steps", "compiled"], Settings(jax=True))
    assert compared == [("ours", "op by op", "eager", "tuned", "jax"), ("ours", "compiled")]
    assert {side for sides in compared for side in sides} == set(SIDES)


def test_nothing_starts_after_the_deadline_and_the_report_names_it(tmp_path: Path) -> None:
    this = run.Run(["mnist_gan"], {"machine": "a machine"}, tmp_path, deadline=time.monotonic() - 1)
    this.measure(["floor", "compiled"], Settings())
    assert this.data["left_out"] == ["floor", "mnist_gan (compiled)"]
    assert "Left out, because the time was over: floor, mnist_gan (compiled)." in (tmp_path / "report.md").read_text()


def test_stop_after_sets_the_deadline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    program.main(["mnist_gan", "--part", "floor", "--part", "steps", "--stop-after", "0", "--out", str(tmp_path)])
    assert json.loads((tmp_path / "results.json").read_text())["left_out"] == ["floor", "mnist_gan"]


def test_a_failure_is_reported_and_the_rest_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    called = stub_parts(monkeypatch)

    def compare(name: str, *_: Any) -> Any:
        raise Disagreement(f"other losses in {name}")

    monkeypatch.setattr("benchmarks.measure.steps.compare", compare)
    monkeypatch.setitem(run.PARTS, "steps", run.measure_steps)
    with pytest.raises(SystemExit, match="1"):
        program.main(["lsgan", "mnist_gan", "--out", str(tmp_path)])
    assert "benchmarks: lsgan: other losses in lsgan" in capsys.readouterr().err
    assert [name for name, _ in called] == [name for name in run.PARTS if name != "steps"]
    assert "- failed: mnist_gan: other losses in mnist_gan" in (tmp_path / "report.md").read_text()


def test_an_interrupted_run_has_kept_every_case_it_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")

    def compare(name: str, *_: Any) -> Any:
        if name == "dcgan_64":
            raise KeyboardInterrupt
        return stub_result(name)

    monkeypatch.setattr("benchmarks.measure.steps.compare", compare)
    with pytest.raises(SystemExit, match="130"):
        program.main(["--part", "steps", "--part", "layers", "--out", str(tmp_path)])
    assert f"{tmp_path} has what was measured" in capsys.readouterr().out
    saved = json.loads((tmp_path / "results.json").read_text())
    assert [result["case"] for result in saved["results"]] == ["mnist_gan", "dcgan_28"]
    assert saved["unfinished"] == ["steps", "layers"]
    assert "Unfinished: steps, layers." in (tmp_path / "report.md").read_text()


def test_a_terminated_run_has_kept_what_it_measured_and_its_workers_end(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    program = (
        "import os, signal; from benchmarks import __main__ as program, run; from benchmarks.measure.process import Worker\n"
        "def floor(this, settings):\n"
        "    this.data['rates'] = {'NumPy': 1.0}\n"
        "    with Worker('benchmarks.measure.floor:NumPy', settings) as worker:\n"
        "        print(worker.process.pid, flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        worker.ask('rate', size=20_000)\n"
        "run.PARTS['floor'] = floor\n"
        f"program.main(['--part', 'floor', '--out', {str(tmp_path)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (143, "python -m benchmarks: stopped by SIGTERM\n")
    *_, pid, kept = done.stdout.splitlines()
    assert kept == f"{tmp_path} has what was measured"
    saved = json.loads((tmp_path / "results.json").read_text())
    assert (saved["rates"], saved["unfinished"]) == ({"NumPy": 1.0}, ["floor"])
    assert not process_exists(int(pid))


def test_results_are_on_disk_while_the_next_case_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A killed run keeps them as well."""
    seen: list[int] = []

    def compare(name: str, *_: Any) -> Any:
        if (tmp_path / "results.json").exists():
            seen.append(len(json.loads((tmp_path / "results.json").read_text())["results"]))
        return stub_result(name)

    monkeypatch.setattr("benchmarks.measure.steps.compare", compare)
    run.Run(["mnist_gan", "lsgan", "dcgan_28"], {"machine": "a machine"}, tmp_path).measure(["steps"], Settings())
    assert seen == [1, 2]
    assert json.loads((tmp_path / "results.json").read_text())["unfinished"] == []


def test_kernels_are_kept_case_by_case(monkeypatch: pytest.MonkeyPatch) -> None:
    class Side:
        def ask(self, method: str, **_: Any) -> float:
            return 0.5

    @contextlib.contextmanager
    def kernel_timer(settings: Settings) -> Any:
        yield layers.KernelTimer({"ours": Side(), "theirs": Side()})  # type: ignore[dict-item]

    def call(size: int) -> dict[str, Any]:
        return {"kernel": "matmul", "arguments": [{"shape": [size, size], "axes": [0, 1], "dtype": "float32"}] * 2}

    monkeypatch.setattr(layers, "kernel_timer", kernel_timer)
    results = [
        {**stub_result("mnist_gan"), "calls": [(call(2), 3), (call(4), 1)]}, {**stub_result("lsgan"), "calls": [(call(2), 5)]},
    ]  # fmt: skip
    this = run.Run([], {"results": results})
    this.measure(["layers"], Settings())
    assert [row["cases"] for row in this.data["kernels"]] == [{"mnist_gan": 3, "lsgan": 5}, {"mnist_gan": 1}]
    assert [(row["ours"], row["theirs"], row["flops"]) for row in this.data["kernels"]] == [(0.5, 0.5, 16), (0.5, 0.5, 128)]


def test_a_kernel_that_one_side_cannot_compute_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Side:
        def ask(self, method: str, **_: Any) -> float:
            return 0.5

    class Broken:
        def ask(self, method: str, **_: Any) -> float:
            raise WorkerError("no such function")

    timer = layers.KernelTimer({"ours": Side(), "theirs": Broken()})  # type: ignore[dict-item]
    call = {"kernel": "matmul", "arguments": [{"shape": [2, 2], "axes": [0, 1], "dtype": "float32"}] * 2}
    (row,) = timer.add({**stub_result("mnist_gan"), "calls": [(call, 1)]})
    assert (row["ours"], row["theirs"]) == (None, None)


def test_imports_are_timed_from_the_start_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "IMPORTS", {"nothing": "pass", "sleep": "import time; time.sleep(0.3)"})
    monkeypatch.setattr(start, "TURNS", 1)
    found = start.time_imports()
    assert found["nothing"] > 0
    assert found["sleep"] > 0.3


def test_a_cold_start_compiles_kernels_and_a_warm_one_finds_them(tmp_path: Path) -> None:
    from benchmarks.measure.steps import write_setup

    write_setup(CASES["mnist_gan"], tmp_path / "setup", batches=1)
    caches = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    cold = start.first_step("mnist_gan", "ours", tmp_path / "setup", Settings(), caches)
    assert list((tmp_path / "cache").rglob("*.nbc"))
    assert start.first_step("mnist_gan", "ours", tmp_path / "setup", Settings(), caches) < cold


def test_a_side_that_cannot_start_has_a_row_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> float:
        raise WorkerError("no Triton")

    monkeypatch.setattr(start, "first_step", fail)
    assert start.time_first_step("mnist_gan", "compiled", Settings()) == {
        "case": "mnist_gan", "side": "compiled", "missing": "no Triton",
    }  # fmt: skip
