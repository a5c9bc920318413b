"""The JAX twin of `gans.wgan_gp`: real and generated images in one pass through the critic, its steps in a loop of XLA's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.jax import twin
from benchmarks.jax.layers import (
    Array,
    Network,
    batch_norm,
    conv,
    conv_transpose,
    flatten,
    leaky_relu,
    linear,
    relu,
    tanh,
    unflatten,
)  # fmt: skip
from benchmarks.jax.twin import Draw, Part


def networks(arch: str) -> tuple[Network, Network]:
    """Generator and critic for gray images of 28 x 28."""
    if arch == "mlp":
        up = Network(linear, relu, linear, relu, linear, tanh, unflatten(1, 28, 28))
        return up, Network(flatten, linear, leaky_relu(0.2), linear, leaky_relu(0.2), linear)
    up = Network(
        linear, batch_norm, relu, unflatten(128, 7, 7), conv_transpose(2, 1), batch_norm, relu, conv_transpose(2, 1), tanh
    )
    return up, Network(conv(2, 1), leaky_relu(0.2), conv(2, 1), leaky_relu(0.2), flatten, linear)


class Twin(twin.Twin):
    latent_size = 100
    critic_steps = 5
    penalty_weight = 10.0

    def __init__(self, state: Mapping[str, np.ndarray], lr: float, arch: str = "mlp") -> None:
        generator, critic = networks(arch)
        super().__init__(state, lr, (0.5, 0.9), generator=generator, critic=critic)

    def draws(self, noise: Draw, uniform: Draw, n: int) -> Any:
        n //= self.critic_steps
        drawn = [(noise(n), uniform((n, 1, 1, 1))) for _ in range(self.critic_steps)]
        return [jnp.stack(each) for each in zip(*drawn, strict=True)], noise(n)

    def update(self, parts: dict[str, Part], drawn: Any, *batch: Array) -> tuple[dict[str, Part], Array]:
        (real,) = batch
        (noises, alphas), z = drawn
        x = real.reshape(self.critic_steps, -1, *real.shape[1:])
        (G, critic), metrics = lax.scan(self.critic_step, (parts["generator"], parts["critic"]), (x, noises, alphas))

        fake, backward, G = G.forward(z)
        g_loss, cotangent = jax.value_and_grad(lambda x: -critic(x)[0].mean())(fake)
        parts = {"generator": G.adam(*backward(cotangent)), "critic": critic}
        return parts, jnp.append(metrics[-1], g_loss)

    def critic_step(self, parts: tuple[Part, Part], batch: tuple[Array, Array, Array]) -> tuple[tuple[Part, Part], Array]:
        """One step of the critic, and its metrics."""
        (G, critic), (x, z, alpha) = parts, batch
        fake, G = G(z)
        points = alpha * x + (1 - alpha) * fake

        def loss(weights: Any) -> tuple[Array, Array]:
            f = replace(critic, weights=weights)
            on_real, on_fake = jnp.split(f(jnp.concatenate([x, fake]))[0], 2)
            grads = jax.grad(lambda points: f(points)[0].sum())(points)
            penalty = ((jnp.sqrt((grads**2).sum((1, 2, 3))) - 1) ** 2).mean()
            wasserstein = on_real.mean() - on_fake.mean()
            return self.penalty_weight * penalty - wasserstein, jnp.stack([wasserstein, penalty])

        grads, metrics = jax.grad(loss, has_aux=True)(critic.weights)
        return (G, critic.adam(grads)), metrics
