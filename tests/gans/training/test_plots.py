from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gans.training.images import read_png
from gans.training.plots import plot_curves, running_mean


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
