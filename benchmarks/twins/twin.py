"""`Twin`: what the twins share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Twin:
    """Base of the twins. A subclass makes its networks and optimizers in `__init__` and says in `step` what a step is.

    Parameters
    ----------
    state : of our trainer's networks, which are named as the twin's: "generator.0.weight", "discriminator.1.bias", ...
    variant : "eager" or "tuned"
    networks : by name; they take over the state and its dtype
    """

    latent_size: int

    def __init__(self, state: Mapping[str, np.ndarray], variant: str, **networks: nn.Module) -> None:
        self.tuned = variant == "tuned"
        self.networks = networks
        self.memory_format = torch.channels_last if self.tuned else torch.contiguous_format
        for name, network in networks.items():
            start = name + "."
            weights = {k.removeprefix(start): torch.from_numpy(a.copy()) for k, a in state.items() if k.startswith(start)}
            self.dtype = weights[next(iter(network.state_dict()))].dtype  # of the first one: counters are integers
            network.to(self.dtype).load_state_dict(weights)
            network.to(memory_format=self.memory_format)

    def step(self, real: torch.Tensor) -> list[float]:
        """One training step; the numbers that our trainer's step gives, in its order."""
        raise NotImplementedError

    def images(self, batch: np.ndarray) -> torch.Tensor:
        """A batch (n, channels, height, width) as a tensor that lies in memory as this variant wants it."""
        return torch.from_numpy(batch).to(memory_format=self.memory_format)

    def noise(self, count: int) -> torch.Tensor:
        return torch.randn(count, self.latent_size, dtype=self.dtype)

    def uniform(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.rand(shape, dtype=self.dtype)

    def adam(self, network: nn.Module, lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), lr=lr, betas=betas, fused=True if self.tuned else None)

    def cross_entropy(self, logits: nn.Sequential) -> tuple[nn.Sequential, Loss]:
        """The discriminator made of a network that gives logits, and its loss: the sigmoid is in the one or in the other."""
        if self.tuned:
            return logits, nn.BCEWithLogitsLoss()
        return nn.Sequential(*logits, nn.Sigmoid()), nn.BCELoss()

    def probability(self, judgement: torch.Tensor) -> torch.Tensor:
        """From what the discriminator of `cross_entropy` gives."""
        return torch.sigmoid(judgement) if self.tuned else judgement

    @contextmanager
    def frozen(self, network: nn.Module) -> Iterator[None]:
        """Within, the tuned variant computes no gradients for the network's weights."""
        network.requires_grad_(not self.tuned)
        yield
        network.requires_grad_(True)

    def state(self) -> dict[str, np.ndarray]:
        """Weights and running statistics under the names they were given by."""
        parts = {name: network.state_dict() for name, network in self.networks.items()}
        return {f"{name}.{key}": a.numpy() for name, part in parts.items() for key, a in part.items()}
