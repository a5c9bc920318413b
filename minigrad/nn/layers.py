"""Fully connected layers, containers and changes of shape."""

from __future__ import annotations

from collections.abc import Iterator

import minigrad.functional as F
from minigrad.nn import init
from minigrad.nn.module import Module, Parameter
from minigrad.tensor import Tensor

__all__ = ["Embedding", "Flatten", "Linear", "Reshape", "Sequential"]


class Sequential(Module):
    """Modules applied one after another. Their parameters are named "0.weight", "0.bias", "1.weight", ..."""

    def __init__(self, *layers: Module) -> None:
        for i, layer in enumerate(layers):
            setattr(self, str(i), layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = layer(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return iter(self.children().values())

    def __len__(self) -> int:
        return len(self.children())

    def __getitem__(self, i: int) -> Module:
        return list(self)[i]


class Linear(Module):
    """x @ weight.T + bias: (..., in_features) to (..., out_features)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.weight = Parameter(init.fan_in_uniform((out_features, in_features), in_features))
        self.bias = Parameter(init.fan_in_uniform((out_features,), in_features)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def describe(self) -> str:
        out_features, in_features = self.weight.shape
        return f"{in_features}, {out_features}" + ("" if self.bias is not None else ", bias=False")


class Embedding(Module):
    """Look up rows of `weight` (count, features): integers of any shape to (*shape, features)."""

    def __init__(self, count: int, features: int) -> None:
        self.weight = Parameter(init.normal((count, features)))

    def forward(self, x: Tensor) -> Tensor:
        return F.embedding(x, self.weight)

    def describe(self) -> str:
        return "{}, {}".format(*self.weight.shape)


class Flatten(Module):
    """(n, ...) to (n, features)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.flatten(x, 1)


class Reshape(Module):
    """(n, features) to (n, *shape)."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return F.reshape(x, (len(x), *self.shape))

    def describe(self) -> str:
        return ", ".join(map(str, self.shape))
