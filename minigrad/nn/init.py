"""Initial values. All draw from the default random stream, on the CPU, in float32; `Module.to` moves them."""

from __future__ import annotations

from minigrad import random
from minigrad.tensor import Shape, Tensor


def uniform(shape: Shape, low: float, high: float) -> Tensor:
    """Uniform in (low, high)."""
    return Tensor(low + (high - low) * random.rand(shape).data)


def normal(shape: Shape, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal."""
    return Tensor(mean + std * random.randn(shape).data)


def fan_in_uniform(shape: Shape, fan_in: int) -> Tensor:
    """Uniform within 1 / sqrt(fan_in), fan_in being how many inputs each output sums: PyTorch's default for weights and biases.

    PyTorch calls it kaiming_uniform with a = sqrt(5), after He et al., "Delving deep into rectifiers" (2015).
    """
    bound = fan_in**-0.5 if fan_in else 0.0
    return uniform(shape, -bound, bound)
