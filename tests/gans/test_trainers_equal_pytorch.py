"""Many training steps give PyTorch's losses, weights and running statistics, to 1e-9 relative in float64.

Not compared are biases in front of an instance normalisation, which cancels them.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
from reference import gan_runs
from reference.gan_runs import RUNS, Arrays

import minigrad as mg

LIVE = 10  # steps compared with PyTorch running in the test; the recorded runs are longer


@functools.cache
def ours(name: str) -> Arrays:
    """The run by minigrad; cached."""
    return gan_runs.run_minigrad(RUNS[name], RUNS[name].steps)


@functools.cache
def recorded() -> Arrays:
    return mg.load(gan_runs.RECORDED)


def assert_metrics_equal(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Relative to the largest value of each metric, because single values may be close to 0."""
    np.testing.assert_array_less(np.abs(ours - theirs).max(axis=0), 1e-9 * np.abs(theirs).max(axis=0))


@pytest.mark.parametrize("name", RUNS)
def test_losses_weights_and_statistics_equal_the_recorded_ones(name: str) -> None:
    theirs = {key.removeprefix(f"{name}."): a for key, a in recorded().items() if key.startswith(f"{name}.")}
    found = gan_runs.fingerprint(ours(name))
    assert found.keys() == theirs.keys()
    assert_metrics_equal(found.pop("metrics"), theirs["metrics"])
    for key, probes in found.items():
        size = np.linalg.norm(ours(name)[key])
        np.testing.assert_allclose(probes, theirs[key], rtol=0, atol=1e-9 * size, err_msg=key)


@pytest.mark.parametrize("name", RUNS)
def test_losses_weights_and_statistics_equal_those_of_a_live_run(name: str) -> None:
    check_live_run(name, LIVE)


@pytest.mark.long
@pytest.mark.parametrize(
    "name", sorted(RUNS.keys() - {"wgan_conv", "cyclegan"})
)  # in 50 steps their rounding errors grow too large
def test_losses_weights_and_statistics_equal_those_of_a_live_run_of_fifty_steps(name: str) -> None:
    check_live_run(name, 50)


def check_live_run(name: str, steps: int) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed; the recorded runs are compared anyway")
    run = dataclasses.replace(RUNS[name], steps=steps)
    found, theirs = gan_runs.run_minigrad(run, steps), gan_runs.run_torch(run, steps)
    assert found.keys() == theirs.keys()
    assert_metrics_equal(found["metrics"], theirs["metrics"])
    for key in found.keys() - {"metrics"}:
        error = np.abs(found[key] - theirs[key]).max() / np.abs(theirs[key]).max()
        assert error < 1e-9, f"{key}: {error:.1e}"


@pytest.mark.parametrize("name", RUNS)
def test_the_run_is_long_enough_to_move_every_weight(name: str) -> None:
    """Weights that hardly move would agree whatever the step does. No loss depends on a critic's last bias."""
    trainer = RUNS[name].trainer()
    start = gan_runs.network_state(trainer)
    parameters = {f"{owner}.{key}" for owner, network in trainer.networks().items() for key, _ in network.named_parameters()}
    for key in parameters - gan_runs.without_effect(trainer) - {"critic.5.bias"}:
        moved = np.abs(ours(name)[key] - start[key]).max()
        assert moved > 5e-4, f"{key} moved by {moved}"
