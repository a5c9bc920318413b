"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import minigrad.functional as F
from minigrad.checks import real, whole
from minigrad.nn.module import Buffer, Module, Parameter, check_dtype
from minigrad.tensor import Shape, Tensor

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "InstanceNorm2d", "LayerNorm"]


class _Norm(Module):
    """Base of the layers: a weight of ones and a bias of zeros, unless affine is False."""

    weight: Parameter | None
    bias: Parameter | None

    def __init__(self, name: str, shape: Shape, eps: float, affine: bool) -> None:
        shape = tuple(whole(n, f"{type(self).__name__}: {name}") for n in shape)
        self.shape, self.eps = shape, real(eps, f"{type(self).__name__}: eps")
        self.weight = Parameter(np.ones(shape, np.float32)) if affine else None
        self.bias = Parameter(np.zeros(shape, np.float32)) if affine else None

    def describe(self) -> str:
        return ", ".join(map(str, self.shape)) + ("" if self.weight is not None else ", affine=False")


class _BatchNorm(_Norm):
    ndim: int

    def __init__(self, num_features: int, *, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> None:
        super().__init__("num_features", (num_features,), eps, affine)
        self.momentum = real(momentum, f"{type(self).__name__}: momentum")
        self.running_mean = Buffer(np.zeros(num_features, np.float32))
        self.running_var = Buffer(np.ones(num_features, np.float32))
        self.num_batches_tracked = Buffer(np.zeros((), np.int64))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != self.ndim:
            raise ValueError(f"{type(self).__name__}({self.describe()}): x {x.shape} must have {self.ndim} axes")
        check_dtype(self, x, self.running_mean)
        statistics = self.running_mean, self.running_var
        y = F.batch_norm(x, *statistics, self.weight, self.bias, self.training, self.momentum, eps=self.eps)
        if self.training:
            self.num_batches_tracked.assign(self.num_batches_tracked.data + 1)
        return y


class BatchNorm1d(_BatchNorm):
    """Normalise each feature of x (n, num_features) over the batch, then scale and shift it by the learned weight and bias.

    Training uses the batch's own mean and variance and updates the running ones by `momentum`; evaluation
    uses the running ones.
    """

    ndim = 2


class BatchNorm2d(_BatchNorm):
    """BatchNorm1d for images (n, num_features, height, width): each channel is normalised over the batch and all pixels."""

    ndim = 4


class InstanceNorm2d(_Norm):
    """Normalise each channel of each image of x (n, num_features, height, width) over its pixels, always."""

    def __init__(self, num_features: int, *, eps: float = 1e-5, affine: bool = False) -> None:
        super().__init__("num_features", (num_features,), eps, affine)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 4 and x.shape[1:2] != self.shape:
            raise ValueError(f"InstanceNorm2d({self.describe()}): x {x.shape} has {x.shape[1]} channels, not {self.shape[0]}")
        check_dtype(self, x, self.weight)
        return F.instance_norm(x, self.weight, self.bias, eps=self.eps)


class GroupNorm(_Norm):
    """Normalise each group of channels of each image of x (n, num_channels, height, width), over its channels and pixels."""

    def __init__(self, num_groups: int, num_channels: int, *, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__("num_channels", (num_channels,), eps, affine)
        self.num_groups = whole(num_groups, "GroupNorm: num_groups")
        if num_channels % num_groups:
            raise ValueError(f"GroupNorm: {num_groups} groups must divide the channels, {num_channels}")

    def forward(self, x: Tensor) -> Tensor:
        check_dtype(self, x, self.weight)
        return F.group_norm(x, self.num_groups, self.weight, self.bias, eps=self.eps)

    def describe(self) -> str:
        return f"{self.num_groups}, {super().describe()}"


class LayerNorm(_Norm):
    """Normalise each sample of x (..., *normalized_shape) over these axes; weight and bias have that shape."""

    def __init__(self, normalized_shape: int | Shape, *, eps: float = 1e-5, elementwise_affine: bool = True) -> None:
        shape = tuple(normalized_shape) if isinstance(normalized_shape, Sequence) else (normalized_shape,)
        if not shape:
            raise ValueError("LayerNorm: normalized_shape is (); it must have one axis or more")
        super().__init__("normalized_shape", shape, eps, elementwise_affine)

    def forward(self, x: Tensor) -> Tensor:
        check_dtype(self, x, self.weight)
        return F.layer_norm(x, self.shape, self.weight, self.bias, eps=self.eps)
