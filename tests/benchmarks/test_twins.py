"""The twins are the trainers again: the same networks, and in float64 the same steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from reference import gan_runs

from benchmarks.cases import CASES, Case, learning_rate, network_state

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

TWINS = {  # with those that are not timed
    **CASES,
    "wgan": Case("wgan"),
    "wgan_64": Case("wgan", network={"arch": "conv", "image_size": 64}),
}
PARAMETERS = {  # generator's and discriminator's or critic's, without running statistics
    "mnist_gan": (293_136, 267_009),
    "dcgan_28": (6_675_009, 1_102_721),
    "dcgan_64": (3_576_704, 2_765_568),  # as published
    "lsgan": (6_675_009, 1_102_721),
    "wgan_gp_mlp": (247_440, 233_985),
    "wgan_gp_conv": (771_969, 138_561),
    "wgan": (247_440, 233_985),
    "wgan_64": (3_576_704, 2_764_737),
}


def image_of(case: str) -> tuple[int, int, int]:
    return (3, 64, 64) if case.endswith("_64") else (1, 28, 28)


def twin_of(case: str, variant: str) -> Any:
    trainer = TWINS[case].trainer(np.float64)
    return TWINS[case].twin(network_state(trainer), learning_rate(trainer), variant)


def judge_of(twin: Any) -> Any:
    """The discriminator or critic, as the twin's steps call it."""
    return twin.critic if "critic" in twin.networks else twin.discriminator


def optimizers_of(twin: Any) -> list[Any]:
    return [twin.g_optimizer, twin.critic_optimizer if "critic" in twin.networks else twin.d_optimizer]


@pytest.mark.parametrize("case", TWINS)
def test_a_twin_has_as_many_parameters_as_are_known(case: str) -> None:
    twin = twin_of(case, "eager")
    counts = tuple(sum(p.numel() for p in network.parameters()) for network in twin.networks.values())
    assert counts == PARAMETERS[case]


@pytest.mark.parametrize("variant", ["eager", "tuned"])
@pytest.mark.parametrize("case", TWINS)
def test_a_twin_makes_the_trainers_steps(case: str, variant: str) -> None:
    """Two steps with the case's own settings, but of few images; of the largest one, which has six updates and takes long."""
    run = gan_runs.Run(replace(TWINS[case], batch_size=4), image_of(case), steps=1 if case == "wgan_64" else 2)
    ours, theirs = gan_runs.run_minigrad(run, run.steps), gan_runs.run_torch(run, run.steps, variant)
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, rtol=0, atol=1e-9 * np.abs(array).max(), err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_the_eager_variant_is_plain(case: str) -> None:
    """As the tutorials write it: default Adam, D not frozen, weights in PyTorch's own order, a sigmoid for cross-entropy."""
    twin = twin_of(case, "eager")
    judge = judge_of(twin)
    assert not any(optimizer.defaults["fused"] for optimizer in optimizers_of(twin))
    with twin.frozen(judge):
        assert all(p.requires_grad for p in judge.parameters())
    assert all(p.is_contiguous() for network in twin.networks.values() for p in network.parameters())
    assert twin.images(np.zeros((2, *image_of(case)))).is_contiguous()
    last = type(list(judge)[-1])
    assert (last is torch.nn.Sigmoid) == (case in ("mnist_gan", "dcgan_28", "dcgan_64"))


@pytest.mark.parametrize("case", CASES)
def test_the_tuned_variant_is_tuned(case: str) -> None:
    """Fused Adam, convolutions channels-last, no gradient of D's weights in G's step, no sigmoid in D."""
    twin = twin_of(case, "tuned")
    judge = judge_of(twin)
    assert all(optimizer.defaults["fused"] for optimizer in optimizers_of(twin))
    kernels = [p for network in twin.networks.values() for p in network.parameters() if p.ndim == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    assert bool(kernels) == (case not in ("mnist_gan", "wgan_gp_mlp"))
    assert twin.images(np.zeros((2, *image_of(case)))).is_contiguous(memory_format=torch.channels_last)
    with twin.frozen(judge):
        assert not any(p.requires_grad for p in judge.parameters())
    assert all(p.requires_grad for p in judge.parameters())
    assert not any(isinstance(layer, torch.nn.Sigmoid) for layer in judge)
