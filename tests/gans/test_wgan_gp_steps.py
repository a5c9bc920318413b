"""A step of WGAN-GP: its penalised points, the networks that each backward pass reaches, its cost and its memory."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from gans.wgan_gp import PENALTIES, WGANGP, Config
from minigrad import engine, nn
from tests.gans.conftest import ROOT

KINDS = pytest.mark.parametrize("kind", PENALTIES)


def images(seed: int = 0, shape: tuple[int, ...] = (5, 2, 4, 4), dtype: Any = np.float64) -> mg.Tensor:
    return mg.Tensor(np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype))


def tiny(critic_steps: int = 2, **settings: Any) -> WGANGP:
    """A trainer with networks of a few neurons, for images (n, 1, 2, 2)."""
    mg.manual_seed(0)
    trainer = WGANGP(Config(backend="numpy", batch_size=3, critic_steps=critic_steps, **settings))
    trainer.latent_size = 3
    trainer.generator = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 4), nn.Reshape(1, 2, 2))
    trainer.critic = nn.Sequential(
        nn.Flatten(), nn.Linear(4, 6), nn.LeakyReLU(0.2), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)
    )
    renew_optimizers(trainer)
    return trainer


def renew_optimizers(trainer: WGANGP) -> None:
    """For networks that were replaced."""
    trainer.g_optimizer = trainer.make_optimizer(trainer.generator.parameters())
    trainer.critic_optimizer = trainer.make_optimizer(trainer.critic.parameters())


def tiny_batch(trainer: WGANGP) -> mg.Tensor:
    return images(shape=(trainer.images_per_step, 1, 2, 2), dtype=np.float32)


class TestPoints:
    def test_are_mixtures_of_a_real_and_a_generated_image_with_one_weight_per_sample(self) -> None:
        real, fake = images(0), images(1)
        between = trainer_of("two-sided").penalised_points(real, fake).data
        places = (between - fake.data) / (real.data - fake.data)
        alpha = places.reshape(len(real), -1)
        np.testing.assert_allclose(alpha, np.repeat(alpha[:, :1], 32, axis=1), rtol=1e-7)
        assert (alpha > 0).all() and (alpha < 1).all()
        assert len(set(alpha[:, 0])) == len(real)

    def test_their_weights_are_uniform(self) -> None:
        ones, zeros = mg.Tensor(np.ones((4000, 1, 1, 1))), mg.Tensor(np.zeros((4000, 1, 1, 1)))
        places = np.sort(trainer_of("one-sided").penalised_points(ones, zeros).data.ravel())
        assert np.abs(places - np.linspace(0, 1, 4000)).max() < 0.04  # Kolmogorov and Smirnov: less in all but 1 of 10^5 draws

    def test_of_r1_are_the_real_images(self) -> None:
        np.testing.assert_array_equal(trainer_of("zero-centred").penalised_points(images(0), images(1)).data, images(0).data)

    def test_of_dragan_are_real_images_with_noise_in_every_pixel(self) -> None:
        real = images(0)
        noise = trainer_of("dragan").penalised_points(real, images(1)).data - real.data
        assert (noise > 0).all() and noise.max() < 0.5 * real.data.std()
        assert len(np.unique(noise)) > 0.99 * noise.size


def trainer_of(penalty: str) -> WGANGP:
    mg.manual_seed(0)
    return WGANGP(Config(backend="numpy", penalty=penalty), dtype=np.float64)


class Watch:
    """Logs the engine during a step: (phase, parent, whether the graph is on) of every vector-Jacobian product."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, trainer: WGANGP) -> None:
        self.vjps: list[tuple[str, Any, bool]] = []
        self.recorded: list[tuple[str, engine.Op]] = []
        self.phase = "critic 0"
        vjp, apply = engine.Op.vjp, engine.Op.__call__

        def watched_vjp(op: engine.Op, i: int, g: mg.Tensor) -> mg.Tensor:
            self.vjps.append((self.phase, op.parents[i], mg.is_grad_enabled()))
            return vjp(op, i, g)

        def watched_apply(op: engine.Op, *inputs: Any) -> mg.Tensor:
            out = apply(op, *inputs)
            if out.op is op:
                self.recorded.append((self.phase, op))
            return out

        monkeypatch.setattr(engine.Op, "vjp", watched_vjp)
        monkeypatch.setattr(engine.Op, "__call__", watched_apply)
        steps = trainer.config.critic_steps
        phases = iter([*(f"critic {i}" for i in range(1, steps)), "generator"])
        critic_step = trainer.critic_optimizer.step

        def watched_step(grads: Any) -> None:
            critic_step(grads)
            self.phase = next(phases)

        monkeypatch.setattr(trainer.critic_optimizer, "step", watched_step)

    def reached(self, leaves: list[Any], recording: bool | None = None) -> set[str]:
        """The phases in which cotangents of these leaves were computed."""
        ids = set(map(id, leaves))
        return {phase for phase, parent, on in self.vjps if id(parent) in ids and recording in (None, on)}


