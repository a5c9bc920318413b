"""Training steps: both sides get the same work, must compute the same losses, and are timed in turn."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cuda_emulator
import fake_cupy
import numpy as np
import pytest

import minigrad as mg
from benchmarks.cases import CASES, Case, learning_rate, network_state
from benchmarks.measure import steps
from benchmarks.measure.process import WorkerError
from benchmarks.settings import Settings
from minigrad import capture

LR = {"mnist_gan": 3e-4, "dcgan_28": 1e-3, "dcgan_64": 2e-4, "lsgan": 1e-3, "r3gan": 1e-3, "cyclegan_64": 2e-4}
LR |= dict.fromkeys(("wgan_gp_mlp", "wgan_gp_conv"), 1e-4)
ROOT = Path(__file__).parents[2]
SMALL = Case("mnist_gan", batch_size=4)


def ours(folder: Path, case: Case = SMALL, settings: Settings | None = None) -> steps.Ours:
    steps.write_setup(case, folder / "setup", batches=5)
    return steps.Ours(settings or Settings(), asdict(case), str(folder / "setup"))


@pytest.mark.parametrize("case", CASES)
def test_the_setup_holds_our_weights_and_batches_of_the_right_shapes(case: str, tmp_path: Path) -> None:
    steps.write_setup(CASES[case], tmp_path / "setup", batches=3)
    arrays = mg.load(tmp_path / "setup")
    trainer = CASES[case].trainer()
    for name, array in network_state(trainer).items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
    for i, shape in enumerate(trainer.batch_shapes):
        assert arrays[f"batch.{i}"].shape == (3, *shape)
    assert arrays["lr"] == LR.get(case, learning_rate(trainer))


def test_our_side_makes_the_same_steps_from_the_same_noise(tmp_path: Path) -> None:
    first = ours(tmp_path).compared_losses()
    assert first == ours(tmp_path).compared_losses()
    assert np.shape(first) == (5, 4)


def test_our_side_makes_the_same_steps_on_cupy(tmp_path: Path) -> None:
    if reason := cuda_emulator.why_not():
        pytest.skip(reason)
    expected = ours(tmp_path, settings=Settings(compared=2)).compared_losses()
    with fake_cupy.installed():
        actual = ours(tmp_path, settings=Settings(backend="cupy", compared=2)).compared_losses()
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_after_the_comparison_a_side_draws_its_own_noise(tmp_path: Path) -> None:
    side = ours(tmp_path)
    side.compared_losses()
    assert not {"noise", "uniform"} & set(vars(side.trainer))
    assert side.step() != side.step()


def test_the_pytorch_side_imports_neither_the_engine_nor_the_trainers(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    steps.write_setup(SMALL, tmp_path / "setup", batches=1)
    program = (
        "import sys; from benchmarks.measure import steps; from benchmarks.settings import Settings;"
        f"steps.Theirs(Settings(compared=1), {asdict(SMALL)!r}, {str(tmp_path / 'setup')!r}, 'tuned').compared_losses();"
        "assert not {'minigrad', 'gans', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_a_difference_is_relative_to_the_largest_value_of_its_metric() -> None:
    theirs = np.array([[1.0, 0.0], [4.0, -0.01]])
    assert steps.relative_difference(theirs, theirs) == 0
    assert steps.relative_difference(theirs + np.array([[0.4, 0], [0, 0]]), theirs) == pytest.approx(0.1)
    assert steps.relative_difference(theirs + np.array([[0, 0.005], [0, 0]]), theirs) == pytest.approx(0.5)
    assert not steps.relative_difference(theirs * np.nan, theirs) < 1e9  # as check_agreement asks


class StubWorker:
    """A worker with a fixed answer, or with an error to raise."""

    about = ""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def ask(self, method: str, **arguments: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_nothing_is_timed_when_the_losses_differ() -> None:
    sides: Any = {"ours": StubWorker([[1.0]]), "eager": StubWorker([[1.25]])}
    with pytest.raises(steps.Disagreement, match=r"PyTorch eager gives other losses, by 2\.0e-01 relative"):
        steps.check_agreement(1e-5, sides, {})


def test_a_variant_that_fails_is_missing_and_the_others_are_compared() -> None:
    sides: Any = {
        "ours": StubWorker([[1.0]]),
        "eager": StubWorker([[1.0]]),
        "compiled": StubWorker(WorkerError("no C++ compiler")),
    }
    missing: dict[str, str] = {}
    steps.check_agreement(1e-5, sides, missing)
    assert list(sides) == ["ours", "eager"]
    assert missing == {"compiled": "no C++ compiler"}


@pytest.mark.parametrize("step", [0.001, 0.02, 0.4])
def test_the_timing_fills_its_time_for_fast_and_slow_steps(step: float) -> None:
    sides = [step, 1.5 * step, step]
    settings = Settings(seconds=30)
    rounds, count, refill = steps.plan(sides, settings)
    assert refill == (settings.refill if step < steps.LONG else 0)
    a_round = sum(steps.PAUSE + (refill + count) * side for side in sides)
    assert 30 - a_round < rounds * a_round <= 30
    assert count * step >= steps.TURN
    assert steps.plan(sides, replace(settings, seconds=0)) == (settings.rounds, count, refill)


def test_sides_are_timed_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    class Side(StubWorker):
        def ask(self, method: str, **arguments: Any) -> float:
            order.append(self.answer)
            return math.inf if arguments["steps"] in (Settings.warm_up, Settings.refill) else 0.5

    monkeypatch.setattr(steps, "PAUSE", 0)
    monkeypatch.setattr(steps, "plan", lambda *_: (2, 7, 2))
    sides: Any = {"ours": Side("a"), "eager": Side("b")}
    assert steps.time_in_turn(sides, Settings())["seconds"] == {"ours": [0.5, 0.5], "eager": [0.5, 0.5]}
    assert "".join(order) == "ab" + "ab" + "aabb" * 2


def test_a_side_that_dies_while_it_is_timed_is_missing_and_the_others_keep_their_times(monkeypatch: pytest.MonkeyPatch) -> None:
    step = steps.LONG / 2  # so that untimed steps come before each turn

    class Dies(StubWorker):
        def ask(self, method: str, **arguments: Any) -> float:
            self.answer -= 1
            if self.answer < 0:
                raise WorkerError("its process ended early")
            return step

    monkeypatch.setattr(steps, "PAUSE", 0)
    for turns in range(6):  # in the warm-up, before a turn, in a turn
        sides: Any = {"ours": StubWorker(step), "jax": Dies(turns), "tuned": StubWorker(step)}
        missing: dict[str, str] = {}
        result = steps.time_in_turn(sides, Settings(seconds=0, rounds=2), missing)
        assert result["seconds"] == {"ours": [step, step], "tuned": [step, step]}
        assert list(sides) == ["ours", "tuned"]
        assert missing == {"jax": "its process ended early"}
    with pytest.raises(WorkerError):
        steps.time_in_turn({"ours": Dies(3)}, Settings(seconds=0), {})  # type: ignore[dict-item]


def test_steps_are_captured_before_they_are_timed() -> None:
    assert steps.CAPTURED > capture.WARM_UP
    assert Settings().warm_up >= steps.CAPTURED
