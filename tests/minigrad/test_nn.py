"""Modules: their parameters, names, initialisation, saving, moving and `repr`, compared with PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import Tensor, nn
from minigrad.arrays.layout import is_dense
from minigrad.nn import Buffer, Module, Parameter


class Counting(Module):
    """A module with a parameter of its own, a buffer, children, and attributes that are none of these."""

    def __init__(self) -> None:
        self.first = nn.Linear(2, 3)
        self.scale = Parameter(np.ones(3, np.float32))
        self.calls = Buffer(np.zeros((), np.int64))
        self.setting = "no parameter"
        self.constant = Tensor([1.0])
        self.missing = None
        self.last = nn.Sequential(nn.Tanh(), nn.Linear(3, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x) * self.scale)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Sequential(nn.Linear(8, 3, bias=False), nn.Tanh()))


def torch_mlp(torch: Any) -> Any:
    t = torch.nn
    return t.Sequential(t.Linear(4, 8), t.LeakyReLU(0.2), t.Sequential(t.Linear(8, 3, bias=False), t.Tanh()))


class TestDiscovery:
    def test_parameters_are_found_at_any_depth_and_nothing_else_is(self) -> None:
        net = Counting()
        assert set(dict(net.named_parameters())) == {"first.weight", "first.bias", "scale", "last.1.weight"}
        assert {id(p) for p in net.parameters()} == {
            id(net.first.weight),
            id(net.first.bias),
            id(net.scale),
            id(net.last[1].weight),
        }

    def test_names_are_in_pytorchs_order(self) -> None:
        """A module's own parameters, then its own buffers, then child after child."""
        assert list(Counting().state_dict()) == ["scale", "calls", "first.weight", "first.bias", "last.1.weight"]

    def test_a_shared_parameter_is_listed_once_and_saved_under_both_names(self) -> None:
        """Listed twice, an optimizer would step it twice."""
        net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        net[1].weight = net[0].weight
        assert [name for name, p in net.named_parameters() if p is net[0].weight] == ["0.weight"]
        assert len(net.parameters()) == 3
        assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]

    def test_modules_and_children(self) -> None:
        net = Counting()
        assert [name for name, _ in net.named_children()] == ["first", "last"]
        assert [type(m).__name__ for m in net.modules()] == ["Counting", "Linear", "Sequential", "Tanh", "Linear"]

    def test_sequential_is_numbered_iterable_and_indexable(self) -> None:
        net = mlp()
        layers = list(net)
        assert len(net) == 3
        assert [net[i] for i in range(3)] == layers
        assert net[-1] is layers[2]
        with pytest.raises(IndexError):
            net[3]

    def test_sequential_applies_its_layers_in_order_also_beyond_ten(self) -> None:
        net = nn.Sequential(*[nn.Linear(1, 1) for _ in range(12)])
        assert [name for name, _ in net.named_children()] == [str(i) for i in range(12)]
        x = Tensor(np.ones((1, 1), np.float32))
        expected = x
        for layer in net:
            expected = layer(expected)
        np.testing.assert_array_equal(net(x).data, expected.data)

    def test_a_parameter_owns_its_memory_and_requires_gradients(self) -> None:
        data = np.ones((2, 3), np.float32).T
        p = Parameter(data)
        data[...] = 7
        assert p.data.max() == 1
        assert is_dense(p.data)
        assert p.requires_grad
        assert p.dtype == np.float32

    def test_a_module_without_forward_says_so(self) -> None:
        class Half(Module):
            pass

        with pytest.raises(NotImplementedError, match="Half has no forward"):
            Half()(Tensor([1.0]))