@KINDS
class TestStep:
    def test_gradients_reach_each_network_in_its_own_steps_only(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        trainer = tiny(penalty=kind)
        watch = Watch(monkeypatch, trainer)
        trainer.step(tiny_batch(trainer))
        assert watch.reached(trainer.critic.parameters()) == {"critic 0", "critic 1"}
        assert watch.reached(trainer.generator.parameters()) == {"generator"}
        generators = set(map(id, trainer.generator.parameters()))
        assert {phase for phase, op in watch.recorded if generators & set(map(id, op.parents))} == {"generator"}

    def test_the_second_backward_pass_computes_no_gradient_of_the_images(
        self, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trainer = tiny(penalty=kind)
        watch = Watch(monkeypatch, trainer)
        trainer.step(tiny_batch(trainer))
        parameters = {id(p) for network in trainer.networks().values() for p in network.parameters()}
        others = [x for _, x, _ in watch.vjps if isinstance(x, mg.Tensor) and id(x) not in parameters]  # the points
        assert watch.reached(others, recording=True) == {"critic 0", "critic 1"}
        assert not watch.reached(others, recording=False)
        first = {id(op) for _, op in watch.recorded if op.name == "Reshape" and any(x is y for x in op.parents for y in others)}
        assert first and not any(id(parent) in first for _, parent, on in watch.vjps if not on)

    def test_a_step_leaves_grad_empty(self, kind: str) -> None:
        trainer = tiny(penalty=kind)
        real = tiny_batch(trainer)
        metrics = trainer.step(real)
        parameters = [p for network in trainer.networks().values() for p in network.parameters()]
        assert all(t.grad is None for t in [real, *parameters, *metrics.values()])

    def test_each_network_is_changed_by_its_own_optimizer_only(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for stopped, moving in (("g_optimizer", "critic"), ("critic_optimizer", "generator")):
            trainer = tiny(penalty=kind)
            monkeypatch.setattr(getattr(trainer, stopped), "step", lambda grads: None)
            before = {name: [p.data.copy() for p in net.parameters()] for name, net in trainer.networks().items()}
            trainer.step(tiny_batch(trainer))
            for name, network in trainer.networks().items():
                same = [np.array_equal(p.data, b) for p, b in zip(network.parameters(), before[name], strict=True)]
                assert not any(same[:-1]) if name == moving else all(same), (stopped, name)  # the last bias may stay

    def test_metrics_are_those_with_captions(self, kind: str) -> None:
        trainer = tiny(penalty=kind)
        metrics = trainer.step(tiny_batch(trainer))
        assert metrics.keys() == trainer.captions.keys()
        assert all(value.size == 1 and np.isfinite(value.item()) for value in metrics.values())

    def test_the_number_of_live_tensors_and_ops_is_constant_without_the_garbage_collector(self, kind: str) -> None:
        trainer = tiny(penalty=kind)
        real = tiny_batch(trainer)

        def live() -> int:
            return sum(issubclass(type(x), mg.Tensor | engine.Op) for x in gc.get_objects())

        trainer.step(real)
        gc.collect()
        gc.disable()
        try:
            before = live()
            for _ in range(200):
                trainer.step(real)
            assert live() == before
        finally:
            gc.enable()

    def test_pending_metrics_keep_no_large_arrays_alive(self, kind: str) -> None:
        trainer = tiny(penalty=kind)
        metrics = trainer.step(tiny_batch(trainer))
        ops = [value.op for value in metrics.values()]
        for op in ops:
            ops += [parent for parent in op.parents if isinstance(parent, engine.Op) and parent not in ops]
        assert len(ops) > len(metrics) and not any(op.kept for op in ops)


def test_a_critic_step_runs_only_the_convolutions_that_the_formulas_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a critic of two convolutions.

    Scores and points go forward (2 + 2), the slope goes back to the image (2), its cotangent forward again (2). Weights get a
    part from the scores and one from the slope (2 + 2), and the scores' cotangent goes back over the second layer (1).
    """
    from minigrad.kernels import cpu

    trainer = tiny(critic_steps=1)
    trainer.critic = nn.Sequential(
        nn.Conv2d(1, 3, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(3, 2, 3, 1, 1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(8, 1)
    )
    renew_optimizers(trainer)
    counts = dict.fromkeys(("conv2d", "conv_transpose2d", "conv2d_weight"), 0)

    def counted(name: str) -> Callable[..., Any]:
        kernel = getattr(cpu, name)

        def run(*arguments: Any) -> Any:
            counts[name] += 1
            return kernel(*arguments)

        return run

    for name in counts:
        monkeypatch.setattr(cpu, name, counted(name))
    at_critic_step: dict[str, int] = {}
    step = trainer.critic_optimizer.step
    monkeypatch.setattr(trainer.critic_optimizer, "step", lambda grads: (at_critic_step.update(counts), step(grads)))
    trainer.step(tiny_batch(trainer))
    assert at_critic_step == {"conv2d": 2 + 2 + 2, "conv_transpose2d": 2 + 1, "conv2d_weight": 2 + 2}
    g_step = {name: counts[name] - at_critic_step[name] for name in counts}
    assert g_step == {"conv2d": 2, "conv_transpose2d": 2, "conv2d_weight": 0}


MEMORY = """
import resource, sys
from minigrad import nn
from tests.gans.test_wgan_gp_steps import renew_optimizers, tiny, tiny_batch
trainer = tiny(critic_steps=10)
trainer.generator = nn.Sequential(nn.Linear(3, 4), nn.Reshape(1, 2, 2))
trainer.critic = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.LeakyReLU(0.2), nn.Linear(3, 1))
renew_optimizers(trainer)
real = tiny_batch(trainer)
def steps(count):
    for _ in range(count):
        trainer.step(real)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(steps(100), steps(int(sys.argv[1])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the resident size is read as Linux gives it, in KiB")
@pytest.mark.parametrize("steps", [300, pytest.param(1000, marks=pytest.mark.long)])
def test_the_resident_size_is_constant(steps: int) -> None:
    """In a new process, whose size no other test has increased. The critic makes ten times as many steps."""
    command = [sys.executable, "-W", "error", "-c", MEMORY, str(steps)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    before, after = map(int, ended.stdout.split())
    assert after - before < steps, f"{after - before} KiB more; one leaked array per critic step would be {steps} or more"
