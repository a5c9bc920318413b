"""The gradient penalty: its value, and its gradient by formulas, by PyTorch and by finite differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from gans import wgan_gp
from gans.wgan_gp import PENALTIES, gradient_penalty
from minigrad import engine, nn

Array = np.ndarray
SHAPE = (5, 2, 4, 4)  # of the images at which small critics are measured


def images(seed: int = 0, shape: tuple[int, ...] = SHAPE, dtype: Any = np.float64) -> mg.Tensor:
    return mg.Tensor(np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype))


def linear(nn: Any) -> list[Any]:
    return [nn.Flatten(), nn.Linear(32, 1)]


def leaky_relu(nn: Any) -> list[Any]:
    return [nn.Flatten(), nn.Linear(32, 7), nn.LeakyReLU(0.2), nn.Linear(7, 6), nn.LeakyReLU(0.2), nn.Linear(6, 1)]


def tanh(nn: Any) -> list[Any]:
    return [nn.Flatten(), nn.Linear(32, 7), nn.Tanh(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 1)]


def tanh_of_two_layers(nn: Any) -> list[Any]:
    return [nn.Flatten(), nn.Linear(32, 7), nn.Tanh(), nn.Linear(7, 1)]


def conv(nn: Any) -> list[Any]:
    return [nn.Conv2d(2, 3, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(3, 4, 3, 1, 1), nn.Tanh(), nn.Conv2d(4, 1, 2), nn.Flatten()]


def layer_norm(nn: Any) -> list[Any]:
    return [nn.Flatten(), nn.Linear(32, 7), nn.LayerNorm(7), nn.LeakyReLU(0.2), nn.Linear(7, 1)]


def instance_norm(nn: Any) -> list[Any]:
    head = [nn.Conv2d(2, 3, 3, 1, 1), nn.InstanceNorm2d(3, affine=True), nn.LeakyReLU(0.2)]
    return [*head, nn.Conv2d(3, 4, 4, 2, 1), nn.InstanceNorm2d(4), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(16, 1)]


LAYERS = (linear, leaky_relu, tanh, conv, layer_norm, instance_norm)  # of minigrad's `nn` or of PyTorch's
CRITICS = pytest.mark.parametrize("layers", LAYERS, ids=lambda f: f.__name__)
KINDS = pytest.mark.parametrize("kind", PENALTIES)


def make_critic(layers: Callable[[Any], list[Any]]) -> nn.Sequential:
    """A float64 critic with random weights, the last layer's such that the slopes at `images()` have mean 1.1."""
    critic = nn.Sequential(*layers(nn)).to(dtype=np.float64)
    rng = np.random.default_rng(1)
    for p in critic.parameters():
        p.assign(rng.standard_normal(p.shape) * (0.25 if p.ndim > 1 else 0.5))
    last = [p for p in critic.parameters() if p.ndim > 1][-1]
    last.assign(last.data * 1.1 / slopes(critic, images()).mean())
    return critic


def slopes(critic: nn.Module, points: mg.Tensor) -> Array:
    """The norm of the critic's gradient at each point."""
    x = mg.Tensor(points.data, requires_grad=True)
    (g,) = mg.grad(critic(x).sum(), [x])
    return np.sqrt((g.data**2).reshape(len(x), -1).sum(axis=1))


def penalty_and_gradients(critic: nn.Module, points: mg.Tensor, kind: str) -> tuple[float, list[Array]]:
    penalty = gradient_penalty(critic, points, kind)
    return penalty.item(), [g.data for g in mg.grad(penalty, critic.parameters())]


