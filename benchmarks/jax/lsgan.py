"""The JAX twin of `gans.lsgan`: DCGAN's twin with half the mean squared error as the loss."""

from __future__ import annotations

from benchmarks.jax import dcgan
from benchmarks.jax.layers import Array


class Twin(dcgan.Twin):
    def loss(self, output: Array, real: bool) -> Array:
        return 0.5 * ((output - float(real)) ** 2).mean()

    def metric(self, output: Array) -> Array:
        return output
