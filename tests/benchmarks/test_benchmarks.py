"""The harness: what it prints follows from what it measured, and both sides are given the same work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from benchmarks import __main__ as harness
from benchmarks.worker import Ours, states

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


def test_our_side_replays_the_setups_weights_and_noise(tmp_path: Path) -> None:
    setup = tmp_path / "setup.safetensors"
    harness.write_setup("mnist_gan", setup)
    side = Ours("mnist_gan", str(setup), "", threads=2)
    weights = states(mg.load(setup))["generator.0.weight"]
    np.testing.assert_array_equal(side.trainer.generator.state_dict()["0.weight"], weights)
    first = side.replay()
    assert first == Ours("mnist_gan", str(setup), "", threads=2).replay()
    assert len(first) == harness.AGREE_STEPS


def test_pytorch_does_not_inherit_our_thread_settings() -> None:
    program = (
        "from benchmarks import __main__ as harness; import os; import minigrad;"
        "assert 'GOMP_SPINCOUNT' in os.environ;"
        "assert not {'GOMP_SPINCOUNT', 'OPENBLAS_THREAD_TIMEOUT'} & set(harness.ENVIRONMENT)"
    )
    clean = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OPENBLAS_THREAD_TIMEOUT")}
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2], env=clean)


def test_both_sides_agree_and_are_timed() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    result = harness.compare("mnist_gan", threads=2, rounds=2, steps=1)
    assert {name: len(times) for name, times in result["seconds"].items()} == {"ours": 2, "eager": 2, "tuned": 2}


def test_an_unknown_case_is_named_in_one_line() -> None:
    command = [sys.executable, "-m", "benchmarks", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 2
    assert "there is no case nonsense; choose among mnist_gan" in done.stderr
