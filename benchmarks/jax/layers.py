"""Layers as functions, on channels-last images, and the network made of them.

A layer takes its own arrays by name and x, and returns y and its new running statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Array = Any
Arrays = dict[str, Array]
Layer = Callable[[Arrays, Array], tuple[Array, Arrays]]

IMAGES = ("NHWC", "HWIO", "NHWC")


def plain(function: Callable[[Array], Array]) -> Layer:
    """A layer without arrays."""
    return lambda own, x: (function(x), {})


relu, tanh = plain(jax.nn.relu), plain(jnp.tanh)
flatten = plain(lambda x: x.transpose(0, 3, 1, 2).reshape(len(x), -1) if x.ndim == 4 else x)  # in the order of the trainers


def leaky_relu(slope: float) -> Layer:
    return plain(lambda x: jax.nn.leaky_relu(x, slope))


def unflatten(*shape: int) -> Layer:
    """To images of shape (channels, height, width)."""
    return plain(lambda x: x.reshape(len(x), *shape).transpose(0, 2, 3, 1))


def reflect(pad: int) -> Layer:
    return plain(lambda x: jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect"))


def halve(x: Array) -> Array:
    """Max-pooling of 2 x 2 pixels."""
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))


def linear(own: Arrays, x: Array) -> tuple[Array, Arrays]:
    return x @ own["weight"].T + own.get("bias", 0), {}


def conv(stride: int = 1, padding: int = 0) -> Layer:
    def layer(own: Arrays, x: Array) -> tuple[Array, Arrays]:
        pads = [(padding, padding)] * 2
        y = lax.conv_general_dilated(x, own["weight"], (stride, stride), pads, dimension_numbers=IMAGES)
        return y + own.get("bias", 0), {}

    return layer


def conv_transpose(stride: int = 1, padding: int = 0, extra: int = 0) -> Layer:
    """`extra` rows and columns at the end are PyTorch's output_padding."""

    def layer(own: Arrays, x: Array) -> tuple[Array, Arrays]:
        weight = own["weight"]
        around = weight.shape[0] - 1 - padding
        pads = [(around, around + extra)] * 2
        y = lax.conv_transpose(x, weight, (stride, stride), pads, dimension_numbers=IMAGES, transpose_kernel=True)
        return y + own.get("bias", 0), {}

    return layer


def _normalized(x: Array, axes: tuple[int, ...], eps: float = 1e-5) -> tuple[Array, Array, Array]:
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) * lax.rsqrt(var + eps), mean, var


def batch_norm(own: Arrays, x: Array) -> tuple[Array, Arrays]:
    y, mean, var = _normalized(x, tuple(range(x.ndim - 1)))
    count = x.size // x.shape[-1]
    return y * own["weight"] + own["bias"], {
        "running_mean": 0.9 * own["running_mean"] + 0.1 * mean.ravel(),
        "running_var": 0.9 * own["running_var"] + 0.1 * var.ravel() * count / (count - 1),
        "num_batches_tracked": own["num_batches_tracked"] + 1,
    }


instance_norm = plain(lambda x: _normalized(x, (1, 2))[0])


def residual(*layers: Layer) -> Layer:
    """x plus what a network named "body" makes of it."""
    body = Network(*layers)

    def layer(own: Arrays, x: Array) -> tuple[Array, Arrays]:
        return x + body(below(own, "body"), x)[0], {}

    return layer


def below(arrays: Mapping[str, Array], owner: str) -> Arrays:
    """The arrays of "owner.", without this prefix."""
    return {name.removeprefix(owner + "."): a for name, a in arrays.items() if name.startswith(owner + ".")}


class Network:
    """Layers in a row. Arrays have PyTorch's names: "0.weight" belongs to the first layer."""

    def __init__(self, *layers: Layer) -> None:
        self.layers = layers

    def __call__(self, arrays: Arrays, x: Array) -> tuple[Array, Arrays]:
        """The output, and the new running statistics."""
        statistics: Arrays = {}
        for i, layer in enumerate(self.layers):
            x, changed = layer(below(arrays, str(i)), x)
            statistics |= {f"{i}.{name}": a for name, a in changed.items()}
        return x, statistics