class TestAgainstPyTorch:
    def test_names_and_shapes(self, torch: Any) -> None:
        ours = {name: a.shape for name, a in mlp().state_dict().items()}
        theirs = {name: tuple(a.shape) for name, a in torch_mlp(torch).state_dict().items()}
        assert list(ours.items()) == list(theirs.items())
        assert list(nn.Embedding(5, 3).state_dict()) == list(torch.nn.Embedding(5, 3).state_dict())

    def test_weights_load_from_pytorch_and_give_the_same_outputs(self, torch: Any, tmp_path: Path) -> None:
        from safetensors.torch import save_file

        theirs = torch_mlp(torch)
        save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
        ours = mlp()
        ours.load_state_dict(mg.load(tmp_path / "weights.safetensors"))
        x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
        np.testing.assert_allclose(ours(Tensor(x)).data, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-6)

    def test_weights_load_into_pytorch_and_give_the_same_outputs(self, torch: Any, tmp_path: Path) -> None:
        from safetensors.torch import load_file

        ours = mlp()
        mg.save(tmp_path / "weights.safetensors", ours.state_dict())
        theirs = torch_mlp(torch)
        theirs.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True)
        x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
        np.testing.assert_allclose(ours(Tensor(x)).data, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("name", ["weight", "bias"])
    def test_linear_is_initialised_with_the_same_distribution(self, torch: Any, name: str) -> None:
        torch.manual_seed(0)
        ours = np.sort(nn.Linear(20, 5000).state_dict()[name].ravel())
        theirs = np.sort(torch.nn.Linear(20, 5000).state_dict()[name].numpy().ravel())
        assert_same_distribution(ours, theirs)

    def test_embedding_is_initialised_with_the_same_distribution(self, torch: Any) -> None:
        torch.manual_seed(0)
        ours = np.sort(nn.Embedding(200, 50).weight.data.ravel())
        theirs = np.sort(torch.nn.Embedding(200, 50).weight.detach().numpy().ravel())
        assert_same_distribution(ours, theirs)


def assert_same_distribution(a: np.ndarray, b: np.ndarray) -> None:
    """The Kolmogorov-Smirnov distance of two samples of size n exceeds 1.95 sqrt(2 / n) with probability 0.001."""
    assert len(a) == len(b)
    both = np.concatenate([a, b])
    distance = np.abs(np.searchsorted(a, both, side="right") - np.searchsorted(b, both, side="right")).max() / len(a)
    assert distance < 1.95 * (2 / len(a)) ** 0.5


class TestInitialisation:
    def test_linear_is_uniform_within_one_over_root_fan_in(self) -> None:
        layer = nn.Linear(25, 4000)
        for values in layer.state_dict().values():
            assert values.dtype == np.float32
            assert np.abs(values).max() <= 0.2
            assert np.abs(values).max() > 0.199
            assert abs(values.mean()) < 4 * 0.2 / (3 * values.size) ** 0.5
            assert values.var() == pytest.approx(0.2**2 / 3, rel=0.05)

    def test_embedding_is_standard_normal(self) -> None:
        values = nn.Embedding(200, 50).weight.data
        assert abs(values.mean()) < 0.04
        assert values.var() == pytest.approx(1, rel=0.06)

    @pytest.mark.parametrize(("make", "mean", "std"), [
        (lambda shape: nn.init.uniform(shape, -1.0, 3.0), 1.0, 4 / 12**0.5),
        (lambda shape: nn.init.normal(shape, 2.0, 0.5), 2.0, 0.5),
        (lambda shape: nn.init.fan_in_uniform(shape, 4), 0.0, 0.5 / 3**0.5),
    ], ids=["uniform", "normal", "fan_in_uniform"])  # fmt: skip
    def test_initialisers(self, make: Callable[[tuple[int, ...]], Tensor], mean: float, std: float) -> None:
        values = make((100, 100))
        assert values.dtype == np.float32
        assert values.data.mean() == pytest.approx(mean, abs=4 * std / 100)
        assert values.data.std() == pytest.approx(std, rel=0.04)

    def test_a_layer_without_inputs_has_a_bias_of_zero(self) -> None:
        layer = nn.Linear(0, 3)
        assert layer.weight.shape == (3, 0)
        assert layer(Tensor(np.ones((2, 0), np.float32))).numpy().tolist() == [[0, 0, 0]] * 2

    def test_the_seed_determines_the_weights(self) -> None:
        mg.manual_seed(3)
        first = mlp().state_dict()
        mg.manual_seed(3)
        again = mlp().state_dict()
        other = mlp().state_dict()
        assert all(np.array_equal(first[name], again[name]) for name in first)
        assert not any(np.array_equal(first[name], other[name]) for name in first)


class TestStateDict:
    def test_round_trip_through_a_file(self, tmp_path: Path) -> None:
        net, copy = Counting(), Counting()
        net.calls.assign(5)
        mg.save(tmp_path / "net.safetensors", net.state_dict())
        copy.load_state_dict(mg.load(tmp_path / "net.safetensors"))
        for name, a in net.state_dict().items():
            assert copy.state_dict()[name].dtype == a.dtype
            np.testing.assert_array_equal(copy.state_dict()[name], a)

    def test_it_holds_the_arrays_themselves_and_loading_copies(self) -> None:
        net = mlp()
        arrays = net.state_dict()
        assert all(arrays[name] is p.data for name, p in net.named_parameters())
        given = {name: np.full_like(a, 2) for name, a in arrays.items()}
        net.load_state_dict(given)
        given["0.bias"][...] = 3
        assert arrays["0.bias"].tolist() == [2] * 8

    def test_tensors_and_other_precisions_can_be_loaded(self) -> None:
        layer = nn.Linear(2, 1)
        layer.load_state_dict({"weight": Tensor(np.array([[1.5, 2.5]])), "bias": np.array([3.0])})
        assert layer.weight.dtype == np.float32
        assert layer.weight.data.tolist() == [[1.5, 2.5]]
        assert layer.bias is not None
        assert layer.bias.data.tolist() == [3]

    def test_all_mismatches_are_reported_in_one_error_and_nothing_is_changed(self) -> None:
        net = mlp()
        before = {name: a.copy() for name, a in net.state_dict().items()}
        bad = {name: np.zeros_like(a) for name, a in before.items()}
        del bad["0.bias"]
        bad["extra"] = np.zeros(1)
        bad["2.0.weight"] = np.zeros((8, 3))
        with pytest.raises(ValueError) as caught:
            net.load_state_dict(bad)
        assert str(caught.value) == (
            "Sequential: these weights do not fit: "
            "0.bias is missing, 2.0.weight is (8, 3) and should be (3, 8), extra is unknown"
        )
        for name, a in net.state_dict().items():
            np.testing.assert_array_equal(a, before[name])

    def test_a_load_between_forward_and_backward_is_refused(self) -> None:
        layer = nn.Linear(2, 1)
        x = Tensor(np.ones((1, 2), np.float32), requires_grad=True)
        loss = layer(x).sum()
        layer.load_state_dict(layer.state_dict())
        with pytest.raises(RuntimeError, match="changed in place"):
            mg.grad(loss, [x])


class TestModesAndMoves:
    def test_train_and_eval_reach_every_module(self) -> None:
        net = Counting()
        assert all(m.training for m in net.modules())
        assert net.eval() is net
        assert not any(m.training for m in net.modules())
        assert net.train() is net
        assert all(m.training for m in net.modules())

    def test_dropout_follows_train_and_eval(self) -> None:
        layer = nn.Dropout(0.5)
        x = Tensor(np.ones(1000, np.float32))
        assert set(np.unique(layer(x).data)) == {0, 2}
        np.testing.assert_array_equal(layer.eval()(x).data, x.data)

    def test_to_a_dtype_changes_floating_point_tensors_in_place(self) -> None:
        net = Counting()
        parameters = net.parameters()
        assert net.to(dtype=np.float64) is net
        assert all(p is q for p, q in zip(net.parameters(), parameters, strict=True))
        assert {name: a.dtype.name for name, a in net.state_dict().items()} == {
            "first.weight": "float64", "first.bias": "float64", "scale": "float64", "calls": "int64",
            "last.1.weight": "float64",
        }  # fmt: skip
        assert net(Tensor(np.ones((1, 2)))).dtype == np.float64
        assert all(is_dense(p.data) for p in parameters)

    def test_to_another_dtype_between_forward_and_backward_is_refused(self) -> None:
        layer = nn.Linear(2, 1)
        x = Tensor(np.ones((1, 2), np.float32), requires_grad=True)
        loss = layer(x).sum()
        layer.to(dtype=np.float64)
        with pytest.raises(RuntimeError, match="changed in place"):
            mg.grad(loss, [x])

    def test_to_the_backend_it_is_on_changes_nothing(self) -> None:
        net = mlp()
        arrays = net.state_dict()
        net.to("numpy")
        assert all(net.state_dict()[name] is a for name, a in arrays.items())

    def test_to_an_unknown_backend_is_an_error_that_names_it(self) -> None:
        with pytest.raises(mg.BackendError, match="'tpu'"):
            mlp().to("tpu")

    def test_parameters_stay_floating_point(self) -> None:
        with pytest.raises(TypeError, match="floating-point"):
            mlp().to(dtype=np.int64)

    def test_zero_grad_sets_every_grad_to_none(self) -> None:
        layer = nn.Linear(2, 1)
        layer(Tensor(np.ones((1, 2), np.float32))).sum().backward()
        assert all(p.grad is not None for p in layer.parameters())
        layer.zero_grad()
        assert all(p.grad is None for p in layer.parameters())


class TestRepr:
    def test_settings_names_and_counts(self) -> None:
        net = nn.Sequential(
            nn.Linear(784, 256),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.3),
            nn.Sequential(nn.Linear(256, 1, bias=False), nn.Reshape(1, 1)),
        )
        assert repr(net) == "\n".join(
            [
                "Sequential()  # 201,216 parameters",
                "  (0): Linear(784, 256)  # 200,960 parameters",
                "  (1): LeakyReLU(0.2)",
                "  (2): Dropout(p=0.3)",
                "  (3): Sequential()  # 256 parameters",
                "    (0): Linear(256, 1, bias=False)  # 256 parameters",
                "    (1): Reshape(1, 1)",
            ]
        )

    def test_layers_without_parameters_have_no_count(self) -> None:
        assert repr(nn.Embedding(5, 3)) == "Embedding(5, 3)  # 15 parameters"
        assert [repr(m) for m in (nn.ReLU(), nn.Flatten())] == ["ReLU()", "Flatten()"]


