"""`Twin`: the base class of the PyTorch twins."""

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


def compilable(method: F) -> F:
    """Mark a method of a twin as a part of the step that the compiled variant passes to
    torch.compile as a whole.

    On a GPU its forward and its backward then become one CUDA graph each.
    """

    @functools.cache
    def compiled(mode: str) -> Callable[..., Any]:
        return torch.compile(method, dynamic=False, mode=mode)

    @functools.wraps(method)
    def call(twin: Twin, *args: Any) -> Any:
        return compiled(twin.mode)(twin, *args) if twin.compiled else method(twin, *args)

    return call  # type: ignore[return-value]


class Twin:
    """A subclass makes its networks and optimizers in `__init__` and defines `step`.

    A twin is on the device on which its networks are made.

    Parameters
    ----------
    state : weights and running statistics of our trainer's networks: "generator.0.weight", "discriminator.1.bias", ...
    variant : "eager", "tuned" or "compiled", which is the tuned step with its parts compiled
    networks : by the same names; they load the state and take its dtype
    """

    latent_size: int
    step: Callable[..., list[float]]  # one training step; returns the metrics of our trainer's step, in the same order
    not_compiled = ""  # the part of the step that torch.compile cannot compile
    redraw = False  # new noise for the generator's step
    channels_last = True  # memory format of weights and images in the tuned variants

    def __init__(self, state: Mapping[str, np.ndarray], variant: str, **networks: nn.Module) -> None:
        self.tuned, self.compiled = variant != "eager", variant == "compiled"
        self.networks = networks
        self.device = next(iter(next(iter(networks.values())).parameters())).device
        self.mode = "reduce-overhead" if self.device.type == "cuda" else "default"
        self.memory_format = torch.channels_last if self.tuned and self.channels_last else torch.contiguous_format
        for name, network in networks.items():
            prefix = name + "."
            weights = {k.removeprefix(prefix): torch.from_numpy(a.copy()) for k, a in state.items() if k.startswith(prefix)}
            self.dtype = weights[next(iter(network.state_dict()))].dtype  # the first one's: batch norm's counters are integers
            network.to(self.dtype).load_state_dict(weights)
            network.to(memory_format=self.memory_format)

    def images(self, batch: np.ndarray) -> torch.Tensor:
        """A batch (n, channels, height, width) as a tensor in this variant's memory format; labels (n,) as they are."""
        order = self.memory_format if batch.ndim == 4 else torch.preserve_format
        return torch.from_numpy(batch).to(self.device, memory_format=order)

    def noise(self, count: int) -> torch.Tensor:
        return torch.randn(count, self.latent_size, dtype=self.dtype, device=self.device)

    def uniform(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.rand(shape, dtype=self.dtype, device=self.device)

    def redrawn(self, fake: torch.Tensor, *labels: torch.Tensor) -> torch.Tensor:
        """The generated images for the generator's step."""
        return self.networks["generator"](self.noise(len(fake)), *labels) if self.redraw else fake

    def labels(self, count: int, value: float) -> torch.Tensor:
        """The discriminator's target for `count` images, (count, 1)."""
        return torch.full((count, 1), value, dtype=self.dtype, device=self.device)

    def adam(self, network: nn.Module, lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), lr=lr, betas=betas, fused=True if self.tuned else None)

    def cross_entropy(self, logits: nn.Sequential) -> tuple[nn.Sequential, Loss]:
        """Discriminator and loss, given a network that returns logits: the sigmoid is part of one or of the other."""
        if self.tuned:
            return logits, nn.BCEWithLogitsLoss()
        return nn.Sequential(*logits, nn.Sigmoid()), nn.BCELoss()

    def probability(self, output: torch.Tensor) -> torch.Tensor:
        """The probability that images are real, from the output of the discriminator of `cross_entropy`."""
        return torch.sigmoid(output) if self.tuned else output

    @contextmanager
    def frozen(self, network: nn.Module) -> Iterator[None]:
        """Context in which the tuned variant computes no gradients of the network's weights."""
        network.requires_grad_(not self.tuned)
        yield
        network.requires_grad_(True)

    def state(self) -> dict[str, np.ndarray]:
        """Weights and running statistics, under the names of the constructor's `state`."""
        parts = {name: network.state_dict() for name, network in self.networks.items()}
        return {f"{name}.{key}": a.cpu().numpy() for name, part in parts.items() for key, a in part.items()}
