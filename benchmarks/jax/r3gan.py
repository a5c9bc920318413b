"""The JAX twin of `gans.r3gan`: D's scores, R1 and R2 from one pass over real and generated images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.jax import twin
from benchmarks.jax.layers import Array, Network, conv, conv_transpose, flatten, leaky_relu, linear, residual, tanh, unflatten
from benchmarks.jax.twin import Draw, Part

act = leaky_relu(0.2)


def bottleneck() -> Any:
    return residual(conv(), act, conv(1, 1), act, conv())


def networks(width: int) -> tuple[Network, Network]:
    """Generator and discriminator."""
    up = Network(
        linear,
        act,
        unflatten(2 * width, 7, 7),
        bottleneck(),
        conv_transpose(2, 1),
        act,
        bottleneck(),
        conv_transpose(2, 1),
        tanh,
    )  # fmt: skip
    return up, Network(conv(2, 1), act, bottleneck(), conv(2, 1), act, bottleneck(), act, flatten, linear)


class Twin(twin.Twin):
    latent_size = 64
    ema = 0.995

    def __init__(self, state: Mapping[str, np.ndarray], lr: float, width: int = 32, gamma: float = 1.0) -> None:
        self.gamma = gamma
        generator, discriminator = networks(width)
        super().__init__(state, lr, (0.0, 0.99), generator=generator, average=generator, discriminator=discriminator)

    def draws(self, noise: Draw, uniform: Draw, n: int) -> Any:
        return noise(n), noise(n)

    def update(self, parts: dict[str, Part], drawn: Any, *batch: Array) -> tuple[dict[str, Part], Array]:
        (real,), (first, second) = batch, drawn
        G, D, average = parts["generator"], parts["discriminator"], parts["average"]
        images = jnp.concatenate([real, G(first)[0]])

        def d_loss(weights: Any) -> tuple[Array, Array]:
            def total(images: Array) -> tuple[Array, Array]:
                scores = replace(D, weights=weights)(images)[0]
                return scores.sum(), scores

            slopes, scores = jax.grad(total, has_aux=True)(images)
            on_real, on_fake = jnp.split(scores, 2)
            r1, r2 = (squares.mean() for squares in jnp.split((slopes**2).sum((1, 2, 3)), 2))
            loss = jax.nn.softplus(on_fake - on_real).mean()
            return loss + self.gamma / 2 * (r1 + r2), jnp.stack([loss, r1, r2])

        grads, (loss, r1, r2) = jax.grad(d_loss, has_aux=True)(D.weights)
        D = D.adam(grads)

        on_real = D(real)[0]
        fake, backward, G = G.forward(second)
        g_loss, cotangent = jax.value_and_grad(lambda x: jax.nn.softplus(on_real - D(x)[0]).mean())(fake)
        G = G.adam(*backward(cotangent))
        mean = {name: a + (G.weights[name] - a) * (1 - self.ema) for name, a in average.weights.items()}
        parts = {"generator": G, "average": replace(average, weights=mean), "discriminator": D}
        return parts, jnp.stack([loss, g_loss, r1, r2])
