"""Initial values of parameters: float32, drawn on the CPU from the default random stream; `Module.to` moves them."""

from __future__ import annotations

from typing import NoReturn

from minigrad import from_pytorch, random
from minigrad.tensor import Shape, Tensor


def uniform(shape: Shape, low: float, high: float) -> Tensor:
    """Uniform in (low, high)."""
    return Tensor(low + (high - low) * random.rand(shape).data)


def normal(shape: Shape, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal with the given mean and standard deviation."""
    return Tensor(mean + std * random.randn(shape).data)


def fan_in_uniform(shape: Shape, fan_in: int) -> Tensor:
    """Uniform in +-1 / sqrt(fan_in), with fan_in the number of inputs of each output: PyTorch's default for weights and biases.

    PyTorch calls it kaiming_uniform with a = sqrt(5), after He et al., "Delving deep into rectifiers"
    (2015).
    """
    bound = fan_in**-0.5 if fan_in else 0.0
    return uniform(shape, -bound, bound)


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(from_pytorch.missing("init", name))
