"""The training loop with captured steps: the files it writes, resuming after an interruption, and stopping at a NaN."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_trainers import make_mnist_gan

import minigrad as mg
from gans.data.batches import Batches
from gans.training import latent as trainers
from gans.training import loop as training_loop
from gans.training import run_folder
from gans.training.loop import Loop, TrainingError
from gans.training.run_folder import RunFolder
from minigrad.arrays.hooks import persistent
from minigrad.capture import Captured

STEPS = 23  # at 4 an epoch: some rows of metrics end inside an epoch, and some steps follow the last full row


@pytest.fixture(autouse=True)
def few_samples_and_no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainers, "SAMPLES", 4)
    monkeypatch.setattr(run_folder, "plot_curves", lambda path, *_: path.write_bytes(b"stub"))


class Poisoned(Batches):
    """Batches with a NaN in step 7, counted from 0."""

    def __getitem__(self, step: int) -> tuple[mg.Tensor]:
        (batch,) = super().__getitem__(step)
        if step == 7:
            batch.data[1, 0, 14, 14] = np.nan
        return (batch,)


def start(folder: Path, name: str, kind: type[Batches] = Batches, images: int = 14, **settings: Any) -> Loop:
    mg.manual_seed(0)
    trainer = make_mnist_gan(name, **settings)
    pixels = np.random.default_rng(0).integers(0, 256, (images, 1, 28, 28), np.uint8)
    run = RunFolder(folder)
    if not run.holds_run():
        run.start({"trainer": "mnist_gan", "config": {}})
    return Loop(trainer, kind(pixels, 3, 0, name), run)


def written(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix in (".safetensors", ".csv", ".png")
    }


def test_a_captured_run_writes_the_same_files_as_an_eager_run(name: str, tmp_path: Path) -> None:
    eager, captured = (start(tmp_path / way, name, steps=STEPS, no_capture=way == "eager") for way in ("eager", "captured"))
    for loop in (eager, captured):
        mg.manual_seed(0)
        assert loop.run() == 0
    assert isinstance(captured.make_step, Captured) and captured.make_step.program is not None
    assert not isinstance(eager.make_step, Captured)
    assert len(written(tmp_path / "eager")) >= 3 + STEPS // 4
    assert written(tmp_path / "captured") == written(tmp_path / "eager")


@pytest.mark.parametrize("images", [14, 100], ids=["epochs of 4 steps", "less than an epoch"])
def test_metrics_of_a_captured_run_equal_those_of_an_eager_run_on_the_cpu(name: str, tmp_path: Path, images: int) -> None:
    curves = []
    for way, backend_name in (("captured", name), ("eager", "numpy")):
        loop = start(tmp_path / way, backend_name, images=images, steps=STEPS, no_capture=way == "eager")
        loop.run()
        assert loop.folder
        steps, metrics = loop.folder.metrics.read()
        assert steps.tolist() == [10, 20, 23]
        assert loop.shown["d_loss"] == f"{metrics['d_loss'][-1]:.3f}"
        curves.append(list(metrics.values()))
    np.testing.assert_allclose(*curves, rtol=1e-4)


def test_rows_of_earlier_metrics_are_written_before_each_checkpoint(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, rows = RunFolder.save_checkpoint, {}

    def count_rows_and_save(self: RunFolder, arrays: Any, step: int, weights: Any) -> None:
        rows[step] = len(self.metrics.read()[0])
        plain(self, arrays, step, weights)

    monkeypatch.setattr(RunFolder, "save_checkpoint", count_rows_and_save)
    start(tmp_path, name, steps=STEPS).run()
    assert rows == {4: 0, 8: 0, 12: 1, 16: 1, 20: 2, 23: 3}


@pytest.mark.parametrize("stop", [1, 5, 8, 13])
def test_a_captured_run_resumes_bit_for_bit_after_an_interruption(name: str, tmp_path: Path, stop: int) -> None:
    whole = start(tmp_path / "whole", name, steps=STEPS)
    whole.run()
    first = start(tmp_path / "parts", name, steps=STEPS)
    first.last_step = stop
    first.run()
    second = start(tmp_path / "parts", name, steps=STEPS)
    second.restore()
    second.run()
    mine, expected = written(tmp_path / "parts"), written(tmp_path / "whole")
    for name in expected:
        assert mine[name] == expected[name], name


def test_a_nan_ends_a_captured_run_with_an_error_that_names_the_op_and_the_step(name: str, tmp_path: Path) -> None:
    loop = start(tmp_path / "run", name, Poisoned, steps=STEPS)
    with pytest.raises(TrainingError, match=re.escape("step 8: Concatenate(")) as caught:
        loop.run()
    assert "gave 1 NaN" in str(caught.value)
    assert "the checkpoint of step 4 is kept" in str(caught.value)


@pytest.mark.parametrize(("every", "step"), [(100, 8), (2, 6)])  # 8: at the end of the epoch
def test_a_non_finite_gradient_in_a_replay_ends_the_run_before_anything_is_written(
    xp: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, step: int
) -> None:
    """Non-finite gradients are skipped, so the losses stay finite: only the counts show them, on the CPU at once."""
    divisor, plain = xp.ones(1, np.float32), mg.grad

    class Dividing(Batches):
        def __getitem__(self, step: int) -> tuple[mg.Tensor]:
            divisor.fill(0 if step == 5 else 1)
            return super().__getitem__(step)

    def poisoned(*args: Any) -> list[mg.Tensor]:
        *others, last = plain(*args)
        return [*others, mg.Tensor(last.data / persistent(divisor))]

    monkeypatch.setattr(mg, "grad", poisoned)
    monkeypatch.setattr(training_loop, "CHECK_EVERY", every)
    loop = start(tmp_path / "run", name, Dividing, steps=STEPS)
    what = (
        f"step {step}: the gradient of generator.2.bias" if name == "cupy" else "step 6: the gradient of discriminator.3.bias"
    )
    with pytest.raises(TrainingError, match=re.escape(f"{what} is not finite; the checkpoint of step 4")):
        loop.run()
