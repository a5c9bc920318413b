"""`Twin`: what the twins share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
F = TypeVar("F", bound=Callable[..., Any])


def piece(method: F) -> F:
    """Mark a method of a twin as a piece of the step, one that the compiled variant compiles as a whole.

    On a GPU a piece's forward and its backward are then one CUDA graph each.
    """

    @functools.cache
    def compiled(mode: str) -> Callable[..., Any]:
        return torch.compile(method, dynamic=False, mode=mode)

    @functools.wraps(method)
    def call(twin: Twin, *args: Any) -> Any:
        return compiled(twin.mode)(twin, *args) if twin.compiled else method(twin, *args)

    return call  # type: ignore[return-value]


class Twin:
    """Base of the twins. A subclass makes its networks and optimizers in `__init__` and says in `step` what a step is.

    It lives on the device on which its networks are made.

    Parameters
    ----------
    state : of our trainer's networks, which are named as the twin's: "generator.0.weight", "discriminator.1.bias", ...
    variant : "eager", "tuned" or "compiled": the tuned step, its pieces compiled
    networks : by name; they take over the state and its dtype
    """

    latent_size: int
    step: Callable[..., list[float]]  # one training step; the numbers that our trainer's step gives, in its order
    not_compiled = ""  # what torch.compile cannot do of this step
    channels_last = True  # how the tuned variants keep weights and images in memory

    def __init__(self, state: Mapping[str, np.ndarray], variant: str, **networks: nn.Module) -> None:
        self.tuned, self.compiled = variant != "eager", variant == "compiled"
        self.networks = networks
        self.device = next(iter(next(iter(networks.values())).parameters())).device
        self.mode = "reduce-overhead" if self.device.type == "cuda" else "default"
        self.memory_format = torch.channels_last if self.tuned and self.channels_last else torch.contiguous_format
        for name, network in networks.items():
            start = name + "."
            weights = {k.removeprefix(start): torch.from_numpy(a.copy()) for k, a in state.items() if k.startswith(start)}
            self.dtype = weights[next(iter(network.state_dict()))].dtype  # of the first one: counters are integers
            network.to(self.dtype).load_state_dict(weights)
            network.to(memory_format=self.memory_format)

    def images(self, batch: np.ndarray) -> torch.Tensor:
        """A batch (n, channels, height, width) as a tensor that lies in memory as this variant wants it."""
        return torch.from_numpy(batch).to(self.device, memory_format=self.memory_format)

    def noise(self, count: int) -> torch.Tensor:
        return torch.randn(count, self.latent_size, dtype=self.dtype, device=self.device)

    def uniform(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.rand(shape, dtype=self.dtype, device=self.device)

    def labels(self, count: int, value: float) -> torch.Tensor:
        """What the discriminator should say of `count` images, (count, 1)."""
        return torch.full((count, 1), value, dtype=self.dtype, device=self.device)

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
        return {f"{name}.{key}": a.cpu().numpy() for name, part in parts.items() for key, a in part.items()}
