"""The harness: what it prints follows from what it measured, and both sides are given the same work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from benchmarks import __main__ as harness
from benchmarks.cases import CASES, network_state
from benchmarks.worker import Ours

LR = {"mnist_gan": 3e-4, "dcgan_28": 1e-3, "dcgan_64": 2e-4, "lsgan": 1e-3, "wgan_gp_mlp": 1e-4, "wgan_gp_conv": 1e-4}
ROOT = Path(__file__).parents[2]
RESULT = {
    "case": "mnist_gan",
    "about": {"ours": "a", "eager": "b"},
    "seconds": {"ours": [0.001, 0.002, 0.004], "eager": [0.003, 0.004, 0.004]},
    "mib": {"ours": 100.0, "eager": 200.0},
    "rounds": 3,
    "steps": 1,
}


def test_the_ratio_is_the_median_of_ratios_pair_by_pair() -> None:
    ours, eager = harness.summary(RESULT)
    assert ours["ratio"] == 1
    assert eager["ratio"] == 2  # of 3, 2 and 1; the ratio of the medians would be 2, of the minima 3
    assert (eager["min_ms"], eager["median_ms"], eager["mib"]) == (3, 4, 200)


def test_the_table_has_a_row_for_each_side() -> None:
    lines = harness.table(harness.summary(RESULT)).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| mnist_gan | minigrad | 1.00 | 2.00 | 1.00 | 100 |")


def test_a_report_is_written_with_the_machine(tmp_path: Path) -> None:
    harness.write_report(tmp_path / "out", [RESULT])
    assert harness.machine() in (tmp_path / "out" / "report.md").read_text()
    assert (tmp_path / "out" / "results.json").exists()


@pytest.mark.parametrize("step", [0.001, 0.02, 0.4])
def test_the_timing_fills_its_time_whatever_a_step_takes(step: float) -> None:
    sides = [step, 1.5 * step, step]
    rounds, steps = harness.plan(sides, seconds=30)
    a_round = sum(harness.PAUSE + (harness.REFILL + steps) * side for side in sides)
    assert 30 - a_round < rounds * a_round <= 30
    assert steps * step >= harness.TURN
    assert harness.plan(sides, seconds=0) == (harness.ROUNDS, steps)


def test_disagreement_is_relative_to_each_metrics_largest_value() -> None:
    theirs = np.array([[1.0, 0.0], [4.0, -0.01]])
    assert harness.disagreement(theirs, theirs) == 0
    assert harness.disagreement(theirs + np.array([[0.4, 0], [0, 0]]), theirs) == pytest.approx(0.1)
    assert harness.disagreement(theirs + np.array([[0, 0.005], [0, 0]]), theirs) == pytest.approx(0.5)
    assert not harness.disagreement(theirs * np.nan, theirs) < 1e9  # as compare asks


@pytest.mark.parametrize("case", CASES)
def test_the_setup_holds_our_weights_and_images_that_fit(case: str, tmp_path: Path) -> None:
    setup = tmp_path / "setup.safetensors"
    harness.write_setup(case, setup)
    arrays = mg.load(setup)
    trainer = CASES[case].trainer()
    for name, array in network_state(trainer).items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
    image = (3, 64, 64) if case == "dcgan_64" else (1, 28, 28)
    assert arrays["real"].shape == (harness.AGREE_STEPS, trainer.images_per_step, *image)
    assert arrays["lr"] == LR[case]


def test_our_side_replays_the_same_steps_again(tmp_path: Path) -> None:
    setup = tmp_path / "setup.safetensors"
    harness.write_setup("mnist_gan", setup)
    first = Ours("mnist_gan", str(setup), "", threads=2).replay()
    assert first == Ours("mnist_gan", str(setup), "", threads=2).replay()
    assert len(first) == harness.AGREE_STEPS


def test_pytorch_does_not_inherit_our_thread_settings() -> None:
    program = (
        "from benchmarks import __main__ as harness; import os; import minigrad;"
        "assert 'GOMP_SPINCOUNT' in os.environ;"
        "assert not {'GOMP_SPINCOUNT', 'OPENBLAS_THREAD_TIMEOUT'} & set(harness.ENVIRONMENT)"
    )
    clean = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OPENBLAS_THREAD_TIMEOUT")}
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env=clean)


def test_the_pytorch_side_imports_nothing_of_ours_but_the_twins(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    harness.write_setup("mnist_gan", tmp_path / "setup")
    program = (
        "import sys; from benchmarks.worker import PyTorch;"
        f"PyTorch('mnist_gan', {str(tmp_path / 'setup')!r}, 'tuned', 1).replay();"
        "assert not {'minigrad', 'gans', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_the_command_compares_and_times_a_case(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    command = [sys.executable, "-m", "benchmarks", "mnist_gan", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert [line.split("|")[2].strip() for line in done.stdout.splitlines() if line.startswith("| mnist_gan")] == [
        "minigrad", "PyTorch eager", "PyTorch tuned",
    ]  # fmt: skip
    (result,) = json.loads((tmp_path / "results.json").read_text())["results"]
    assert {name: len(times) for name, times in result["seconds"].items()} == dict.fromkeys(("ours", "eager", "tuned"), 3)


def test_nothing_is_timed_when_the_losses_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setattr(harness, "disagreement", lambda ours, theirs: 0.25)
    with pytest.raises(SystemExit, match=r"mnist_gan: PyTorch \(eager\) gives other losses, by 2\.5e-01 relative"):
        harness.compare("mnist_gan", threads=2, seconds=0)


def test_an_unknown_case_is_named_in_one_line() -> None:
    command = [sys.executable, "-m", "benchmarks", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    cases = "mnist_gan, dcgan_28, dcgan_64, lsgan, wgan_gp_mlp, wgan_gp_conv"
    assert f"there is no case nonsense; choose among {cases}" in done.stderr
