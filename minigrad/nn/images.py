"""Layers without parameters that change the size of images (n, channels, height, width): pooling, resizing, padding."""

from __future__ import annotations

from collections.abc import Sequence

import minigrad.functional as F
from minigrad.checks import whole
from minigrad.kernels.geometry import Pair
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = ["AvgPool2d", "MaxPool2d", "PixelShuffle", "ReflectionPad2d", "Upsample", "ZeroPad2d"]

Borders = int | tuple[int, int, int, int]  # left, right, top, bottom, or one number for all


class _Pool(Module):
    """A window of kernel_size pixels that moves by stride, by default its own size."""

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> None:
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding

    def describe(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(_Pool):
    """The maximum of each window."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(_Pool):
    """The mean of each window; padding counts as zeros."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class PixelShuffle(Module):
    """Images (n, c r^2, h, w) to (n, c, h r, w r), with r the upscale factor: r^2 channels become the pixels of a square."""

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = whole(upscale_factor, "PixelShuffle: upscale_factor")

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(x, self.upscale_factor)

    def describe(self) -> str:
        return f"{self.upscale_factor}"


class Upsample(Module):
    """Resize images to `size` (height, width) or by `scale_factor`; mode "nearest" or "bilinear"."""

    def __init__(
        self,
        size: int | Pair | None = None,
        scale_factor: float | tuple[float, float] | None = None,
        mode: str = "nearest",
    ) -> None:
        self.size = size
        self.scale_factor = scale_factor
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, self.size, self.scale_factor, self.mode)

    def describe(self) -> str:
        how = f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"
        return f"{how}, mode={self.mode!r}"


class _Pad(Module):
    """A border of padding pixels: (left, right, top, bottom), or one number for all sides."""

    mode: str

    def __init__(self, padding: Borders) -> None:
        name = f"{type(self).__name__}: padding"
        numbers = padding if isinstance(padding, Sequence) else (padding,) * 4
        if len(numbers) != 4:
            raise ValueError(f"{name} is {padding!r}; it must be one whole number, or four: left, right, top and bottom")
        self.padding = tuple(whole(n, name, least=0) for n in numbers)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ValueError(f"{type(self).__name__}: x is {x.shape}; it must be images (n, channels, height, width)")
        return F.pad(x, self.padding, self.mode)

    def describe(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(_Pad):
    """Pad images with zeros."""

    mode = "constant"


class ReflectionPad2d(_Pad):
    """Pad images with their mirror image."""

    mode = "reflect"
