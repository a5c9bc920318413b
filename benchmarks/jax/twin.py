"""`Twin`: the base class of the JAX twins, and `Part`: a network in training."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.jax.layers import Array, Arrays, Network, below

Draw = Callable[[Any], Array]


@functools.partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True)
class Part:
    """A network with its weights, running statistics, and the state of its Adam."""

    weights: Arrays
    running: Arrays
    first: Arrays
    second: Arrays
    steps: Array
    network: Network = field(metadata={"static": True})
    lr: float = field(metadata={"static": True})
    betas: tuple[float, float] = field(metadata={"static": True})

    def __call__(self, x: Array) -> tuple[Array, Part]:
        """The output for x, and the part with new running statistics."""
        y, running = self.network({**self.weights, **self.running}, x)
        return y, replace(self, running=running)

    def forward(self, x: Array) -> tuple[Array, Callable[[Array], tuple[Arrays]], Part]:
        """The output for x, the function from its cotangent to the gradients of the weights, and the part as above."""
        return jax.vjp(lambda weights: replace(self, weights=weights)(x), self.weights, has_aux=True)

    def adam(self, grads: Arrays, eps: float = 1e-8) -> Part:
        """The part after a step of Adam."""
        (beta1, beta2), steps = self.betas, self.steps + 1
        first = {name: beta1 * m + (1 - beta1) * grads[name] for name, m in self.first.items()}
        second = {name: beta2 * v + (1 - beta2) * grads[name] ** 2 for name, v in self.second.items()}
        size, scale = self.lr / (1 - beta1**steps), 1 / jnp.sqrt(1 - beta2**steps)
        weights = {name: w - size * first[name] / (scale * jnp.sqrt(second[name]) + eps) for name, w in self.weights.items()}
        return replace(self, weights=weights, first=first, second=second, steps=steps)


class Twin:
    """A subclass makes its networks in `__init__` and defines `update`, and `draws` if its step needs random numbers.

    Parameters
    ----------
    state : weights and running statistics of our trainer's networks: "generator.0.weight", "discriminator.1.bias", ...
    networks : by the same names
    """

    latent_size: int

    def __init__(
        self, state: Mapping[str, np.ndarray], lr: float, betas: tuple[float, float] = (0.9, 0.999), **networks: Network
    ) -> None:
        self.parts: dict[str, Part] = {}
        for name, network in networks.items():
            arrays = {key: jnp.asarray(_channels_last(a)) for key, a in below(state, name).items()}
            weights = {key: a for key, a in arrays.items() if key.endswith(("weight", "bias"))}
            running = {key: a for key, a in arrays.items() if key not in weights}
            first, second = ({key: jnp.zeros_like(w) for key, w in weights.items()} for _ in range(2))
            self.dtype = next(iter(weights.values())).dtype
            self.parts[name] = Part(weights, running, first, second, jnp.zeros((), self.dtype), network, lr, betas)
        self.key = jax.random.key(0, impl="rbg")  # XLA's own generator, which is faster than JAX's default
        self._given = jax.jit(self.update, donate_argnums=0)
        self._drawn = jax.jit(self._draw_and_update, donate_argnums=(0, 1))

    def draws(self, noise: Draw, uniform: Draw, n: int) -> Any:
        """The random numbers of a step on n images, in our trainer's order."""
        raise NotImplementedError

    def update(self, parts: dict[str, Part], drawn: Any, *batch: Array) -> tuple[dict[str, Part], Array]:
        """The parts after a step, and the metrics of our trainer's step, in the same order."""
        raise NotImplementedError

    def step(self, *batch: Array) -> list[float]:
        """One training step. The functions "noise" and "uniform", where they are set, replace the random numbers."""
        given = vars(self)
        if "uniform" in given:
            drawn = self.draws(given.get("noise", given["uniform"]), given["uniform"], len(batch[0]))
            self.parts, metrics = self._given(self.parts, drawn, *batch)
        else:
            self.parts, self.key, metrics = self._drawn(self.parts, self.key, *batch)
        return np.asarray(metrics).tolist()

    def _draw_and_update(self, parts: dict[str, Part], key: Array, *batch: Array) -> tuple[dict[str, Part], Array, Array]:
        def draw(generator: Callable[..., Array], shape: tuple[int, ...]) -> Array:
            nonlocal key
            key, now = jax.random.split(key)
            return generator(now, shape, self.dtype)

        noise = lambda count: draw(jax.random.normal, (count, self.latent_size))  # noqa: E731
        drawn = self.draws(noise, functools.partial(draw, jax.random.uniform), len(batch[0]))
        parts, metrics = self.update(parts, drawn, *batch)
        return parts, key, metrics

    def images(self, batch: np.ndarray) -> Array:
        """A batch (n, channels, height, width) as a channels-last array."""
        return jnp.asarray(batch.transpose(0, 2, 3, 1))

    def state(self) -> dict[str, np.ndarray]:
        """Weights and running statistics, under the names of the constructor's `state`."""
        parts = {name: {**part.weights, **part.running} for name, part in self.parts.items()}
        return {f"{name}.{key}": _channels_first(np.asarray(a)) for name, part in parts.items() for key, a in part.items()}


def _channels_last(a: np.ndarray) -> np.ndarray:
    """A kernel (out, in, height, width) as (height, width, in, out); other arrays as they are."""
    return a.transpose(2, 3, 1, 0) if a.ndim == 4 else a


def _channels_first(a: np.ndarray) -> np.ndarray:
    return a.transpose(3, 2, 0, 1) if a.ndim == 4 else a
