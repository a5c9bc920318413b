"""The twins are the trainers again: the same networks, and in float64 the same steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from reference import gan_runs

from benchmarks.cases import CASES, learning_rate, network_state

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

PARAMETERS = {  # generator's and discriminator's, without running statistics
    "mnist_gan": (293_136, 267_009),
    "dcgan_28": (6_675_009, 1_102_721),
    "dcgan_64": (3_576_704, 2_765_568),  # as published
    "lsgan": (6_675_009, 1_102_721),
}


def image_of(case: str) -> tuple[int, int, int]:
    return (3, 64, 64) if case == "dcgan_64" else (1, 28, 28)


def twin_of(case: str, variant: str) -> Any:
    trainer = CASES[case].trainer(np.float64)
    return CASES[case].twin(network_state(trainer), learning_rate(trainer), variant)


@pytest.mark.parametrize("case", CASES)
def test_a_twin_has_as_many_parameters_as_are_known(case: str) -> None:
    twin = twin_of(case, "eager")
    counts = tuple(sum(p.numel() for p in twin.networks[name].parameters()) for name in ("generator", "discriminator"))
    assert counts == PARAMETERS[case]


@pytest.mark.parametrize("variant", ["eager", "tuned"])
@pytest.mark.parametrize("case", CASES)
def test_a_twin_makes_the_trainers_steps(case: str, variant: str) -> None:
    """Two steps with the case's own settings, but of few images."""
    run = gan_runs.Run(replace(CASES[case], batch_size=4), image_of(case), steps=2)
    ours, theirs = gan_runs.run_minigrad(run, run.steps), gan_runs.run_torch(run, run.steps, variant)
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, rtol=0, atol=1e-9 * np.abs(array).max(), err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_the_eager_variant_is_plain(case: str) -> None:
    """As the tutorials write it: default Adam, D not frozen, weights in PyTorch's own order, a sigmoid for cross-entropy."""
    twin = twin_of(case, "eager")
    assert not twin.g_optimizer.defaults["fused"] and not twin.d_optimizer.defaults["fused"]
    with twin.frozen(twin.discriminator):
        assert all(p.requires_grad for p in twin.discriminator.parameters())
    assert all(p.is_contiguous() for network in twin.networks.values() for p in network.parameters())
    assert twin.images(np.zeros((2, *image_of(case)))).is_contiguous()
    last = type(list(twin.discriminator)[-1])
    assert (last is torch.nn.Sigmoid) == (case != "lsgan")


@pytest.mark.parametrize("case", CASES)
def test_the_tuned_variant_is_tuned(case: str) -> None:
    """Fused Adam, convolutions channels-last, no gradient of D's weights in G's step, no sigmoid in D."""
    twin = twin_of(case, "tuned")
    assert twin.g_optimizer.defaults["fused"] and twin.d_optimizer.defaults["fused"]
    kernels = [p for network in twin.networks.values() for p in network.parameters() if p.ndim == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    assert bool(kernels) == (case != "mnist_gan")
    assert twin.images(np.zeros((2, *image_of(case)))).is_contiguous(memory_format=torch.channels_last)
    with twin.frozen(twin.discriminator):
        assert not any(p.requires_grad for p in twin.discriminator.parameters())
    assert all(p.requires_grad for p in twin.discriminator.parameters())
    assert not any(isinstance(layer, torch.nn.Sigmoid) for layer in twin.discriminator)
