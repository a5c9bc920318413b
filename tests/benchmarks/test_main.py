"""`python -m benchmarks`: what it runs, in what order, and what it says when it cannot."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as program
from benchmarks import check, parts, start
from benchmarks.cases import CASES
from benchmarks.settings import PYTORCH, Settings
from benchmarks.steps import Disagreement
from minigrad.arrays.backend import why_no_gpu

ROOT = Path(__file__).parents[2]


def test_quick_compares_and_times_a_case(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    command = [sys.executable, "-m", "benchmarks", "mnist_gan", "--quick", "--part", "steps", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert [line.split("|")[2].strip() for line in done.stdout.splitlines() if line.startswith("| mnist_gan")] == [
        "minigrad", "minigrad, op by op", "PyTorch eager", "PyTorch tuned",
    ]  # fmt: skip
    (result,) = json.loads((tmp_path / "results.json").read_text())["results"]
    sides = ("ours", "op by op", "eager", "tuned")
    assert {name: len(times) for name, times in result["seconds"].items()} == dict.fromkeys(sides, 2)
    assert "| mnist_gan | PyTorch tuned |" in (tmp_path / "report.md").read_text()


def test_an_unknown_case_is_named_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        program.main(["nonsense"])
    assert f"there is no case nonsense; choose among {', '.join(CASES)}" in capsys.readouterr().err


def test_without_pytorch_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="PyTorch is not installed here: pip install torch"):
        program.main([])


def test_without_a_gpu_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setattr("minigrad.arrays.backend.why_no_gpu", lambda: "the driver is on holiday.")
    with pytest.raises(SystemExit, match="--backend cupy cannot run here: the driver is on holiday"):
        program.main(["--backend", "cupy"])


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Settings]]:
    """The parts that a run does, in place of doing them."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    done: list[tuple[str, Settings]] = []

    def measure(name: str) -> Any:
        return lambda run, settings: done.append((name, settings))

    for name in parts.PARTS:
        monkeypatch.setitem(parts.PARTS, name, measure(name))
    return done


def answer_checks(monkeypatch: pytest.MonkeyPatch, gpu_tests: str, passed: bool) -> None:
    """The GPU tests end with a sentence, and the steps are captured."""
    monkeypatch.setattr(check, "run_gpu_tests", lambda log: check.Outcome(gpu_tests, passed))
    monkeypatch.setattr(check, "check_capture", lambda: check.Outcome("| mnist_gan | yes |", True))


def test_by_default_all_parts_run_with_all_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    done = recorded(monkeypatch)
    program.main([])
    assert done == [(name, Settings()) for name in parts.PARTS]
    assert Settings().variants == tuple(PYTORCH)


def test_quick_leaves_the_long_parts_and_compiling_out(monkeypatch: pytest.MonkeyPatch) -> None:
    done = recorded(monkeypatch)
    program.main(["--quick"])
    assert [name for name, _ in done] == list(parts.QUICK_PARTS)
    assert all(settings.variants == ("eager", "tuned") for _, settings in done)


def test_check_runs_the_gpu_tests_first_and_compiles_after_the_other_tables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = recorded(monkeypatch)
    answer_checks(monkeypatch, "12 passed", True)
    program.main(["--check", "--out", str(tmp_path)])
    assert [(name, "compiled" in settings.variants) for name, settings in done] == [
        ("floor", False), ("steps", False), ("layers", False), ("overhead", False), ("steps", True), ("start", False),
        ("sizes", False),
    ]  # fmt: skip
    text = (tmp_path / "report.md").read_text()
    assert "12 passed" in text
    assert "| mnist_gan | yes |" in text


def test_check_measures_the_parts_that_were_asked_for_and_fails_with_the_gpu_tests(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = recorded(monkeypatch)
    answer_checks(monkeypatch, "1 failed", False)
    with pytest.raises(SystemExit, match="GPU tests: not passed"):
        program.main(["--check", "--part", "layers", "--part", "floor", "--out", str(tmp_path)])
    assert [name for name, _ in done] == ["floor", "layers"]


def test_check_needs_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--check"])
    assert "give it with --out DIR" in capsys.readouterr().err


@pytest.mark.skipif(why_no_gpu() is None, reason="there is a GPU")
def test_without_a_gpu_the_captured_steps_say_why() -> None:
    text, passed = check.check_capture()
    assert "tests.cuda.capture_report` failed: " in text
    assert str(why_no_gpu()).splitlines()[-1] in text
    assert not passed


def test_the_gpu_tests_last_line_is_reported_and_all_of_it_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(check, "ROOT", tmp_path)
    (tmp_path / "test_it.py").write_text("import pytest\n@pytest.mark.gpu\ndef test_it(): pass\ndef test_other(): assert 0\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu: needs a GPU\n")
    text, passed = check.run_gpu_tests(tmp_path / "out" / "pytest.txt")
    assert "1 passed, 1 deselected" in text
    assert passed
    assert "1 passed" in (tmp_path / "out" / "pytest.txt").read_text()


def test_tests_that_hang_are_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(check, "ROOT", tmp_path)
    monkeypatch.setattr(check, "TEST_SECONDS", 1)
    (tmp_path / "test_it.py").write_text("import time, pytest\n@pytest.mark.gpu\ndef test_it(): time.sleep(60)\n")
    text, passed = check.run_gpu_tests(tmp_path / "pytest.txt")
    assert "stopped after 1 seconds" in text
    assert not passed


def test_what_would_begin_after_the_deadline_is_named() -> None:
    run = parts.Run(["mnist_gan"], deadline=time.monotonic() - 1)
    parts.measure_steps(run, Settings(variants=("compiled",)))
    parts.measure_floor(run, Settings())
    assert run.data == {"left_out": ["mnist_gan (compiled)", "floor"]}


def test_what_fails_is_noted_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done = recorded(monkeypatch)

    def compare(name: str, *_: Any) -> Any:
        raise Disagreement(f"other losses in {name}")

    monkeypatch.setattr("benchmarks.steps.compare", compare)
    monkeypatch.setitem(parts.PARTS, "steps", parts.measure_steps)
    with pytest.raises(SystemExit, match="benchmarks: lsgan: other losses in lsgan"):
        program.main(["lsgan", "mnist_gan", "--out", str(tmp_path)])
    assert [name for name, _ in done] == ["floor", "layers", "overhead", "sizes", "start"]
    assert "- failed: mnist_gan: other losses in mnist_gan" in (tmp_path / "report.md").read_text()


def test_imports_are_timed_from_the_start_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "IMPORTS", {"nothing": "pass", "sleep": "import time; time.sleep(0.3)"})
    monkeypatch.setattr(start, "TURNS", 1)
    found = start.time_imports()
    assert found["nothing"] > 0
    assert found["sleep"] > 0.3


def test_the_first_step_with_empty_caches_leaves_its_kernels_there(tmp_path: Path) -> None:
    from benchmarks.steps import write_setup

    write_setup(CASES["mnist_gan"], tmp_path / "setup", batches=1)
    caches = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    cold = start.first_step("mnist_gan", "ours", tmp_path / "setup", Settings(), caches)
    assert list((tmp_path / "cache").rglob("*.nbi"))
    assert start.first_step("mnist_gan", "ours", tmp_path / "setup", Settings(), caches) < cold