class TestDocstring:
    """The formulas in the docstring of gans/wgan_gp.py, evaluated in their order and under their names."""

    @pytest.mark.parametrize("activation", ["tanh", "leaky_relu"])
    def test_its_gradient_is_the_engines(self, activation: str) -> None:
        layer, phi1, phi2 = {
            "tanh": (nn.Tanh(), lambda h: 1 - np.tanh(h) ** 2, lambda h: -2 * np.tanh(h) * (1 - np.tanh(h) ** 2)),
            "leaky_relu": (nn.LeakyReLU(0.2), lambda h: np.where(h > 0, 1.0, 0.2), np.zeros_like),
        }[activation]
        first, second = nn.Linear(32, 6), nn.Linear(6, 1)
        critic = nn.Sequential(nn.Flatten(), first, layer, second).to(dtype=np.float64)
        W, b, w = first.weight.data, first.bias.data, second.weight.data
        W *= 3
        points = images()
        x, n = points.data.reshape(len(points), -1), len(points)

        h = x @ W.T + b
        t = np.ones((n, 1)) @ w
        u = t * phi1(h)
        s = u @ W
        r = np.linalg.norm(s, axis=1, keepdims=True)
        P = np.mean((r - 1) ** 2)
        dr = 2 * (r - 1) / n
        v = dr * s / r
        q = v @ W.T
        dW = u.T @ v
        dt = q * phi1(h)
        p = q * t * phi2(h)
        dw = np.ones((1, n)) @ dt
        dW += p.T @ x
        db = p.sum(axis=0)

        penalty, gradients = penalty_and_gradients(critic, points, "two-sided")
        np.testing.assert_allclose(penalty, P, rtol=1e-10)
        by_hand = [dW, db, dw, np.zeros(1)]
        for name, found, expected in zip(dict(critic.named_parameters()), gradients, by_hand, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14, err_msg=name)
        assert (np.abs(by_hand[1]).max() > 1e-3) == (activation == "tanh")  # the second derivative matters, or is zero

    @pytest.mark.parametrize(
        "formula",
        [
            "h = x W^T + b           Linear",
            "y = phi(h) w^T + c      Tanh, Linear",
            "t = 1 w                 MatMul",
            "u = t * phi'(h)         TanhBackward",
            "s = u W                 MatMul",
            "r = |s|                 Norm",
            "P = mean (r - 1)^2      Sub, Mul, Mean",
            "dP/dr = 2 (r - 1) / n",
            "dP/ds = dP/dr * s / r       =: v",
            "dP/du = v W^T               =: q    Linear",
            "dP/dW = u^T v                       LinearWeight",
            "dP/dt = q * phi'(h)                 TanhBackward",
            "dP/dh = q * t * phi''(h)    =: p",
            "dP/dw = 1^T dP/dt                   LinearWeight",
            "dP/dW += p^T x                      LinearWeight",
            "dP/db = 1^T p                       Sum",
            "dP/dc = 0",
        ],
    )
    def test_it_contains_the_formulas_evaluated_here(self, formula: str) -> None:
        assert formula in (wgan_gp.__doc__ or "")

    def test_it_names_the_ops_that_the_engine_applies_in_this_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        critic, applied, apply = make_critic(tanh_of_two_layers), list[str](), engine.Op.__call__
        monkeypatch.setattr(engine.Op, "__call__", lambda op, *x: (applied.append(op.name), apply(op, *x))[1])
        penalty = gradient_penalty(critic, images(), "two-sided")
        forward, first_backward = ["Linear", "Tanh", "Linear"], ["MatMul", "TanhBackward", "MatMul"]
        expected = [*forward, "Sum", *first_backward, "Norm", "Sub", "Mul", "Mean"]
        assert [name for name in applied if name not in ("Reshape", "BroadcastTo")] == expected
        applied.clear()
        mg.grad(penalty, critic.parameters())
        named = [name for name in applied if name in ("Linear", "LinearWeight", "TanhBackward", "Sum", "MatMul")]
        assert named[:3] == ["Linear", "LinearWeight", "TanhBackward"]
        assert Counter(named) == {"Linear": 1, "LinearWeight": 3, "TanhBackward": 2, "Sum": 1}


