"""The JAX twin of `gans.cyclegan`: one pass for all inputs that a network gets at the same time.

The pools of earlier translations are arrays of the state; which image is exchanged is drawn outside
the step, with the numbers of our trainer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.jax import twin
from benchmarks.jax.layers import (
    Array,
    Layer,
    Network,
    conv,
    conv_transpose,
    instance_norm,
    leaky_relu,
    reflect,
    relu,
    residual,
    tanh,
)  # fmt: skip
from benchmarks.jax.twin import Part


def make_generator(blocks: int) -> Network:
    """A residual network."""
    block = residual(reflect(1), conv(), instance_norm, relu, reflect(1), conv(), instance_norm)
    down: list[Layer] = [conv(2, 1), instance_norm, relu]
    up: list[Layer] = [conv_transpose(2, 1, 1), instance_norm, relu]
    return Network(
        reflect(3), conv(), instance_norm, relu, *down, *down, *[block] * blocks, *up, *up, reflect(3), conv(), tanh
    )  # fmt: skip


def make_discriminator() -> Network:
    """A PatchGAN, which classifies patches of 70 x 70 pixels."""
    layers: list[Layer] = [conv(2, 1), leaky_relu(0.2)]
    for stride in (2, 2, 1):
        layers += [conv(stride, 1), instance_norm, leaky_relu(0.2)]
    return Network(*layers, conv(1, 1))


class Twin(twin.Twin):
    cycle, identity = 10.0, 0.5

    def __init__(self, state: Mapping[str, np.ndarray], lr: float, image_size: int, width: int, pool: int = 50) -> None:
        generators = {name: make_generator(6 if image_size <= 128 else 9) for name in ("a_to_b", "b_to_a")}
        super().__init__(state, lr, (0.5, 0.999), **generators, d_a=make_discriminator(), d_b=make_discriminator())
        self.pool_size, self.seen = pool, 0
        self.pools = jnp.zeros((2, pool, image_size, image_size, 3), self.dtype)
        self._whole = jax.jit(self.update_all, donate_argnums=(0, 1))

    def step(self, *batch: Array) -> list[float]:
        places = np.array([self.place(kind) for kind in range(2)])
        self.parts, self.pools, metrics = self._whole(self.parts, self.pools, places, *batch)
        return np.asarray(metrics).tolist()

    def place(self, kind: int) -> tuple[int, bool]:
        """The place of the pool where the translation goes, and whether the image there takes its turn.

        A place beyond the pool stands for none.
        """
        rng = np.random.default_rng((0, 2 + kind, self.seen))
        self.seen += kind  # after both pools
        if self.seen - kind < self.pool_size:
            return self.seen - kind, False
        if rng.random() < 0.5:
            return int(rng.integers(self.pool_size)), True
        return self.pool_size, False

    def update_all(self, parts: dict[str, Part], pools: Array, places: Array, a: Array, b: Array) -> Any:
        """The parts and the pools after a step, and the metrics."""
        generators = {name: parts[name].weights for name in ("a_to_b", "b_to_a")}
        grads, (fakes, metrics) = jax.grad(self.generator_loss, has_aux=True)(generators, parts, a, b)
        parts = {**parts, **{name: parts[name].adam(grads[name]) for name in generators}}
        losses, new_pools = [], []
        for name, real, fake, pool, (place, swap) in zip(("d_a", "d_b"), (a, b), fakes, pools, places, strict=True):
            shown = jnp.where(swap, pool[place], fake[0])[None]
            new_pools.append(pool.at[place].set(fake[0], mode="drop"))
            loss, grad = jax.value_and_grad(self.discriminator_loss)(parts[name].weights, parts[name], real, shown)
            parts[name] = parts[name].adam(grad)
            losses.append(loss)
        return parts, jnp.stack(new_pools), jnp.stack([*losses, *metrics])

    def generator_loss(self, weights: Any, parts: dict[str, Part], a: Array, b: Array) -> tuple[Array, Any]:
        """Both generators' loss, and the translations and the terms of the loss."""
        G, F = (replace(parts[name], weights=weights[name]) for name in ("a_to_b", "b_to_a"))
        (same_a, fake_a), (same_b, fake_b) = self.apply(F, a, b), self.apply(G, b, a)
        adversarial = self.mse_to(parts["d_b"](fake_b)[0], 1.0), self.mse_to(parts["d_a"](fake_a)[0], 1.0)
        cycle = self.l1(F(fake_b)[0], a), self.l1(G(fake_a)[0], b)
        identity = self.l1(same_a, a), self.l1(same_b, b)
        loss = sum(adversarial) + self.cycle * sum(cycle) + self.cycle * self.identity * sum(identity)
        return loss, ((fake_a, fake_b), (*adversarial, *cycle, *identity))

    def discriminator_loss(self, weights: Any, D: Part, real: Array, fake: Array) -> Array:
        on_real, on_fake = self.apply(replace(D, weights=weights), real, fake)
        return 0.5 * (self.mse_to(on_real, 1.0) + self.mse_to(on_fake, 0.0))

    def apply(self, network: Part, *images: Array) -> list[Array]:
        """The network's output for each of the images."""
        return jnp.split(network(jnp.concatenate(images))[0], len(images))

    def l1(self, x: Array, y: Array) -> Array:
        return jnp.abs(x - y).mean()

    def mse_to(self, output: Array, target: float) -> Array:
        return ((output - target) ** 2).mean()
