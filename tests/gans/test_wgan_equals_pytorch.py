"""50 steps of the generator, 250 of the critic, give PyTorch's numbers and weights, to 1e-8 relative in float64.

The twins take the norm of the slope as it is, with no small number under its root.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from benchmarks.cases import Case, learning_rate, network_state

STEPS = 50
RUNS = {
    "wgan_mlp": Case("wgan", 4),
    "wgan_gp_mlp": Case("wgan_gp", 4),
    "wgan_gp_conv": Case("wgan_gp", 2, {"arch": "conv"}),
}

Arrays = dict[str, np.ndarray]


@pytest.fixture
def torch() -> Iterator[ModuleType]:
    """PyTorch on one thread: its pool and ours would fight for the cores, and networks this small gain nothing by two."""
    module = pytest.importorskip("torch", reason="PyTorch is not installed")
    threads = module.get_num_threads()
    module.set_num_threads(1)
    yield module
    module.set_num_threads(threads)


def images(count: int, steps: int) -> list[np.ndarray]:
    """Grey blobs and noise in [-1, 1], another batch each step."""
    rng = np.random.default_rng(1)
    return [rng.uniform(-1, 1, (count, 1, 1, 1)) * rng.uniform(0, 1, (count, 1, 28, 28)) for _ in range(steps)]


def replay_randomness(side: Any, tensor: Any) -> None:
    """Have a side draw its latent vectors and its places between images from NumPy's generator."""
    normal, uniform = np.random.default_rng(2), np.random.default_rng(3)
    side.noise = lambda count: tensor(normal.standard_normal((count, side.latent_size)))
    side.uniform = lambda shape: tensor(uniform.random(shape))


@functools.cache
def by_minigrad(name: str, steps: int) -> Arrays:
    ours: Any = RUNS[name].trainer(np.float64)
    replay_randomness(ours, mg.Tensor)
    metrics = [[value.item() for value in ours.step(mg.Tensor(x)).values()] for x in images(ours.images_per_step, steps)]
    return {"metrics": np.array(metrics), **network_state(ours)}


def by_torch(torch: ModuleType, name: str, variant: str, steps: int) -> Arrays:
    ours = RUNS[name].trainer(np.float64)
    twin: Any = RUNS[name].twin(network_state(ours), learning_rate(ours), variant)
    replay_randomness(twin, torch.from_numpy)
    metrics = [twin.step(twin.images(x)) for x in images(ours.images_per_step, steps)]
    return {"metrics": np.array(metrics), **twin.state()}


@pytest.mark.parametrize(("variant", "steps"), [("eager", STEPS), ("tuned", 5)])
@pytest.mark.parametrize("name", RUNS)
def test_metrics_weights_and_running_statistics_equal_pytorchs(name: str, variant: str, steps: int, torch: ModuleType) -> None:
    ours, theirs = by_minigrad(name, steps), by_torch(torch, name, variant, steps)
    assert ours.keys() == theirs.keys()
    np.testing.assert_allclose(ours["metrics"], theirs["metrics"], rtol=1e-8)
    for key, array in theirs.items():
        error = np.abs(ours[key] - array).max() / np.abs(array).max()
        assert error < 1e-8, f"{key}: {error:.1e}"


@pytest.mark.parametrize("name", RUNS)
def test_the_runs_are_long_enough_to_tell(name: str) -> None:
    """Weights that had hardly moved would agree whatever the step does."""
    end = by_minigrad(name, STEPS)
    for key, before in network_state(RUNS[name].trainer(np.float64)).items():
        if key != "critic.5.bias":  # no loss depends on it
            assert np.abs(end[key] - before).max() > 1e-3 * np.abs(before).max(), key
