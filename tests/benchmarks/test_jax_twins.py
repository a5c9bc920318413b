"""The JAX twins make the same steps as our trainers, in float64."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
from reference import gan_runs

from benchmarks.cases import CASES, learning_rate, network_state
from benchmarks.settings import JAX

jax = pytest.importorskip("jax", reason="JAX is not installed")

OTHER_SETTINGS: dict[str, dict[str, Any]] = {"cyclegan_64": {"width": 4, "pool": 1}, "r3gan": {"gamma": 0.3}}
SLOW_TO_COMPILE = [pytest.param(case, marks=pytest.mark.long) for case in CASES if case not in ("mnist_gan", "wgan_gp_mlp")]


@pytest.mark.parametrize("case", ["mnist_gan", "wgan_gp_mlp", *SLOW_TO_COMPILE])
def test_a_jax_twin_makes_the_same_steps_as_the_trainer(case: str) -> None:
    """With few images; CycleGAN with a pool of one, from which the third step may take an image."""
    network = {**CASES[case].network, **OTHER_SETTINGS.get(case, {})}
    small = replace(CASES[case], batch_size=min(4, CASES[case].batch_size), network=network)
    run = gan_runs.Run(small, steps=4 if case == "cyclegan_64" else 2)
    ours, trainer = gan_runs.run_minigrad(run, run.steps), run.trainer()
    with jax.enable_x64(True):
        twin = small.twin(network_state(trainer), learning_rate(trainer), JAX)
        gan_runs.replay_randomness(twin, jax.numpy.asarray)
        batches = islice(run.batches(trainer), run.steps)
        metrics = np.array([twin.step(*map(twin.images, batch)) for batch in batches])
        theirs = {name: array for name, array in twin.state().items() if name in ours}
    assert ours.keys() == {"metrics", *theirs}
    for name, array in {"metrics": metrics, **theirs}.items():
        np.testing.assert_allclose(ours[name], array, rtol=0, atol=1e-9 * np.abs(array).max(), err_msg=name)


def test_a_jax_twin_draws_other_random_numbers_in_each_step() -> None:
    case = replace(CASES["mnist_gan"], batch_size=4)
    trainer = case.trainer()
    twin = case.twin(network_state(trainer), 0.0, JAX)  # weights that stay
    real = twin.images(np.zeros((4, 1, 28, 28), np.float32))
    first, second = twin.step(real), twin.step(real)
    assert first[2] == second[2]  # D(x)
    assert first[3] != second[3]  # D(G(z))