X = np.linspace(-2, 2, 12).reshape(2, 6)


class TestLayers:
    @pytest.mark.parametrize(("layer", "function"), [
        (nn.ReLU(), F.relu),
        (nn.LeakyReLU(), F.leaky_relu),
        (nn.LeakyReLU(0.3), lambda x: F.leaky_relu(x, 0.3)),
        (nn.Tanh(), F.tanh),
        (nn.Sigmoid(), F.sigmoid),
        (nn.Softplus(), F.softplus),
        (nn.ELU(0.5), lambda x: F.elu(x, 0.5)),
        (nn.GELU(), F.gelu),
        (nn.SiLU(), F.silu),
        (nn.Softmax(1), lambda x: F.softmax(x, 1)),
        (nn.Identity(), lambda x: x),
        (nn.Reshape(3, 2), lambda x: F.reshape(x, (2, 3, 2))),
    ], ids=lambda value: getattr(value, "__name__", repr(value)))  # fmt: skip
    def test_a_layer_computes_its_function(self, layer: Module, function: Callable[[Tensor], Tensor]) -> None:
        np.testing.assert_array_equal(layer(Tensor(X)).data, function(Tensor(X)).data)

    def test_flatten_undoes_reshape(self) -> None:
        x = Tensor(X)
        np.testing.assert_array_equal(nn.Sequential(nn.Reshape(1, 3, 2), nn.Flatten())(x).data, X)

    def test_linear_and_embedding_compute_with_their_own_parameters(self) -> None:
        layer, rows = nn.Linear(6, 2), nn.Embedding(4, 3)
        assert layer.bias is not None
        layer.to(dtype=np.float64)
        np.testing.assert_allclose(layer(Tensor(X)).data, X @ layer.weight.data.T + layer.bias.data, rtol=1e-14)
        np.testing.assert_array_equal(rows(Tensor([[3, 0]])).data, rows.weight.data[[[3, 0]]])

    def test_a_network_learns(self) -> None:
        """Exclusive or, which a single linear layer cannot compute."""
        inputs = Tensor(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32))
        targets = Tensor(np.array([[0], [1], [1], [0]], np.float32))
        net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        optimizer = mg.optim.Adam(net.parameters(), lr=0.05)
        for _ in range(150):
            loss = F.binary_cross_entropy_with_logits(net(inputs), targets)
            optimizer.step(mg.grad(loss, net.parameters()))
        assert loss.item() < 0.02


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Sequential(nn.Linear(4, 3), nn.LeakyReLU(0.2), nn.spectral_norm(nn.Linear(3, 2)), nn.Tanh()), (0, 4)),
        (nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.MaxPool2d(2), nn.Upsample(scale_factor=2)), (0, 2, 6, 6)),
        (nn.Sequential(nn.ConvTranspose2d(2, 3, 4), nn.InstanceNorm2d(3), nn.AvgPool2d(3), nn.Flatten()), (0, 2, 6, 6)),
        (nn.Sequential(nn.Dropout(0.5), nn.LayerNorm(4), nn.BatchNorm1d(4).eval()), (0, 4)),
    ],
)
def test_empty_batches_have_empty_results_and_gradients_of_zero(layer: nn.Module, shape: tuple[int, ...]) -> None:
    out = layer(Tensor(np.zeros(shape, np.float32)))
    assert out.shape[0] == 0
    assert all(not g.data.any() for g in mg.grad(out.sum(), layer.parameters()))


