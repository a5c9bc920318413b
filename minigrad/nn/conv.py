"""Convolution layers. Weights are stored channels-last, as images are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import minigrad.functional as F
from minigrad.arrays.layout import channels_last
from minigrad.checks import pair, whole
from minigrad.kernels.geometry import Pair
from minigrad.nn import init
from minigrad.nn.module import Module, Parameter, check_dtype
from minigrad.tensor import Tensor

__all__ = ["Conv2d", "ConvTranspose2d"]


class _Convolution(Module):
    """Base of the two layers: parameters and settings."""

    transposed: bool

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | Pair, stride: int | Pair, padding: int | Pair,
        dilation: int | Pair, groups: int, bias: bool,
    ) -> None:  # fmt: skip
        kind = type(self).__name__
        whole(in_channels, f"{kind}: in_channels")
        whole(out_channels, f"{kind}: out_channels")
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(f"{kind}: {groups} groups must divide the channels, {in_channels} and {out_channels}")
        outer, inner = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        shape = (outer, inner // groups, *pair(kernel_size, f"{kind}: kernel_size"))
        fan_in = math.prod(shape[1:])
        self.weight = Parameter(channels_last(init.fan_in_uniform(shape, fan_in).data))
        self.bias = Parameter(init.fan_in_uniform((out_channels,), fan_in)) if bias else None
        self.stride, self.dilation = pair(stride, f"{kind}: stride"), pair(dilation, f"{kind}: dilation")
        self.padding, self.groups = pair(padding, f"{kind}: padding", least=0), groups

    def _settings(self, in_channels: int, out_channels: int, **others: Pair) -> str:
        """Channels, kernel size and the settings that differ from the defaults."""
        defaults = {"stride": 1, "padding": 0, "dilation": 1}
        values = {name: getattr(self, name) for name in defaults} | others
        shown = [str(in_channels), str(out_channels), f"kernel_size={_short(self.weight.shape[2:])}"]
        shown += [f"{name}={_short(value)}" for name, value in values.items() if value != (defaults.get(name, 0),) * 2]
        shown += [f"groups={self.groups}"] * (self.groups != 1) + ["bias=False"] * (self.bias is None)
        return ", ".join(shown)


class Conv2d(_Convolution):
    """Images (n, in_channels, h, w) to (n, out_channels, rows, columns). `weight` (out, in / groups, kh, kw), `bias` (out,)."""

    transposed = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | Pair, stride: int | Pair = 1, padding: int | Pair = 0,
        dilation: int | Pair = 1, groups: int = 1, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)

    def forward(self, x: Tensor) -> Tensor:
        check_dtype(self, x, self.weight)
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def describe(self) -> str:
        return self._settings(self.weight.shape[1] * self.groups, self.weight.shape[0])


class ConvTranspose2d(_Convolution):
    """Images (n, in_channels, h, w) to larger ones, (n, out_channels, rows, columns). `weight` (in, out / groups, kh, kw)."""

    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | Pair, stride: int | Pair = 1, padding: int | Pair = 0,
        output_padding: int | Pair = 0, groups: int = 1, bias: bool = True, dilation: int | Pair = 1,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self.output_padding = pair(output_padding, f"{type(self).__name__}: output_padding", least=0)

    def forward(self, x: Tensor) -> Tensor:
        check_dtype(self, x, self.weight)
        numbers = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return F.conv_transpose2d(x, self.weight, self.bias, *numbers)

    def describe(self) -> str:
        channels = self.weight.shape[0], self.weight.shape[1] * self.groups
        return self._settings(*channels, output_padding=self.output_padding)


def _short(value: Sequence[int]) -> str:
    return str(value[0]) if value[0] == value[1] else str(tuple(value))
