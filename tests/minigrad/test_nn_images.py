"""The layers that change the size of images compute their functions and show their settings in `repr`."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from drawn_windows import images

import minigrad as mg
import minigrad.functional as F
from minigrad import Tensor, nn
from minigrad.kernels.geometry import Size

LAYERS = {
    "MaxPool2d(kernel_size=2, stride=2, padding=0)": (nn.MaxPool2d(2), lambda x: F.max_pool2d(x, 2)),
    "MaxPool2d(kernel_size=(3, 2), stride=1, padding=1)": (
        nn.MaxPool2d((3, 2), 1, 1), lambda x: F.max_pool2d(x, (3, 2), 1, 1),
    ),
    "AvgPool2d(kernel_size=3, stride=2, padding=1)": (nn.AvgPool2d(3, 2, 1), lambda x: F.avg_pool2d(x, 3, 2, 1)),
    "Upsample(scale_factor=2, mode='nearest')": (nn.Upsample(scale_factor=2), lambda x: F.interpolate(x, scale_factor=2)),
    "Upsample(size=(5, 4), mode='bilinear')": (
        nn.Upsample((5, 4), mode="bilinear"), lambda x: F.interpolate(x, (5, 4), mode="bilinear"),
    ),
    "ZeroPad2d((1, 2, 0, 3))": (nn.ZeroPad2d((1, 2, 0, 3)), lambda x: F.pad(x, (1, 2, 0, 3))),
    "ReflectionPad2d((2, 2, 2, 2))": (nn.ReflectionPad2d(2), lambda x: F.pad(x, (2, 2, 2, 2), "reflect")),
}  # fmt: skip


@pytest.mark.parametrize(("shown", "layer", "function"), [(shown, *pair) for shown, pair in LAYERS.items()], ids=LAYERS)
def test_layers_compute_their_functions(shown: str, layer: nn.Module, function: object) -> None:
    x = Tensor(images(2, 3, Size(6, 8), np.float32))
    assert callable(function)
    np.testing.assert_array_equal(layer(x).data, function(x).data)
    assert repr(layer) == shown
    assert not layer.parameters() and not layer.state_dict()


def test_a_network_of_these_layers_keeps_images_channels_last_and_has_gradients() -> None:
    net = nn.Sequential(nn.ReflectionPad2d(1), nn.MaxPool2d(2), nn.Upsample(scale_factor=2), nn.ZeroPad2d(1), nn.AvgPool2d(2))
    x = Tensor(images(2, 3, Size(6, 4), np.float32), requires_grad=True)
    y = net(x)
    (dx,) = mg.grad(y.sum(), [x])
    assert y.shape == (2, 3, 5, 4)
    for out in (y, dx):
        assert out.data.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("layer", [nn.ZeroPad2d, nn.ReflectionPad2d])
def test_borders_are_one_whole_number_or_four(layer: Any) -> None:
    assert layer(np.int64(1)).padding == (1, 1, 1, 1)
    assert layer([1, 0, np.int64(2), 0]).padding == (1, 0, 2, 0)
    for wrong in ((1, 2), (1,) * 6, "a", ()):
        with pytest.raises(
            ValueError, match=rf"^{layer.__name__}: padding is {re.escape(repr(wrong))}; .* one whole number, or"
        ):
            layer(wrong)
    for wrong in (1.5, -1, (1, 1, 1, 0.5), None):
        with pytest.raises(ValueError, match=rf"^{layer.__name__}: padding is .*; it must be a whole number, 0 or more"):
            layer(wrong)
    with pytest.raises(
        ValueError, match=rf"^{layer.__name__}: x is \(4, 4\); it must be images \(n, channels, height, width\)"
    ):
        layer(1)(Tensor(np.ones((4, 4))))
