from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from gans.training import loop
from gans.training.images import read_png
from gans.training.loop import Loop
from gans.training.plots import plot_curves, running_mean
from tests.gans.conftest import Train, checkpoint_step
from tests.gans.training.conftest import at_step


@pytest.mark.parametrize("count", [0, 1, 2, 49, 50, 51, 149, 1000])
def test_the_running_mean_is_that_of_the_last_fiftieth_of_all_values(count: int) -> None:
    values = np.random.default_rng(0).standard_normal(count)
    window = max(1, count // 50)
    expected = [values[max(0, i + 1 - window) : i + 1].mean() for i in range(count)]
    np.testing.assert_allclose(running_mean(values), np.array(expected), rtol=1e-9, atol=1e-12)


def test_the_running_mean_of_a_constant_is_the_constant() -> None:
    np.testing.assert_allclose(running_mean(np.full(5000, 0.1)), 0.1, rtol=1e-10)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_metric_gets_a_panel_with_its_caption(tmp_path: Path, count: int) -> None:
    steps = np.arange(10, 110, 10.0)
    curves = {f"curve {i}": np.sin(steps + i) for i in range(count)}
    plot_curves(tmp_path / "bare.png", steps, curves, {})
    plot_curves(tmp_path / "captioned.png", steps, curves, dict.fromkeys(curves, "a sentence of some length " * 8))
    bare, captioned = read_png(tmp_path / "bare.png"), read_png(tmp_path / "captioned.png")
    assert captioned.shape[0] >= 300 * -(-count // 2)
    dark = [(image < 128).all(2).sum() for image in (bare, captioned)]
    assert dark[1] > dark[0] + 500 * count, "the captions are there"
    blue = (captioned[..., 2] > captioned[..., 0] + 60).sum()
    assert blue > 200 * count, "the curves are there"


def test_the_same_curves_give_the_same_file(tmp_path: Path) -> None:
    steps = np.arange(5.0)
    for name in ("a.png", "b.png"):
        plot_curves(tmp_path / name, steps, {"loss": steps}, {"loss": "it rises"})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("backend", ["no such backend", "module://nothing"])
def test_the_backend_of_a_notebook_does_not_matter(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("MPLBACKEND", backend)
    plot_curves(tmp_path / "a.png", np.arange(5.0), {"$x_$": np.arange(5.0)}, {"$x_$": "5 $ and \\frac"})
    assert read_png(tmp_path / "a.png").shape[1] == 1100
    assert os.environ["MPLBACKEND"] == backend


def test_training_goes_on_without_matplotlib_and_with_a_damaged_sample(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    for name in ("matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(loop, "OVERVIEW_SECONDS", -1)
    damage = lambda: (folder / "samples" / "step-000004.png").write_bytes(b"damaged")  # noqa: E731
    monkeypatch.setattr(Loop, "guarded_step", at_step(6, damage))
    ended = train("--epochs", 3, "--out", folder)
    assert ended.code == 0 and "Done" in ended.out
    said = sorted(line for line in ended.err.replace("\r", "\n").splitlines() if "cannot be drawn" in line)
    assert len(said) == 2 and all(line.endswith("training goes on.") for line in said), ended.err
    assert said[1].startswith("losses.png cannot be drawn (ModuleNotFoundError: ")
    assert said[0].startswith("a frame of training.gif cannot be drawn (") and "step-000004.png" in said[0]
    assert checkpoint_step(folder) == 12 and (folder / "training.gif").exists()
