"""Normalisation layers: parameters and buffers, training and evaluation, and PyTorch's names and values."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import Tensor, nn
from minigrad.gradcheck import gradcheck


def normal(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# layer, the same in PyTorch, shape of the input
LAYERS: dict[str, tuple[Callable[[], nn.Module], Callable[[Any], Any], tuple[int, ...]]] = {
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3), lambda t: t.BatchNorm1d(3), (6, 3)),
    "BatchNorm2d": (
        lambda: nn.BatchNorm2d(3, eps=1e-3, momentum=0.3),
        lambda t: t.BatchNorm2d(3, eps=1e-3, momentum=0.3),
        (2, 3, 4, 4),
    ),
    "BatchNorm2d without weights": (
        lambda: nn.BatchNorm2d(3, affine=False),
        lambda t: t.BatchNorm2d(3, affine=False),
        (2, 3, 4, 4),
    ),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(3), lambda t: t.InstanceNorm2d(3), (2, 3, 4, 4)),
    "InstanceNorm2d with weights": (
        lambda: nn.InstanceNorm2d(3, affine=True),
        lambda t: t.InstanceNorm2d(3, affine=True),
        (2, 3, 4, 4),
    ),
    "LayerNorm": (lambda: nn.LayerNorm(4), lambda t: t.LayerNorm(4), (2, 3, 4)),
    "LayerNorm of images": (lambda: nn.LayerNorm((3, 4, 4)), lambda t: t.LayerNorm((3, 4, 4)), (2, 3, 4, 4)),
    "LayerNorm without weights": (
        lambda: nn.LayerNorm(4, elementwise_affine=False),
        lambda t: t.LayerNorm(4, elementwise_affine=False),
        (2, 4),
    ),
}
each_layer = pytest.mark.parametrize(("ours", "theirs", "shape"), LAYERS.values(), ids=LAYERS)


def assert_same_state(ours: nn.Module, theirs: Any) -> None:
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    for name, a in ours.state_dict().items():
        assert a.shape == tuple(state[name].shape)
        assert str(a.dtype) == str(state[name].dtype).removeprefix("torch.")
        np.testing.assert_allclose(a, state[name].numpy(), rtol=2e-6, atol=1e-6, err_msg=name)


@each_layer
def test_steps_of_training_and_evaluation_equal_pytorch(
    torch: Any, ours: Callable[[], nn.Module], theirs: Callable[[Any], Any], shape: tuple[int, ...]
) -> None:
    a, b = ours(), theirs(torch.nn)
    assert_same_state(a, b)
    for step in range(4):
        x = 2 + normal(*shape, seed=step)
        np.testing.assert_allclose(a(Tensor(x)).data, b(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-5)
        assert_same_state(a, b)
    a.eval(), b.eval()
    np.testing.assert_allclose(a(Tensor(x)).data, b(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-5)
    assert_same_state(a, b)


class TestBatchNorm:
    def test_running_statistics_over_several_steps(self) -> None:
        """They are moving averages of the means and unbiased variances."""
        layer = nn.BatchNorm1d(3)
        mean, var = np.zeros(3), np.ones(3)
        for step in range(5):
            x = 5 + 3 * normal(8, 3, seed=step)
            layer(Tensor(x))
            mean, var = 0.9 * mean + 0.1 * x.mean(axis=0), 0.9 * var + 0.1 * x.var(axis=0, ddof=1)
        np.testing.assert_allclose(layer.running_mean.data, mean, rtol=1e-5)
        np.testing.assert_allclose(layer.running_var.data, var, rtol=1e-5)
        assert layer.num_batches_tracked.item() == 5

    def test_training_counts_a_change_of_the_buffers_and_evaluation_does_not(self) -> None:
        layer = nn.BatchNorm2d(3)
        buffers = layer.running_mean, layer.running_var, layer.num_batches_tracked
        layer(Tensor(normal(2, 3, 4, 4), requires_grad=True))
        assert [b.changes for b in buffers] == [[1]] * 3
        assert not any(b.requires_grad or b.op for b in buffers)
        layer.eval()(Tensor(normal(2, 3, 4, 4)))
        assert [b.changes for b in buffers] == [[1]] * 3

    def test_running_statistics_take_the_layers_dtype_and_the_count_stays_an_integer(self) -> None:
        layer = nn.BatchNorm1d(3).to(dtype=np.float64)
        assert layer.running_mean.dtype == layer.running_var.dtype == np.float64
        layer(Tensor(normal(4, 3, dtype=np.float64)))
        assert layer.running_var.dtype == np.float64
        assert layer.num_batches_tracked.dtype == np.int64

    def test_a_failed_forward_changes_nothing(self) -> None:
        layer = nn.BatchNorm1d(3)
        with pytest.raises(ValueError, match=r"x \(1, 3\) has 1 values per channel"):
            layer(Tensor(normal(1, 3)))
        assert layer.num_batches_tracked.item() == 0
        assert not layer.running_mean.data.any()

    def test_inputs_of_wrong_shapes_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"BatchNorm1d\(3\): x \(2, 3, 4, 4\) must have 2 axes"):
            nn.BatchNorm1d(3)(Tensor(normal(2, 3, 4, 4)))
        with pytest.raises(ValueError, match=r"BatchNorm2d\(3\): x \(4, 3\) must have 4 axes"):
            nn.BatchNorm2d(3)(Tensor(normal(4, 3)))
        with pytest.raises(ValueError, match=r"x \(4, 2\) has 2 channels, so running_mean should be \(2,\); it is \(3,\)"):
            nn.BatchNorm1d(3)(Tensor(normal(4, 2)))
        with pytest.raises(ValueError, match=r"InstanceNorm2d\(3, affine=False\): x \(1, 2, 4, 4\) has 2 channels, not 3"):
            nn.InstanceNorm2d(3)(Tensor(normal(1, 2, 4, 4)))

    @pytest.mark.parametrize("layer", [nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d, nn.LayerNorm])
    def test_invalid_sizes_and_eps_are_refused(self, layer: Any) -> None:
        name = "normalized_shape" if layer is nn.LayerNorm else "num_features"
        for wrong in (0, -3, 1.5, "3"):
            with pytest.raises(
                ValueError, match=rf"^{layer.__name__}: {name} is {wrong!r}; it must be a whole number, 1 or more"
            ):
                layer(wrong)
        with pytest.raises(ValueError, match=rf"^{layer.__name__}: eps is -1; it must be a finite number, 0 or more"):
            layer(3, eps=-1)
        assert layer(np.int64(3)).shape == (3,)

    def test_a_missing_momentum_and_an_empty_shape_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"^BatchNorm2d: momentum is None; it must be a finite number"):
            nn.BatchNorm2d(3, momentum=None)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"^LayerNorm: normalized_shape is \(\); it must have one axis or more"):
            nn.LayerNorm(())

    @pytest.mark.parametrize("layer", [nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d, nn.LayerNorm])
    def test_eps_is_keyword_only(self, layer: Any) -> None:
        with pytest.raises(TypeError):
            layer(3, 0.8)  # a common mistake: meant as momentum, taken as eps

    def test_it_saves_and_loads(self, tmp_path: Path) -> None:
        one, other = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
        one(Tensor(normal(4, 3)))
        mg.save(tmp_path / "norm.safetensors", one.state_dict())
        other.load_state_dict(mg.load(tmp_path / "norm.safetensors"))
        x = Tensor(normal(5, 3, seed=1))
        np.testing.assert_array_equal(one.eval()(x).data, other.eval()(x).data)
        assert other.num_batches_tracked.item() == 1


class TestDropout2d:
    def test_whole_channels_are_dropped_and_the_rest_are_scaled_up(self) -> None:
        x = np.ones((200, 10, 3, 4), np.float32)
        y = F.dropout2d(Tensor(x), 0.4).data
        per_channel = y.reshape(2000, 12)
        assert (per_channel == per_channel[:, :1]).all()
        np.testing.assert_allclose(np.unique(per_channel), [0, 1 / 0.6], rtol=1e-6)
        assert abs((per_channel[:, 0] == 0).mean() - 0.4) < 0.05

    def test_the_gradient_passes_where_the_input_did(self) -> None:
        x = Tensor(normal(4, 5, 2, 2), requires_grad=True)
        y = F.dropout2d(x, 0.5)
        (g,) = mg.grad(y.sum(), [x])
        np.testing.assert_allclose(g.data, y.data / x.data)

    def test_evaluation_changes_nothing(self) -> None:
        x = Tensor(normal(2, 3, 4, 4))
        assert nn.Dropout2d(0.9).eval()(x) is x
        assert nn.Dropout2d(0.0)(x) is x

    def test_errors(self) -> None:
        with pytest.raises(ValueError, match=r"dropout2d: p is 1"):
            F.dropout2d(Tensor(normal(2, 3, 4, 4)), 1)
        with pytest.raises(ValueError, match=r"dropout2d: x \(2, 3\) must be"):
            F.dropout2d(Tensor(normal(2, 3)), 0.5)


SPECTRAL: dict[str, tuple[Callable[[], nn.Module], Callable[[Any], Any], tuple[int, ...]]] = {
    "Linear": (lambda: nn.Linear(5, 4), lambda t: t.Linear(5, 4), (3, 5)),
    "Conv2d": (lambda: nn.Conv2d(3, 4, 3, bias=False), lambda t: t.Conv2d(3, 4, 3, bias=False), (2, 3, 6, 6)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(3, 4, 3), lambda t: t.ConvTranspose2d(3, 4, 3), (2, 3, 4, 4)),
}


class TestSpectralNorm:
    @pytest.mark.parametrize(("ours", "theirs", "shape"), SPECTRAL.values(), ids=SPECTRAL)
    def test_names_steps_and_gradients_equal_pytorch(
        self, torch: Any, ours: Callable[[], nn.Module], theirs: Callable[[Any], Any], shape: tuple[int, ...]
    ) -> None:
        a = nn.spectral_norm(ours())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch has a newer function for this
            b = torch.nn.utils.spectral_norm(theirs(torch.nn))
        a.load_state_dict({name: t.numpy() for name, t in b.state_dict().items()})
        for step in range(3):
            x = normal(*shape, seed=step)
            y, expected = a(Tensor(x)), b(torch.tensor(x))
            np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=1e-4, atol=1e-5)
            assert_same_state(a, b)
        (g,) = mg.grad((y * y).sum(), [a.weight_orig])
        (expected_g,) = torch.autograd.grad((expected * expected).sum(), [b.weight_orig])
        np.testing.assert_allclose(g.data, expected_g.numpy(), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(a.eval()(Tensor(x)).data, b.eval()(torch.tensor(x)).detach().numpy(), rtol=1e-4, atol=1e-5)
        assert_same_state(a, b)

    @pytest.mark.parametrize("make", [lambda: nn.Linear(7, 5), lambda: nn.Conv2d(2, 5, 3), lambda: nn.ConvTranspose2d(2, 5, 3)])
    def test_the_largest_singular_value_becomes_one(self, make: Callable[[], nn.Module]) -> None:
        layer: Any = nn.spectral_norm(make())
        for _ in range(100):
            layer._iterate()
        axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        matrix = np.moveaxis(layer.weight.data, axis, 0).reshape(5, -1)
        np.testing.assert_allclose(np.linalg.svd(matrix)[1][0], 1, rtol=1e-4)

    def test_the_gradient_passes_through_sigma_but_not_through_its_vectors(self) -> None:
        layer: Any = nn.spectral_norm(nn.Linear(4, 3)).to(dtype=np.float64).eval()
        u, v = layer.weight_u.data, layer.weight_v.data
        weight = Tensor(layer.weight_orig.data, requires_grad=True)
        x, g = normal(5, 4, dtype=np.float64), normal(5, 3, seed=1, dtype=np.float64)

        def by_hand(w: Tensor) -> Tensor:
            return Tensor(x) @ (w / (Tensor(u) * (w @ Tensor(v))).sum()).T + layer.bias

        gradcheck(by_hand, [weight])
        (expected,) = mg.grad(by_hand(weight), [weight], Tensor(g))
        (found,) = mg.grad(layer(Tensor(x)), [layer.weight_orig], Tensor(g))
        np.testing.assert_allclose(found.data, expected.data, rtol=1e-12)

    def test_two_forwards_before_one_gradient(self) -> None:
        """As a discriminator with real and fake images. The power iteration in between must not spoil the first graph."""
        layer: Any = nn.spectral_norm(nn.Linear(4, 3))
        real, fake = Tensor(normal(2, 4)), Tensor(normal(2, 4, seed=1))
        twin = copy.deepcopy(layer)
        each = [mg.grad(twin(x).sum(), [twin.weight_orig])[0].data for x in (real, fake)]  # each before the next iteration
        loss = layer(real).sum() - layer(fake).sum()
        (together,) = mg.grad(loss, [layer.weight_orig])
        np.testing.assert_allclose(together.data, each[0] - each[1], rtol=1e-5, atol=1e-6)

    def test_evaluation_does_not_change_the_vectors(self) -> None:
        layer: Any = nn.spectral_norm(nn.Linear(4, 3)).eval()
        layer(Tensor(normal(2, 4)))
        assert layer.weight_u.changes == layer.weight_v.changes == [0]

    def test_it_is_trained_copied_and_shown_like_the_original_layer(self) -> None:
        layer: Any = nn.spectral_norm(nn.Linear(4, 3))
        assert isinstance(layer, nn.Linear)
        assert list(dict(layer.named_parameters())) == ["bias", "weight_orig"]
        assert repr(layer) == "SpectralNormLinear(4, 3)  # 15 parameters"
        twin = copy.deepcopy(layer)
        x = Tensor(normal(2, 4))
        np.testing.assert_array_equal(twin(x).data, layer(x).data)
        layer.weight_orig.assign(0 * layer.weight_orig.data + 1)
        assert not np.array_equal(twin(x).data, layer(x).data)

    def test_modules_without_a_weight_are_refused(self) -> None:
        for module in (nn.Tanh(), nn.BatchNorm1d(3), nn.spectral_norm(nn.Linear(2, 2))):
            with pytest.raises(ValueError, match="has no parameter `weight` of two axes or more"):
                nn.spectral_norm(module)
