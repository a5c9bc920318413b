"""Fully connected layers, containers and changes of shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Self

import minigrad.functional as F
from minigrad.nn import init
from minigrad.nn.module import Module, Parameter, check_dtype
from minigrad.tensor import Tensor

__all__ = ["Embedding", "Flatten", "Identity", "Linear", "ModuleList", "Reshape", "Sequential"]


class _Container(Module):
    """Modules in order. Their parameters are named "0.weight", "0.bias", "1.weight", ..."""

    def __init__(self, layers: Iterable[Module]) -> None:
        for layer in layers:
            self.append(layer)

    def append(self, layer: Module) -> Self:
        """Add a module at the end."""
        if not isinstance(layer, Module):
            raise TypeError(f"{type(self).__name__} holds modules, not {type(layer).__name__}")
        setattr(self, str(len(self)), layer)
        return self

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, i: int | slice) -> Any:
        """The module at a place, or for a slice a container that shares its modules."""
        if not isinstance(i, slice):
            return list(self)[i]
        part = type(self).__new__(type(self))
        _Container.__init__(part, list(self)[i])
        return part


class Sequential(_Container):
    """Modules applied one after another. Their parameters are named "0.weight", "0.bias", "1.weight", ..."""

    def __init__(self, *layers: Module) -> None:
        super().__init__(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = layer(x)
        return x


class ModuleList(_Container):
    """A list of modules that a network's `forward` uses as it likes. Their parameters are named as in `Sequential`."""

    def __init__(self, layers: Iterable[Module] = ()) -> None:
        super().__init__(layers)


class Identity(Module):
    """x itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Linear(Module):
    """x @ weight.T + bias: (..., in_features) to (..., out_features)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.weight = Parameter(init.fan_in_uniform((out_features, in_features), in_features))
        self.bias = Parameter(init.fan_in_uniform((out_features,), in_features)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        check_dtype(self, x, self.weight)
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
    """(n, ...) to (n, features): the axes from start_dim to end_dim, inclusive, are merged."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        return F.flatten(x, self.start_dim, self.end_dim)


class Reshape(Module):
    """(n, features) to (n, *shape)."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return F.reshape(x, (len(x), *self.shape))

    def describe(self) -> str:
        return ", ".join(map(str, self.shape))
