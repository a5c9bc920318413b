"""Convolution layers: PyTorch's settings, initialisation and state, and weights that always stay channels-last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.arrays.layout import channels_last

# Positional arguments beyond the channels and the kernel, in PyTorch's order.
LAYERS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "plain": ("Conv2d", (4, 6, 3)),
    "DCGAN's": ("Conv2d", (3, 8, 4, 2, 1)),
    "everything": ("Conv2d", (4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2, False)),
    "transposed": ("ConvTranspose2d", (4, 6, 3)),
    "DCGAN's, transposed": ("ConvTranspose2d", (8, 3, 4, 2, 1)),
    "everything, transposed": ("ConvTranspose2d", (4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, False, (1, 2))),
}
each_layer = pytest.mark.parametrize(("name", "arguments"), LAYERS.values(), ids=LAYERS)
KINDS = pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])


def is_channels_last(x: Any) -> bool:
    return x.transpose(0, 2, 3, 1).flags.c_contiguous


def images(channels: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, channels, 7, 6)).astype(np.float32)


def assert_same_outputs(torch: Any, ours: Any, theirs: Any) -> None:
    x = images(theirs.in_channels)
    np.testing.assert_allclose(ours(Tensor(x)).data, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-4, atol=1e-5)


@each_layer
def test_weights_load_from_pytorch(torch: Any, name: str, arguments: tuple[Any, ...], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    theirs, ours = getattr(torch.nn, name)(*arguments), getattr(nn, name)(*arguments)
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    ours.load_state_dict(mg.load(tmp_path / "weights.safetensors"))
    assert_same_outputs(torch, ours, theirs)
    assert is_channels_last(ours.weight.data)


@each_layer
def test_weights_load_into_pytorch(torch: Any, name: str, arguments: tuple[Any, ...], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    theirs, ours = getattr(torch.nn, name)(*arguments), getattr(nn, name)(*arguments)
    mg.save(tmp_path / "weights.safetensors", ours.state_dict())
    loaded = load_file(tmp_path / "weights.safetensors")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(loaded, strict=True)
    assert_same_outputs(torch, ours, theirs)


@pytest.mark.parametrize("tensor", ["weight", "bias"])
@pytest.mark.parametrize(("name", "arguments"), [
    ("Conv2d", (8, 800, 5)), ("Conv2d", (8, 800, (2, 3), 1, 0, 1, 4)),
    ("ConvTranspose2d", (8, 800, 5)), ("ConvTranspose2d", (8, 800, (2, 3), 1, 0, 0, 4)),
])  # fmt: skip
def test_layers_are_initialised_with_pytorchs_distribution(
    torch: Any, name: str, arguments: tuple[Any, ...], tensor: str
) -> None:
    """The Kolmogorov-Smirnov distance of two samples of size n exceeds 1.95 sqrt(2 / n) with probability 0.001."""
    torch.manual_seed(0)
    ours = np.sort(getattr(getattr(nn, name)(*arguments), tensor).data.ravel())
    theirs = np.sort(getattr(getattr(torch.nn, name)(*arguments), tensor).detach().numpy().ravel())
    assert len(ours) == len(theirs)
    both = np.concatenate([ours, theirs])
    distance = np.abs(np.searchsorted(ours, both, side="right") - np.searchsorted(theirs, both, side="right")).max()
    assert distance / len(ours) < 1.95 * (2 / len(ours)) ** 0.5


@KINDS
def test_initial_weights_are_uniform_within_one_over_root_fan_in(kind: Callable[..., Any]) -> None:
    """The fan-in is PyTorch's: the weight's second axis times the kernel, also in a transposed layer."""
    layer = kind(16, 100, 4, groups=4)
    bound = (layer.weight.shape[1] * 16) ** -0.5
    for values in layer.state_dict().values():
        assert values.dtype == np.float32
        assert bound * 0.95 < np.abs(values).max() <= bound


def test_shapes_are_pytorchs() -> None:
    assert {k: a.shape for k, a in nn.Conv2d(4, 6, (3, 2), groups=2).state_dict().items()} == {
        "weight": (6, 2, 3, 2),
        "bias": (6,),
    }
    assert {k: a.shape for k, a in nn.ConvTranspose2d(4, 6, (3, 2), groups=2).state_dict().items()} == {
        "weight": (4, 3, 3, 2),
        "bias": (6,),
    }
    assert list(nn.Conv2d(4, 6, 3, bias=False).state_dict()) == ["weight"]
    assert len(nn.Conv2d(4, 6, 3, bias=False).parameters()) == 1


@pytest.mark.parametrize(("layer", "expected"), [
    (lambda: nn.Conv2d(3, 64, 4, 2, 1), "Conv2d(3, 64, kernel_size=4, stride=2, padding=1)  # 3,136 parameters"),
    (lambda: nn.Conv2d(3, 64, 4), "Conv2d(3, 64, kernel_size=4)  # 3,136 parameters"),
    (lambda: nn.Conv2d(4, 6, (3, 2), (2, 1), dilation=2, groups=2, bias=False),
     "Conv2d(4, 6, kernel_size=(3, 2), stride=(2, 1), dilation=2, groups=2, bias=False)  # 72 parameters"),
    (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1),
     "ConvTranspose2d(4, 6, kernel_size=3, stride=2, padding=1, output_padding=1)  # 222 parameters"),
    (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False),
     "ConvTranspose2d(4, 6, kernel_size=3, groups=2, bias=False)  # 108 parameters"),
], ids=["DCGAN's", "plain", "everything", "transposed", "transposed groups"])  # fmt: skip
def test_repr_shows_settings_that_differ_from_the_default(layer: Callable[[], nn.Module], expected: str) -> None:
    assert repr(layer()) == expected


@KINDS
@pytest.mark.parametrize(("channels", "groups"), [((3, 4), 2), ((4, 3), 2), ((4, 4), 0), ((4, 4), -1)])
def test_groups_that_do_not_divide_the_channels_are_refused(
    kind: type[nn.Module], channels: tuple[int, int], groups: int
) -> None:
    make: Callable[..., Any] = kind
    with pytest.raises(ValueError, match=rf"{kind.__name__}: {groups} groups .*channels, {channels[0]} and {channels[1]}"):
        make(*channels, 3, groups=groups)


@KINDS
@pytest.mark.parametrize(("arguments", "message"), [
    ((-3, 4, 3), "in_channels is -3; it must be a whole number, 1 or more"),
    ((3, 0, 3), "out_channels is 0; it must be a whole number, 1 or more"),
    (("3", 4, 3), "in_channels is '3'; it must be a whole number"),
    ((3, 4, "3"), "kernel_size is '3'; it must be one whole number, or two"),
    ((3, 4, 0), r"kernel_size is \(0, 0\); it must be 1 or more"),
    ((3, 4, 3, 1.5), r"stride is 1\.5; it must be one whole number, or two"),
    ((3, 4, 3, (1, 0)), r"stride is \(1, 0\); it must be 1 or more"),
    ((3, 4, 3, 1, -1), r"padding is \(-1, -1\); it must be 0 or more"),
])  # fmt: skip
def test_invalid_settings_are_refused(kind: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{kind.__name__}: {message}"):
        kind(*arguments)


def layers() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False))


def weights(net: nn.Module) -> list[np.ndarray]:
    return [p.data for p in net.parameters() if p.ndim == 4]


class TestWeightsStayChannelsLast:
    def test_at_initialisation(self) -> None:
        assert all(is_channels_last(w) for w in weights(layers()))

    def test_after_conversion_to_another_dtype(self) -> None:
        net = layers()
        before = [w.copy() for w in weights(net)]
        for w, old in zip(weights(net.to(dtype=np.float64)), before, strict=True):
            assert w.dtype == np.float64
            assert is_channels_last(w)
            np.testing.assert_array_equal(w, old)

    def test_after_loading_from_a_file(self, tmp_path: Path) -> None:
        net, copy = layers(), layers()
        mg.save(tmp_path / "net.safetensors", net.state_dict())
        copy.load_state_dict(mg.load(tmp_path / "net.safetensors"))
        for w, old in zip(weights(copy), weights(net), strict=True):
            assert is_channels_last(w)
            np.testing.assert_array_equal(w, old)

    @pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.RMSprop])
    def test_optimizers_update_them_in_place_as_they_would_in_another_layout(self, make: Callable[..., Any]) -> None:
        """Bit for bit, whatever the memory layout of parameters and gradients; the state has the parameters' layout."""
        net, rng = layers(), np.random.default_rng(0)
        ordered = [Tensor(np.ascontiguousarray(p.data), requires_grad=True) for p in net.parameters()]
        places = [w.ctypes.data for w in weights(net)]
        ours, theirs = make(net.parameters(), lr=0.01), make(ordered, lr=0.01)
        for _ in range(3):
            grads = [rng.standard_normal(p.shape).astype(np.float32) for p in net.parameters()]
            in_layout = [Tensor(channels_last(g) if g.ndim == 4 else g) for g in grads]
            ours.step(in_layout)
            theirs.step([Tensor(g) for g in grads])
        for p, q in zip(net.parameters(), ordered, strict=True):
            np.testing.assert_array_equal(p.data, q.data)
        assert [w.ctypes.data for w in weights(net)] == places
        for arrays in ours.state.values():
            assert all(is_channels_last(a) for a in arrays if a.ndim == 4)

    def test_through_training(self) -> None:
        net = layers()
        optimizer = optim.Adam(net.parameters(), lr=1e-2)
        x = Tensor(images(3)[:, :, :6])
        losses = []
        for _ in range(20):
            loss = ((net(x) - x) * (net(x) - x)).mean()
            optimizer.step(mg.grad(loss, net.parameters()))
            losses.append(loss.item())
        assert losses[-1] < 0.8 * losses[0]
        assert all(is_channels_last(w) for w in weights(net))

    def test_optimizer_state_is_saved_and_loaded(self, tmp_path: Path) -> None:
        """A resumed run continues bit for bit."""
        nets = layers(), layers()
        nets[1].load_state_dict(nets[0].state_dict())
        optimizers = [optim.Adam(net.parameters()) for net in nets]
        x = Tensor(images(3)[:, :, :6])
        for net, optimizer in zip(nets, optimizers, strict=True):
            optimizer.step(mg.grad((net(x) * net(x)).mean(), net.parameters()))
        mg.save(tmp_path / "state.safetensors", optimizers[0].state_dict())
        optimizers[1] = optim.Adam(nets[1].parameters())
        optimizers[1].load_state_dict(mg.load(tmp_path / "state.safetensors"))
        for net, optimizer in zip(nets, optimizers, strict=True):
            optimizer.step(mg.grad((net(x) * net(x)).mean(), net.parameters()))
        for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
            np.testing.assert_array_equal(p.data, q.data)
