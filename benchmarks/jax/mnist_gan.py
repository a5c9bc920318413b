"""The JAX twin of `gans.mnist_gan`: the loss on logits, real and generated images in one pass through D."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from benchmarks.jax import dcgan, twin
from benchmarks.jax.layers import Array, Network, flatten, leaky_relu, linear, plain, relu, tanh, unflatten
from benchmarks.jax.twin import Part


class Twin(dcgan.Twin):
    latent_size = 100

    def __init__(self, state: Mapping[str, np.ndarray], lr: float, dropout: float = 0.0) -> None:
        assert dropout == 0, "random masks differ from library to library, so that losses cannot be compared"
        dropped = plain(lambda x: x)
        generator = Network(linear, relu, linear, relu, linear, tanh, unflatten(1, 28, 28))
        discriminator = Network(flatten, linear, leaky_relu(0.2), dropped, linear, leaky_relu(0.2), dropped, linear)
        twin.Twin.__init__(self, state, lr, (0.5, 0.999), generator=generator, discriminator=discriminator)

    def on_both(self, D: Part, real: Array, fake: Array) -> tuple[Array, Array, Part]:
        output, D = D(jnp.concatenate([real, fake]))
        return *jnp.split(output, 2), D
