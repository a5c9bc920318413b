"""`--watch-gradients`: norms per layer in metrics.csv and gradients.png, with no effect on the training."""

import numpy as np

import minigrad as mg
from gans.training.loop import Loop
from gans.training.metrics import MetricsFile
from gans.wgan_gp import WGANGP, Config
from tests.gans.conftest import Train, state


def test_watching_changes_no_bit_captured_or_not_and_survives_an_interruption(train: Train, tmp_path):
    runs = {"plain": (), "watched": ("--watch-gradients",), "op by op": ("--watch-gradients", "--no-capture")}
    for name, flags in runs.items():
        assert train("--out", tmp_path / name, "--epochs", 6, *flags).code == 0
    assert train("--out", tmp_path / "resumed", "--epochs", 6, "--steps", 13, "--watch-gradients").code == 0
    assert train("--out", tmp_path / "resumed", "--steps", 24, "--resume").code == 0

    weights = {name: (tmp_path / name / "generator.safetensors").read_bytes() for name in (*runs, "resumed")}
    assert len(set(weights.values())) == 1
    rows = {name: (tmp_path / name / "metrics.csv").read_text() for name in (*runs, "resumed")}
    assert rows["watched"] == rows["op by op"] == rows["resumed"] and rows["plain"] != rows["watched"]
    heading = rows["watched"].splitlines()[0]
    assert heading.startswith(rows["plain"].splitlines()[0]) and heading.count("grad generator.") == 3
    assert (tmp_path / "watched" / "gradients.png").stat().st_size > 10_000 and not (
        tmp_path / "plain" / "gradients.png"
    ).exists()
    assert state(tmp_path / "plain").keys() == state(tmp_path / "watched").keys() - {"gradients.png"}


def test_the_norms_are_those_of_the_gradients_that_reach_the_optimizer(monkeypatch):
    mg.manual_seed(0)
    trainer = WGANGP(Config(batch_size=4, critic_steps=2, backend="numpy", no_capture=True, watch_gradients=True))
    batches = type("Stream", (), {"per_epoch": 1, "batch_size": 4})()
    given, step = [], trainer.critic_optimizer.step
    monkeypatch.setattr(trainer.critic_optimizer, "step", lambda gradients: (given.append(gradients), step(gradients)))
    metrics = Loop(trainer, batches, None).make_step(mg.rand((8, 1, 28, 28)))
    last = [np.linalg.norm([np.linalg.norm(g.numpy()) for g in given[-1][i : i + 2]]) for i in (0, 2, 4)]
    measured = [metrics[f"grad critic.{i}"].item() for i in (1, 3, 5)]
    np.testing.assert_allclose(measured, last, rtol=1e-5)


def test_a_table_may_have_a_column_for_each_of_many_layers(tmp_path):
    table = MetricsFile(tmp_path / "metrics.csv")
    table.append(10, {f"grad network.{i}": float(i) for i in range(300)})
    assert len(table.read()[1]) == 300
