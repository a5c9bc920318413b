"""The PyTorch twins have the networks of our trainers and, in float64, make the same steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from reference import gan_runs

from benchmarks.cases import CASES, Case, learning_rate, network_state

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

TWINS = {  # including those that are not timed
    **CASES,
    "wgan": Case("wgan"),
    "wgan_64": Case("wgan", network={"arch": "conv", "image_size": 64}),
}
PARAMETERS = {  # of each network, without running statistics
    "mnist_gan": [293_136, 267_009],
    "dcgan_28": [6_675_009, 1_102_721],
    "dcgan_64": [3_576_704, 2_765_568],  # as published
    "lsgan": [6_675_009, 1_102_721],
    "wgan_gp_mlp": [247_440, 233_985],
    "wgan_gp_conv": [771_969, 138_561],
    "r3gan": [608_835, 608_835, 207_552],
    "cyclegan_64": [7_837_699, 7_837_699, 2_764_737, 2_764_737],
    "wgan": [247_440, 233_985],
    "wgan_64": [3_576_704, 2_764_737],
}
DISCRIMINATORS = ("discriminator", "critic", "d_a", "d_b")
CONVOLUTIONAL = ("dcgan_28", "dcgan_64", "lsgan", "wgan_gp_conv", "r3gan", "cyclegan_64")


def twin_of(case: str, variant: str) -> Any:
    trainer = TWINS[case].trainer(np.float64)
    return TWINS[case].twin(network_state(trainer), learning_rate(trainer), variant)


def discriminators_of(twin: Any) -> list[Any]:
    """The discriminators or the critic, as the twin's step uses them."""
    return [getattr(twin, name, network) for name, network in twin.networks.items() if name in DISCRIMINATORS]


def optimizers_of(twin: Any) -> list[Any]:
    return [value for value in vars(twin).values() if isinstance(value, torch.optim.Optimizer)]


@pytest.mark.parametrize("case", PARAMETERS)
def test_a_twin_has_the_known_number_of_parameters(case: str) -> None:
    twin = twin_of(case, "eager")
    counts = [sum(p.numel() for p in network.parameters()) for network in twin.networks.values()]
    assert counts == PARAMETERS[case]


@pytest.mark.parametrize("variant", ["eager", "tuned"])
@pytest.mark.parametrize("case", TWINS)
def test_a_twin_makes_the_same_steps_as_the_trainer(case: str, variant: str) -> None:
    """Two steps with the settings of the case but few images; one step of the largest, which makes six updates."""
    network = {**TWINS[case].network, "width": 16} if case == "cyclegan_64" else TWINS[case].network
    small = replace(TWINS[case], batch_size=min(4, TWINS[case].batch_size), network=network)
    run = gan_runs.Run(small, steps=1 if case == "wgan_64" else 2)
    ours, theirs = gan_runs.run_minigrad(run, run.steps), gan_runs.run_torch(run, run.steps, variant)
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, rtol=0, atol=1e-9 * np.abs(array).max(), err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_the_eager_variant_is_written_as_in_tutorials(case: str) -> None:
    """Default Adam, D not frozen, contiguous weights and images, a sigmoid at the end of D where the loss is cross-entropy."""
    twin = twin_of(case, "eager")
    assert not any(optimizer.defaults["fused"] for optimizer in optimizers_of(twin))
    assert all(p.is_contiguous() for network in twin.networks.values() for p in network.parameters())
    assert twin.images(np.zeros((2, 3, 8, 8))).is_contiguous()
    for network in discriminators_of(twin):
        with twin.frozen(network):
            assert all(p.requires_grad for p in network.parameters())
        last = type(list(network)[-1])
        assert (last is torch.nn.Sigmoid) == isinstance(getattr(twin, "loss", None), torch.nn.BCELoss)
    if case in ("mnist_gan", "dcgan_28", "dcgan_64"):
        assert isinstance(twin.loss, torch.nn.BCELoss)


@pytest.mark.parametrize("variant", ["tuned", "compiled"])
@pytest.mark.parametrize("case", CASES)
def test_the_tuned_and_the_compiled_variant_are_tuned(case: str, variant: str) -> None:
    """Fused Adam, channels-last (except CycleGAN), no gradient of D's weights in G's step, no sigmoid in D."""
    twin = twin_of(case, variant)
    assert len(optimizers_of(twin)) == 2
    assert all(optimizer.defaults["fused"] for optimizer in optimizers_of(twin))
    kernels = [p for network in twin.networks.values() for p in network.parameters() if p.ndim == 4]
    order = torch.channels_last if twin.channels_last else torch.contiguous_format
    assert all(p.is_contiguous(memory_format=order) for p in kernels)
    assert kernels or case not in CONVOLUTIONAL
    assert twin.images(np.zeros((2, 3, 8, 8))).is_contiguous(memory_format=order)
    for network in discriminators_of(twin):
        with twin.frozen(network):
            assert not any(p.requires_grad for p in network.parameters())
        assert all(p.requires_grad for p in network.parameters())
        assert not any(isinstance(layer, torch.nn.Sigmoid) for layer in network)


GRAPHS: list[Any] = []


def note(graph: Any, inputs: Any) -> Any:
    """A backend of torch.compile that runs the graph as it is."""
    GRAPHS.append(graph)
    return graph.forward


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch.compile looks at it
@pytest.mark.parametrize("case", CASES)
def test_each_compilable_part_is_traced_as_one_graph(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No part has a graph break, and the step computes the same. No code is generated."""
    torch_compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda method, **_: torch_compile(method, backend=note, fullgraph=True))
    torch.compiler.reset()
    GRAPHS.clear()
    network = {**CASES[case].network, "width": 8} if case == "cyclegan_64" else CASES[case].network
    run = gan_runs.Run(replace(CASES[case], batch_size=min(2, CASES[case].batch_size), network=network), steps=1)
    plain, whole = (gan_runs.run_torch(run, 1, variant) for variant in ("tuned", "compiled"))
    assert len(GRAPHS) >= 3  # G, D's loss, G's loss
    for name, array in plain.items():
        np.testing.assert_allclose(whole[name], array, rtol=0, atol=1e-9 * np.abs(array).max(), err_msg=name)


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")  # a device that computes nothing
@pytest.mark.parametrize("case", CASES)
def test_tensors_of_a_twin_are_on_the_device_of_its_networks(case: str) -> None:
    with torch.device("meta"):
        twin = twin_of(case, "tuned")
    made = [twin.images(np.zeros((2, 3, 8, 8))), twin.uniform((2, 1)), twin.labels(2, 1.0)]
    made += [twin.noise(2)] if hasattr(twin, "latent_size") else []
    made += [p for network in twin.networks.values() for p in network.parameters()]
    assert {x.device.type for x in made} == {"meta"}
    assert twin.mode == "default"  # "reduce-overhead" makes CUDA graphs, and is for CUDA
