"""A NaN or an infinity ends a run with a sentence that names the op or array and the step, and is never saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from gans.data.batches import Batches
from gans.mnist_gan import Config, MnistGAN
from gans.training.loop import Loop
from tests.gans.conftest import Train, checkpoint_step, state

pytestmark = pytest.mark.usefixtures("plots_stubbed")


def finite(path: Path) -> bool:
    return all(np.isfinite(a).all() for a in mg.load(path).values())


@pytest.mark.parametrize("rate", ["1e12", "1e20", "1e39", "1e300"])
def test_a_learning_rate_far_too_large_ends_the_run_with_the_op_and_the_step(rate: str, train: Train, tmp_path: Path) -> None:
    complaint = train("--lr", rate, "--epochs", 10, "--out", tmp_path / "run").complaint
    assert " step 1: Linear(" in complaint
    assert "NaN" in complaint or "infinite" in complaint
    assert "--lr" in complaint


def test_nan_in_the_data_ends_the_run_with_the_op_and_the_step_and_keeps_the_checkpoint(
    train: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plain = tmp_path / "run", Batches.__getitem__

    def with_nan(self: Batches, step: int) -> tuple[mg.Tensor]:
        (batch,) = plain(self, step)
        if step == 5:
            batch.data[3, 0, 14, 14] = np.nan
        return (batch,)

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "__getitem__", with_nan)
        complaint = train("--epochs", 3, "--out", folder).complaint
    assert " step 6: Concatenate(" in complaint
    assert "1 NaN" in complaint
    assert "checkpoint of step 4 is kept" in complaint
    assert checkpoint_step(folder) == 4
    assert finite(folder / "checkpoint.safetensors")
    assert train("--resume", "--out", folder).code == 0
    assert state(folder) == state(whole)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("network", "name"), [("discriminator", "4.bias"), ("generator", "2.weight")])
def test_a_gradient_that_is_not_finite_is_reported_by_its_parameters_name(
    network: str, name: str, value: float, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, steps = mg.grad, []

    def poisoned(output: mg.Tensor, inputs: Any, *rest: Any) -> Any:
        grads = plain(output, inputs, *rest)
        steps.append(output)
        if len(steps) > 8:  # two calls per step: from step 5 on
            names = list(wanted)
            if len(inputs) == len(names) and [p.shape for p in inputs] == [wanted[n].shape for n in names]:
                grads[names.index(name)].data.flat[0] = value
        return grads

    wanted = dict(getattr(MnistGAN(Config(backend="numpy")), network).named_parameters())
    monkeypatch.setattr(mg, "grad", poisoned)
    complaint = train("--epochs", 3, "--no-capture", "--out", tmp_path / "run").complaint
    assert f" step 5: the gradient of {network}.{name} is not finite" in complaint
    assert checkpoint_step(tmp_path / "run") == 4
    assert finite(tmp_path / "run" / "checkpoint.safetensors")


@pytest.mark.parametrize("step", [3, 4, 9, 10, 12])
def test_a_loss_that_is_not_finite_is_reported_with_its_own_step(
    step: int, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, calls = Loop.guarded_step, []

    def infinite(self: Loop) -> Any:
        calls.append(self.step)
        return {**plain(self), **({"g_loss": mg.Tensor(np.inf)} if len(calls) == step else {})}

    monkeypatch.setattr(Loop, "guarded_step", infinite)
    complaint = train("--epochs", 3, "--out", tmp_path / "run").complaint
    assert f" step {step}: g_loss is inf" in complaint


@pytest.mark.parametrize("bad", ["generator.2.weight", "discriminator.4.bias", "g_optimizer.second.1"])
def test_weights_that_are_not_finite_never_replace_a_good_checkpoint_or_its_samples(
    bad: str, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plain, calls = tmp_path / "run", Loop.guarded_step, []

    def with_infinity(self: Loop) -> Any:
        metrics = plain(self)
        calls.append(self.step)
        if len(calls) == 8:  # the last of an epoch: saved right after
            self.trainer.state_dict()[bad].flat[0] = np.inf
        return metrics

    monkeypatch.setattr(Loop, "guarded_step", with_infinity)
    complaint = train("--epochs", 3, "--out", folder).complaint
    assert " step 8: " in complaint
    assert bad in complaint or "optimizer" in bad
    assert checkpoint_step(folder) == 4
    assert finite(folder / "checkpoint.safetensors")
    assert finite(folder / "generator.safetensors")


def test_a_learning_rate_too_large_leaves_no_checkpoint_with_nan_even_if_an_epoch_is_one_step(
    train: Train, tmp_path: Path
) -> None:
    complaint = train("--batch-size", 64, "--lr", "1e10", "--epochs", 5, "--out", tmp_path / "run").complaint
    assert "step " in complaint
    for path in (tmp_path / "run").glob("*.safetensors"):
        assert finite(path), path.name