class TestAttributes:
    @pytest.mark.parametrize(("name", "kind"), [("scale", "Parameter"), ("calls", "Buffer")])
    @pytest.mark.parametrize("value", [Tensor([1.0, 2.0, 3.0]), 2.0], ids=["tensor", "number"])
    def test_a_part_of_the_state_cannot_be_replaced_by_what_would_not_be_part_of_it(
        self, name: str, kind: str, value: Any
    ) -> None:
        net = Counting()
        with pytest.raises(TypeError, match=rf"Counting.{name} is a {kind}; .* write self.{name}.assign\(...\)"):
            setattr(net, name, value)
        assert name in net.state_dict()

    def test_a_module_cannot_be_replaced_by_what_is_no_module(self) -> None:
        net = Counting()
        with pytest.raises(TypeError, match=r"Counting.first is a Module; .* write self.first = another module"):
            net.first = Tensor([1.0])
        net.first = nn.spectral_norm(nn.Linear(2, 3))
        net.first = None

    def test_it_can_be_replaced_by_another_one_or_taken_away(self) -> None:
        net = Counting()
        net.scale = Parameter(np.zeros(3, np.float32))
        net.calls = None
        assert "calls" not in net.state_dict()
        np.testing.assert_array_equal(net.state_dict()["scale"], np.zeros(3))

    def test_an_unknown_name_is_reported_for_the_subclass(self) -> None:
        with pytest.raises(AttributeError, match=r"^Counting has no `frist`$"):
            Counting().frist  # noqa: B018

    def test_settings_are_checked_when_a_layer_is_made(self) -> None:
        with pytest.raises(ValueError, match=r"Dropout: p is 1\.5"):
            nn.Dropout(1.5)
        with pytest.raises(ValueError, match="LeakyReLU: negative_slope is -1"):
            nn.LeakyReLU(-1)

    def test_flatten_merges_the_axes_that_it_is_given(self) -> None:
        x = Tensor(np.zeros((2, 3, 4, 5)))
        assert nn.Flatten()(x).shape == (2, 60)
        assert nn.Flatten(0, 1)(x).shape == (6, 4, 5)
