"""How networks are written: several inputs, lists and slices of layers, freezing, and inputs of the wrong dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import Tensor, nn


class Conditional(nn.Module):
    """Two inputs and an option, and layers in a ModuleList."""

    def __init__(self) -> None:
        self.labels = nn.Embedding(3, 4)
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])

    def forward(self, z: Tensor, labels: Tensor, *, scale: float = 1.0) -> Tensor:
        x = z + self.labels(labels)
        for layer in self.layers:
            x = F.relu(layer(x))
        return x * scale


class TestNetworks:
    def test_a_module_takes_several_inputs_and_options(self) -> None:
        net, z = Conditional(), mg.randn((2, 4))
        once, twice = net(z, Tensor([0, 2])), net(z, labels=Tensor([0, 2]), scale=2.0)
        np.testing.assert_array_equal(2 * once.data, twice.data)

    def test_a_module_list_holds_parameters_and_can_be_cut_and_extended(self) -> None:
        net = Conditional()
        assert len(net.parameters()) == 7
        assert "layers.2.bias" in net.state_dict()
        assert [layer is net.layers[i + 1] for i, layer in enumerate(net.layers[1:])] == [True, True]
        assert len(net.layers.append(nn.ReLU())) == 4
        with pytest.raises(TypeError, match="ModuleList holds modules, not float"):
            net.layers.append(1.0)  # type: ignore[arg-type]

    def test_a_slice_of_a_sequential_shares_its_layers(self) -> None:
        net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        x = mg.randn((4, 2))
        assert type(net[:2]) is nn.Sequential
        np.testing.assert_array_equal(net[2:](net[:2](x)).data, net(x).data)
        assert net[-1:][0] is net[2]

    @pytest.mark.parametrize(
        "wrap",
        [list, tuple, lambda layers: dict(enumerate(layers)), lambda layers: {"deep": [layers]}],
        ids=["list", "tuple", "dict", "deep"],
    )
    @pytest.mark.parametrize("use", ["parameters", "state_dict", "train", "buffers"])
    def test_layers_in_a_list_tuple_or_dict_are_refused_where_they_would_be_lost(self, wrap: Any, use: str) -> None:
        net = nn.Module()
        net.blocks = wrap([nn.Linear(2, 2)])
        outer = nn.Sequential(net)
        with pytest.raises(TypeError, match=r"`blocks` holds modules or parameters, .* write self\.blocks = nn\.ModuleList"):
            list(getattr(outer, use)())

    def test_lists_of_other_things_are_allowed(self) -> None:
        net = nn.Module()
        net.sizes, net.names = [1, 2], {"a": ("b",)}
        assert net.parameters() == []

    def test_apply_visits_children_first_and_freezing_reaches_every_parameter(self) -> None:
        net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
        seen: list[nn.Module] = []
        assert net.apply(seen.append) is net
        assert [type(module).__name__ for module in seen] == ["Linear", "Linear", "Sequential", "Sequential"]
        assert not any(p.requires_grad for p in net.requires_grad_(False).parameters())
        assert all(p.requires_grad for p in net.requires_grad_().parameters())

    @pytest.mark.parametrize("dtype", [np.float64, np.int64])
    @pytest.mark.parametrize(
        ("layer", "shape"),
        [
            (nn.Linear(3, 2), (4, 3)),
            (nn.Conv2d(3, 2, 3), (1, 3, 4, 4)),
            (nn.ConvTranspose2d(3, 2, 3), (1, 3, 4, 4)),
            (nn.BatchNorm2d(3), (2, 3, 4, 4)),
            (nn.GroupNorm(1, 3), (2, 3, 4, 4)),
            (nn.InstanceNorm2d(3, affine=True), (2, 3, 4, 4)),
            (nn.LayerNorm(3), (2, 3)),
        ],
        ids=lambda each: type(each).__name__,
    )
    def test_an_input_of_another_dtype_than_the_weights_is_refused(self, layer: nn.Module, shape: Any, dtype: Any) -> None:
        with pytest.raises(TypeError, match=rf"x is {np.dtype(dtype)} and the weights are float32; write x\.astype"):
            layer(Tensor(np.ones(shape, dtype)))
        assert layer(Tensor(np.ones(shape, np.float32))).dtype == np.float32

    def test_augmented_assignment_to_a_parameter_is_refused(self) -> None:
        p = nn.Parameter([1.0])
        with pytest.raises(TypeError, match=r"write p\.assign\(p - x\)"):
            p -= 0.1  # type: ignore[misc]

    def test_group_norm_and_pixel_shuffle_are_layers_of_the_functions(self) -> None:
        x = mg.randn((2, 8, 3, 3))
        layer = nn.GroupNorm(4, 8)
        layer.weight.assign(mg.randn((8,)))
        np.testing.assert_array_equal(layer(x).data, F.group_norm(x, 4, layer.weight, layer.bias).data)
        assert repr(layer) == "GroupNorm(4, 8)  # 16 parameters"
        np.testing.assert_array_equal(nn.PixelShuffle(2)(x).data, F.pixel_shuffle(x, 2).data)
        with pytest.raises(ValueError, match="3 groups must divide the channels, 8"):
            nn.GroupNorm(3, 8)