@KINDS
class TestPenalty:
    @CRITICS
    def test_it_and_its_gradients_equal_pytorchs_double_backward(self, layers: Callable[[Any], list[Any]], kind: str) -> None:
        torch = pytest.importorskip("torch")
        ours = make_critic(layers)
        theirs = torch.nn.Sequential(*layers(torch.nn)).double()
        theirs.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in ours.state_dict().items()}, strict=False)
        penalty, gradients = penalty_and_gradients(ours, images(), kind)
        expected_penalty, expected = by_torch(torch, theirs, images().data, kind)
        np.testing.assert_allclose(penalty, expected_penalty, rtol=1e-10)
        largest = max(np.abs(g).max() for g in expected)
        assert largest > 1e-3
        for name, found, g in zip(dict(ours.named_parameters()), gradients, expected, strict=True):
            np.testing.assert_allclose(found, g, rtol=1e-10, atol=1e-13 * largest, err_msg=name)

    @CRITICS
    def test_its_gradients_equal_finite_differences(self, layers: Callable[[Any], list[Any]], kind: str) -> None:
        critic, points, h = make_critic(layers), images(), 1e-6
        _, gradients = penalty_and_gradients(critic, points, kind)
        rng = np.random.default_rng(2)
        for (name, p), gradient in zip(critic.named_parameters(), gradients, strict=True):
            start, v = p.data.copy(), rng.standard_normal(p.shape)
            sides = []
            for moved in (start + h * v, start - h * v):
                p.assign(moved)
                sides.append(gradient_penalty(critic, points, kind).item())
            p.assign(start)
            change = (sides[0] - sides[1]) / (2 * h)
            assert abs(change - (gradient * v).sum()) < 1e-7 * (1 + abs(change)), name

    def test_is_the_mean_of_a_function_of_the_norm_over_all_axes_of_an_image(self, kind: str) -> None:
        points, r = images(), 0.4 * 32**0.5  # the norm over one axis would be 0.4 times the root of 2 or 4
        critic = make_critic(linear)
        critic.parameters()[0].assign(0.4)
        expected = {"zero-centred": r**2 / 2}.get(kind, (r - 1) ** 2)
        assert gradient_penalty(critic, points, kind).item() == pytest.approx(expected, rel=1e-9)

    @CRITICS
    def test_each_image_contributes_independently_of_the_others(self, layers: Callable[[Any], list[Any]], kind: str) -> None:
        critic, points = make_critic(layers), images()
        alone = [gradient_penalty(critic, points[i : i + 1], kind).item() for i in range(len(points))]
        assert gradient_penalty(critic, points, kind).item() == pytest.approx(np.mean(alone), rel=1e-12)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @CRITICS
    def test_penalty_and_gradients_are_finite_at_a_gradient_of_zero(
        self, layers: Callable[[Any], list[Any]], kind: str, dtype: Any
    ) -> None:
        critic = make_critic(layers).to(dtype=dtype)
        for p in critic.parameters():
            p.assign(0)
        with np.errstate(all="raise"):
            penalty, gradients = penalty_and_gradients(critic, images(dtype=dtype), kind)
        assert penalty == pytest.approx({"two-sided": 1, "dragan": 1}.get(kind, 0), abs=1e-5)
        assert all(np.isfinite(g).all() and g.dtype == dtype for g in gradients)


def by_torch(torch: ModuleType, critic: Any, points: Array, kind: str) -> tuple[float, list[Array]]:
    """The penalty and its gradients as usually written in PyTorch, with our EPS under the root."""
    x = torch.from_numpy(points.copy()).requires_grad_()
    (g,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    squares = g.flatten(1).square().sum(1)
    r = torch.sqrt(squares + wgan_gp.EPS)
    penalty = {
        "two-sided": lambda: ((r - 1) ** 2).mean(),
        "dragan": lambda: ((r - 1) ** 2).mean(),
        "one-sided": lambda: (torch.clamp(r - 1, min=0) ** 2).mean(),
        "zero-centred": lambda: squares.mean() / 2,
    }[kind]()
    gradients = torch.autograd.grad(penalty, list(critic.parameters()), materialize_grads=True)
    return penalty.item(), [g.numpy() for g in gradients]


class TestKinds:
    @CRITICS
    def test_the_critics_of_these_tests_have_slopes_on_both_sides_of_one(self, layers: Callable[[Any], list[Any]]) -> None:
        found = slopes(make_critic(layers), images())
        assert found.max() > 1.05 and (found.min() < 0.98 or layers is linear)  # a linear critic has one slope

    def test_one_sided_does_not_penalise_small_slopes(self) -> None:
        critic = make_critic(linear)
        critic.parameters()[0].assign(0.1)
        penalty, gradients = penalty_and_gradients(critic, images(), "one-sided")
        assert penalty == 0 and not any(g.any() for g in gradients)

    @pytest.mark.parametrize(
        ("critic", "layer"),
        [
            (nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 1)), "1 is BatchNorm2d"),
            (nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(32, 4), nn.BatchNorm1d(4))), "1.1 is BatchNorm1d"),
        ],
        ids=["conv", "nested"],
    )
    def test_a_critic_with_batch_normalisation_is_refused_with_the_reason(self, critic: nn.Module, layer: str) -> None:
        with pytest.raises(ValueError, match=f"layer {layer}: .* depends on the other images .* LayerNorm or InstanceNorm2d"):
            gradient_penalty(critic, images(dtype=np.float32))
