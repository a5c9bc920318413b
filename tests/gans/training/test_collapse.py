"""The alarm for mode collapse: one line for each fall of diversity, and none on a healthy run."""

from __future__ import annotations

import numpy as np
import pytest

from gans.training import latent
from gans.training.collapse import CollapseAlarm, diversity
from gans.training.loop import Loop
from tests.gans.conftest import Train


def noise(spread: float, count: int = 200) -> np.ndarray:
    """Images that differ by the spread, a standard deviation in grey levels."""
    values = np.random.default_rng(0).standard_normal((count, 1, 8, 8)) * spread + 127
    return np.rint(values).clip(0, 255).astype(np.uint8)


def test_diversity_is_the_standard_deviation_over_images_and_0_for_equal_ones() -> None:
    assert diversity(noise(40)) == pytest.approx(40, rel=0.02)
    assert diversity(np.repeat(noise(40)[:1], 9, axis=0)) == 0
    assert diversity(noise(40)[:1]) == 0
    a, b = noise(40)[:2].astype(float)
    assert diversity(np.stack([a, b])) * 2**0.5 == pytest.approx(np.sqrt(((a - b) ** 2).mean()))


def test_there_is_one_line_for_each_fall_with_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    alarm = CollapseAlarm(noise(40))
    for step, spread in enumerate([1, 2, 12, 30, 16, 12, 28, 4, 2, 16, 3, 24, 8]):
        alarm.see(step, noise(spread))
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("step 7: mode collapse?") and "differ by 10 %" in first and "at step 6 it was 70 %" in first
    assert second.startswith("step 12: ") and "differ by 20 %" in second and "at step 11 it was 60 %" in second


def test_equal_real_images_raise_no_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    alarm = CollapseAlarm(noise(0))
    for step, spread in enumerate([40, 0]):
        alarm.see(step, noise(spread))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("collapses", [False, True])
def test_a_run_that_is_made_to_collapse_raises_the_alarm_and_a_healthy_one_does_not(
    collapses: bool, train: Train, plots_stubbed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run collapses because its generator no longer gets to see the noise."""
    monkeypatch.setattr(latent, "SAMPLES", 16)
    plain = Loop.guarded_step

    def step(loop: Loop) -> object:
        metrics = plain(loop)
        first = loop.trainer.networks()["generator"].parameters()[0]
        if loop.step == 0:
            first.assign(20 * first.data)  # else 20 steps are too few for diverse images
        if collapses and loop.step == 12:
            first.assign(0)
        return metrics

    monkeypatch.setattr(Loop, "guarded_step", step)
    ended = train("--steps", 20, "--no-capture", "--sample-every", "2steps", "--out", "run")
    assert ended.code == 0, ended.err
    alarms = [line for line in ended.err.splitlines() if "mode collapse?" in line]
    assert len(alarms) == collapses
    assert not collapses or "step 14: mode collapse?" in alarms[0]
