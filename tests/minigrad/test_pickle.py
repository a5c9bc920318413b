"""Layers, optimizers and generators survive pickle and deepcopy, and behave the same afterwards."""

from __future__ import annotations

import concurrent.futures
import copy
import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.random import Generator

Copy = Callable[[Any], Any]
each_copy = pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)

IMAGES, ROWS, INDICES = (2, 4, 6, 6), (3, 4), "indices"
LAYERS: dict[str, tuple[nn.Module, Any]] = {
    "AvgPool2d": (nn.AvgPool2d(2), IMAGES),
    "BatchNorm1d": (nn.BatchNorm1d(4), ROWS),
    "BatchNorm2d": (nn.BatchNorm2d(4), IMAGES),
    "Conv2d": (nn.Conv2d(4, 5, 3), IMAGES),
    "ConvTranspose2d": (nn.ConvTranspose2d(4, 5, 3), IMAGES),
    "Dropout": (nn.Dropout(0.5), ROWS),
    "Dropout2d": (nn.Dropout2d(0.5), IMAGES),
    "ELU": (nn.ELU(), ROWS),
    "Embedding": (nn.Embedding(4, 3), INDICES),
    "Flatten": (nn.Flatten(), IMAGES),
    "GELU": (nn.GELU(), ROWS),
    "GroupNorm": (nn.GroupNorm(2, 4), IMAGES),
    "Identity": (nn.Identity(), ROWS),
    "InstanceNorm2d": (nn.InstanceNorm2d(4), IMAGES),
    "LayerNorm": (nn.LayerNorm(4), ROWS),
    "LeakyReLU": (nn.LeakyReLU(0.2), ROWS),
    "Linear": (nn.Linear(4, 2), ROWS),
    "MaxPool2d": (nn.MaxPool2d(2), IMAGES),
    "ModuleList": (nn.Sequential(nn.ModuleList([nn.Linear(4, 2)])[0]), ROWS),
    "PixelShuffle": (nn.PixelShuffle(2), IMAGES),
    "ReLU": (nn.ReLU(), ROWS),
    "ReflectionPad2d": (nn.ReflectionPad2d(1), IMAGES),
    "Reshape": (nn.Reshape(2, 2), ROWS),
    "Sequential": (nn.Sequential(nn.spectral_norm(nn.Linear(4, 2)), nn.Tanh()), ROWS),
    "SiLU": (nn.SiLU(), ROWS),
    "Sigmoid": (nn.Sigmoid(), ROWS),
    "Softmax": (nn.Softmax(1), ROWS),
    "Softplus": (nn.Softplus(), ROWS),
    "Tanh": (nn.Tanh(), ROWS),
    "Upsample": (nn.Upsample(scale_factor=2), IMAGES),
    "ZeroPad2d": (nn.ZeroPad2d(1), IMAGES),
    "spectral_norm": (nn.spectral_norm(nn.Conv2d(4, 5, 3)), IMAGES),
}


def given(shape: Any) -> Tensor:
    rng = np.random.default_rng(0)
    return Tensor(rng.integers(0, 4, 5) if shape == INDICES else rng.standard_normal(shape).astype(np.float32))


def outcome(layer: nn.Module, x: Tensor) -> list[Any]:
    """Two outputs of a layer in training, one in evaluation, gradients and state."""
    mg.manual_seed(3)
    outs = [layer.train()(x), layer(x), layer.eval()(x)]
    parameters = layer.parameters()
    grads = mg.grad(outs[0].sum(), parameters) if parameters else []
    return [a.tobytes() for a in (*(t.data for t in (*outs, *grads)), *layer.state_dict().values())]


def layer_names() -> set[str]:
    classes = {name for name in nn.__all__ if isinstance(getattr(nn, name), type)}
    return {name for name in classes if issubclass(getattr(nn, name), nn.Module)} - {"Module"} | {"spectral_norm"}


def test_every_layer_is_listed() -> None:
    assert LAYERS.keys() >= layer_names()


@each_copy
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer(name: str, copied: Copy) -> None:
    layer, shape = LAYERS[name]
    twin = copied(layer)
    assert type(twin) is type(layer)
    for ours, theirs in zip(layer.state_dict().values(), twin.state_dict().values(), strict=True):
        assert ours is not theirs
        assert ours.strides == theirs.strides
    assert outcome(twin, given(shape)) == outcome(copy.deepcopy(layer), given(shape))


@each_copy
@pytest.mark.parametrize("kind", optim.Optimizer.__subclasses__(), ids=lambda kind: kind.__name__)
def test_an_optimizer_with_its_network(kind: Any, copied: Copy) -> None:
    """One copy holds both: the optimizer updates the copied network, in the memory order of its weights."""
    net = nn.Conv2d(3, 4, 3)
    optimizer = kind(net.parameters())
    twin, twin_optimizer = copied((net, optimizer))
    for n, o in ((net, optimizer), (twin, twin_optimizer)):
        for _ in range(3):
            o.step(mg.grad(n(given((2, 3, 5, 5))).sum(), n.parameters()))
    for ours, theirs in zip(
        (*net.state_dict().values(), *optimizer.state_dict().values()),
        (*twin.state_dict().values(), *twin_optimizer.state_dict().values()),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


@each_copy
@pytest.mark.parametrize(
    "rate",
    [optim.linear_decay(0.1, 9, start=2), optim.cosine_decay(0.1, 9), optim.step_decay(0.1, 2)],
    ids=["linear", "cosine", "step"],
)
def test_an_optimizer_with_a_schedule(rate: Any, copied: Copy) -> None:
    optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], rate)
    twin = copied(optimizer)
    for _ in range(5):
        assert twin.lr == optimizer.lr == rate(optimizer.steps)
        for each in (optimizer, twin):
            each.step([Tensor([1.0])])


@each_copy
def test_a_generator_of_random_numbers(copied: Copy) -> None:
    generator = Generator(seed=5)
    generator.rand((3,))
    twin = copied(generator)
    np.testing.assert_array_equal(twin.randn((7,)).data, generator.randn((7,)).data)


@each_copy
def test_the_result_of_an_op_becomes_a_leaf(copied: Copy) -> None:
    y = mg.functional.exp(Tensor(np.ones((2, 3)), requires_grad=True))
    twin = copied(y)
    assert twin.op is None
    assert twin.requires_grad
    twin.assign(0)
    assert y.data.all()


def test_a_network_computes_the_same_in_a_spawned_process() -> None:
    net = nn.Sequential(nn.spectral_norm(nn.Linear(4, 3)), nn.BatchNorm1d(3), nn.Tanh())
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        there = pool.submit(nn.Module.__call__, net, given(ROWS)).result()
    np.testing.assert_array_equal(there.data, net(given(ROWS)).data)
