"""The JAX twin of `gans.dcgan`: the loss on logits, real and generated images in separate passes through D."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.jax import twin
from benchmarks.jax.layers import (
    Array,
    Layer,
    Network,
    batch_norm,
    conv,
    conv_transpose,
    flatten,
    halve,
    leaky_relu,
    linear,
    plain,
    relu,
    tanh,
    unflatten,
)  # fmt: skip
from benchmarks.jax.twin import Draw, Part


def k4_networks(image_size: int) -> tuple[Network, Network]:
    """Generator and discriminator of the paper, for color images."""
    widths = [64 * 2**i for i in range(int(math.log2(image_size)) - 2)]
    down: list[Layer] = [conv(2, 1), leaky_relu(0.2)]
    up: list[Layer] = [unflatten(100, 1, 1), conv_transpose()]
    for _ in pairwise(widths):
        down += [conv(2, 1), batch_norm, leaky_relu(0.2)]
        up += [batch_norm, relu, conv_transpose(2, 1)]
    return Network(*up, batch_norm, relu, conv_transpose(2, 1), tanh), Network(*down, conv(), flatten)


def small_networks() -> tuple[Network, Network]:
    """Generator and discriminator for gray images of 28 x 28."""
    up = Network(
        linear, relu, batch_norm, linear, relu, batch_norm, unflatten(128, 7, 7),
        conv_transpose(2, 1), relu, batch_norm, conv_transpose(2, 1), tanh,
    )  # fmt: skip
    down = Network(
        conv(), leaky_relu(0.01), plain(halve), conv(), leaky_relu(0.01), plain(halve),
        flatten, linear, leaky_relu(0.01), linear,
    )  # fmt: skip
    return up, down


class Twin(twin.Twin):
    def __init__(self, state: Mapping[str, np.ndarray], lr: float, arch: str = "k4", image_size: int = 64) -> None:
        generator, discriminator = small_networks() if arch == "28" else k4_networks(image_size)
        self.latent_size = 96 if arch == "28" else 100
        super().__init__(state, lr, (0.5, 0.999), generator=generator, discriminator=discriminator)

    def loss(self, output: Array, real: bool) -> Array:
        """The loss of the discriminator's output for images that should count as real or as generated."""
        return jax.nn.softplus(-output if real else output).mean()

    def metric(self, output: Array) -> Array:
        return jax.nn.sigmoid(output)

    def on_both(self, D: Part, real: Array, fake: Array) -> tuple[Array, Array, Part]:
        """The discriminator's output for real and for generated images."""
        on_real, D = D(real)
        on_fake, D = D(fake)
        return on_real, on_fake, D

    def draws(self, noise: Draw, uniform: Draw, n: int) -> Any:
        return noise(n)

    def update(self, parts: dict[str, Part], drawn: Any, *batch: Array) -> tuple[dict[str, Part], Array]:
        (real,), G, D = batch, parts["generator"], parts["discriminator"]
        fake, backward, G = G.forward(drawn)

        def d_loss(weights: Any) -> tuple[Array, Any]:
            on_real, on_fake, after = self.on_both(replace(D, weights=weights), real, fake)
            metrics = self.metric(on_real).mean(), self.metric(on_fake).mean()
            return self.loss(on_real, True) + self.loss(on_fake, False), (after.running, metrics)

        (d_value, (running, metrics)), grads = jax.value_and_grad(d_loss, has_aux=True)(D.weights)
        D = replace(D, running=running).adam(grads)

        def g_loss(x: Array) -> tuple[Array, Any]:
            output, after = D(x)
            return self.loss(output, True), after.running

        (g_value, running), cotangent = jax.value_and_grad(g_loss, has_aux=True)(fake)
        G = G.adam(*backward(cotangent))
        parts = {"generator": G, "discriminator": replace(D, running=running)}
        return parts, jnp.stack([d_value, g_value, *metrics])
