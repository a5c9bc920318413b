"""The engine on CuPy arrays: every result equals that on NumPy arrays, and stays on the GPU."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference.op_cases import CASES, Case

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim
from minigrad.arrays import backend

Place = Callable[[np.ndarray], Any]  # puts an array on a backend


def close(actual: Any, expected: np.ndarray, roundings: float = 64) -> None:
    """On the GPU, and equal up to rounding."""
    assert backend.is_gpu(actual)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(actual.get(), expected)
        return
    tolerance = roundings * np.finfo(expected.dtype).eps
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(actual.get(), expected, rtol=tolerance, atol=tolerance * scale)


def outputs(case: Case, place: Place) -> list[Any]:
    """The arrays of a case: its output, its gradients, and the gradients of a combination of these."""
    inputs = [mg.Tensor(place(a), requires_grad=a.dtype.kind == "f") for a in case.arrays()]
    out = case.minigrad(*inputs)
    g = mg.Tensor(place(case.vector("g", out.shape).astype(out.dtype)), requires_grad=True)
    wanted = [x for x in inputs if x.requires_grad]
    grads = mg.grad(out, wanted, g, create_graph=True)
    combined = 0 * g.sum()
    for i, grad in enumerate(grads):
        combined = combined + (mg.Tensor(place(case.vector(f"v.{i}", grad.shape))) * grad).sum()
    second = mg.grad(combined, [*wanted, g])
    return [x.data for x in (out, *grads, *second)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_function(cupy: Any, case: Case) -> None:
    for actual, expected in zip(outputs(case, cupy.asarray), outputs(case, np.asarray), strict=True):
        close(actual, expected)


def test_dropout(cupy: Any) -> None:
    results = []
    for place in (cupy.asarray, np.asarray):
        mg.manual_seed(3)
        results.append(F.dropout(mg.Tensor(place(np.ones((4, 5), np.float32))), 0.4).data)
    close(*results)


def test_operators_and_methods(cupy: Any) -> None:
    x = mg.Tensor(cupy.asarray(np.array([[1.0, -2.0], [3.0, 4.0]], np.float32)), requires_grad=True)
    y = (2 - x) / (x * x + 1) + 2.0**x - abs(x) @ x.T + x[0]
    assert y.dtype == np.float32
    assert backend.is_gpu(y.data)
    assert "on the GPU" in repr(y)
    y.sum().backward()
    assert backend.is_gpu(x.grad)
    assert isinstance(y.sum().item(), float)
    assert isinstance(y.numpy(), np.ndarray)
    assert (x > 0).numpy().tolist() == [[True, False], [True, True]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("draw", "roundings"), [(mg.rand, 0), (mg.randn, 64)])
def test_random_numbers_are_the_same_everywhere(cupy: Any, draw: Callable[..., Any], roundings: float, dtype: Any) -> None:
    results = []
    for name in ("cupy", "numpy"):
        mg.manual_seed(11)
        results.append(draw((3, 5), backend=name, dtype=dtype).data)
    assert results[0].dtype == dtype
    close(results[0].astype(np.float32), results[1].astype(np.float32), roundings)  # all are drawn in float32


def mlp(seed: int, *sizes: int) -> nn.Sequential:
    mg.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


def test_modules_move_to_the_gpu_and_back(cupy: Any) -> None:
    net = mlp(0, 3, 4, 1)
    before = {name: a.copy() for name, a in net.state_dict().items()}
    net.to("cupy")
    for name, a in net.state_dict().items():
        close(a, before[name], roundings=0)
    net.load_state_dict(before)  # NumPy arrays into a network on the GPU
    net.to("numpy")
    for name, a in net.state_dict().items():
        assert type(a) is np.ndarray
        np.testing.assert_array_equal(a, before[name])
    net.load_state_dict({name: cupy.asarray(a) for name, a in before.items()})
    assert all(type(a) is np.ndarray for a in net.state_dict().values())


def test_weights_are_saved_from_the_gpu(cupy: Any, tmp_path: Path) -> None:
    net = mlp(0, 3, 4, 1)
    expected = {name: a.copy() for name, a in net.state_dict().items()}
    mg.save(tmp_path / "net.safetensors", net.to("cupy").state_dict())
    loaded = mg.load(tmp_path / "net.safetensors")
    for name, a in expected.items():
        np.testing.assert_array_equal(loaded[name], a)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradient_penalty(cupy: Any, dtype: Any) -> None:
    """Second order: the gradient of a function of a gradient, through an MLP."""
    results = []
    for name in ("cupy", "numpy"):
        net = mlp(1, 3, 8, 8, 1).to(name, dtype)
        x = mg.randn((5, 3), backend=name, dtype=dtype)
        x.requires_grad = True
        (slope,) = mg.grad(net(x).sum(), [x], create_graph=True)
        norm = F.sqrt((slope * slope).sum(axis=1) + 1e-12)
        penalty = ((norm - 1) * (norm - 1)).mean()
        results.append([penalty.data, *(g.data for g in mg.grad(penalty, net.parameters()))])
    for actual, expected in zip(*results, strict=True):
        close(actual, expected)


def test_derivatives_on_the_gpu_agree_with_finite_differences(cupy: Any) -> None:
    net = mlp(2, 3, 4, 1).to("cupy", np.float64)
    x = mg.Tensor(cupy.asarray(np.linspace(-1, 1, 6).reshape(2, 3)), requires_grad=True)
    assert mg.gradcheck(lambda x: F.tanh(net(x)), [x])
    assert mg.gradgradcheck(lambda x: F.tanh(net(x)), [x])


OPTIMIZERS = {
    "SGD": lambda params: optim.SGD(params, lr=0.1, momentum=0.9),
    "Adam": lambda params: optim.Adam(params, lr=0.01, betas=(0.5, 0.9)),
    "RMSprop": lambda params: optim.RMSprop(params, lr=0.01),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_on_both_backends(cupy: Any, make: Callable[..., optim.Optimizer]) -> None:
    """Three steps, then two more, resumed from a state dict on the other backend."""
    nets = [mlp(4, 3, 8, 1).to(name) for name in ("cupy", "numpy")]
    optimizers = [make(net.parameters()) for net in nets]

    def step() -> None:
        for net, optimizer in zip(nets, optimizers, strict=True):
            mg.manual_seed(optimizer.steps)
            x = mg.randn((6, 3), backend=backend.name_of(net.parameters()[0].data))
            optimizer.step(mg.grad(F.mse_loss(net(x), 1.0), net.parameters()))

    def compare() -> None:
        for name, a in nets[0].state_dict().items():
            close(a, nets[1].state_dict()[name], roundings=500)

    for _ in range(3):
        step()
    compare()
    states = [optimizer.state_dict() for optimizer in optimizers]
    optimizers[:] = [make(net.parameters()) for net in nets]
    for optimizer, state in zip(optimizers, reversed(states), strict=True):
        optimizer.load_state_dict(state)
    for _ in range(2):
        step()
    compare()


def test_a_gan_trains_as_on_numpy(cupy: Any) -> None:
    """Four steps of a small GAN: the losses are equal up to rounding in float32."""
    losses: dict[str, list[float]] = {"cupy": [], "numpy": []}
    for name, found in losses.items():
        g, d = mlp(5, 4, 16, 2).to(name), mlp(6, 2, 16, 1).to(name)
        g_optimizer, d_optimizer = (optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.999)) for net in (g, d))
        mg.manual_seed(7)
        for _ in range(4):
            real, noise = mg.randn((8, 2), backend=name), mg.randn((8, 4), backend=name)
            with mg.no_grad():
                fake = g(noise)
            bce = F.binary_cross_entropy_with_logits
            d_loss = bce(d(real), 1.0) + bce(d(fake), 0.0)
            d_optimizer.step(mg.grad(d_loss, d.parameters()))
            g_loss = bce(d(g(noise)), 1.0)
            g_optimizer.step(mg.grad(g_loss, g.parameters()))
            found += [d_loss.item(), g_loss.item()]
    np.testing.assert_allclose(losses["cupy"], losses["numpy"], rtol=1e-4)


MIXED: dict[str, Callable[[Any, Any], Any]] = {
    "add": F.add,
    "matmul": F.matmul,
    "where": lambda x, y: F.where(x > 0, x, y),
    "concatenate": lambda x, y: F.concatenate([x, y]),
    "linear": F.linear,
}


@pytest.mark.parametrize("function", MIXED.values(), ids=MIXED)
def test_mixing_backends_is_explained(cupy: Any, function: Callable[[Any, Any], Any]) -> None:
    on_cpu = mg.Tensor(np.ones((2, 2), np.float32))
    on_gpu = mg.Tensor(cupy.ones((2, 2), np.float32))
    for x, y in [(on_cpu, on_gpu), (on_gpu, on_cpu)]:
        with pytest.raises(TypeError, match=r"inputs on different backends \(cupy, numpy\); move them with"):
            function(x, y)


def test_a_bad_gradient_names_the_parameter(cupy: Any) -> None:
    net = mlp(0, 2, 2).to("cupy")
    grads = [mg.Tensor(cupy.zeros(p.shape, np.float32)) for p in net.parameters()]
    grads[1].data[0] = np.nan
    optimizer = optim.SGD(net.parameters())
    optimizer.step(grads)  # does not check, because that would wait for the GPU
    with pytest.raises(FloatingPointError, match=r"parameter 1 \(2,\) has 1 NaN"):
        optimizer.check()


def test_detect_anomaly_works_on_the_gpu(cupy: Any) -> None:
    with pytest.raises(FloatingPointError, match="Log"), mg.detect_anomaly():
        F.log(mg.Tensor(cupy.zeros(2, np.float32)))


def test_an_index_outside_gives_nan_on_a_gpu(cupy: Any) -> None:
    """Looking at the indices would wait for the GPU; the guards against NaN name the op."""
    weight, indices = mg.Tensor(np.eye(3)).to("cupy"), mg.Tensor([0, -1, 3]).to("cupy")
    assert np.isnan(F.embedding(indices, weight).numpy()).all(axis=1).tolist() == [False, True, True]
    assert np.isnan(F.cross_entropy(weight, indices, "none").numpy()).tolist() == [False, True, True]
