"""A run gives the same bits whatever the hash seed, the number of threads, -OO and whether steps are captured."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gans.conftest import ROOT, state


@pytest.mark.usefixtures("plots_stubbed")
def test_a_run_and_one_resumed_in_another_environment(train: Callable, tmp_path: Path) -> None:
    arguments = ("--steps", 6, "--seed", 3, "--backend", "numpy")
    train(*arguments, "--out", tmp_path / "here" / "run")
    train(*arguments[2:], "--steps", 3, "--out", tmp_path / "run")
    changed = {"PYTHONHASHSEED": "7", "NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MINIGRAD_CACHE": str(tmp_path)}
    command = [sys.executable, "-OO", "-m", "gans.mnist_gan", "--no-capture", "--resume", "--out", "run", "--steps", "6"]
    subprocess.run(command, check=True, env={**os.environ, **changed}, cwd=tmp_path, capture_output=True)
    ours, theirs = state(tmp_path / "here" / "run"), state(tmp_path / "run")
    weights = [name for name in ours if name.endswith(".safetensors")]
    assert weights
    assert {name: ours[name] for name in weights} == {name: theirs[name] for name in weights}
