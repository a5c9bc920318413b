"""The PyTorch twin of `gans.bigan`: real and generated pairs pass through D one after the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from benchmarks.pytorch import twin

LATENT_SIZE, UNITS = 50, 512


def generator() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(LATENT_SIZE, UNITS), nn.ReLU(), nn.Linear(UNITS, UNITS, bias=False), nn.BatchNorm1d(UNITS), nn.ReLU(),
        nn.Linear(UNITS, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)),
    )  # fmt: skip


def _encoder(outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, UNITS), nn.LeakyReLU(0.2),
        nn.Linear(UNITS, UNITS, bias=False), nn.BatchNorm1d(UNITS), nn.LeakyReLU(0.2), nn.Linear(UNITS, outputs),
    )  # fmt: skip


class Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(784 + LATENT_SIZE, UNITS), nn.LeakyReLU(0.2), nn.Linear(UNITS, UNITS), nn.LeakyReLU(0.2),
            nn.Linear(UNITS, 1),
        )  # fmt: skip

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return self.layers(torch.cat([x.flatten(1), z], 1))


class Twin(twin.Twin):
    latent_size = LATENT_SIZE

    def __init__(self, state: Mapping[str, np.ndarray], lr: float, variant: str, encoder: str = "deterministic") -> None:
        self.stochastic = encoder == "stochastic"
        self.generator, self.encoder = generator(), _encoder((1 + self.stochastic) * LATENT_SIZE)
        self.discriminator = Discriminator()
        networks = {"generator": self.generator, "encoder": self.encoder, "discriminator": self.discriminator}
        super().__init__(state, variant, **networks)
        self.optimizers = {name: self.adam(network, lr, (0.5, 0.999)) for name, network in networks.items()}

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        code = self.encoder(x)
        if not self.stochastic:
            return code
        mean, log_variance = code.chunk(2, 1)
        return mean + log_variance.exp().sqrt() * self.noise(len(x))

    def step(self, real: torch.Tensor) -> list[float]:
        bce, D, n = nn.functional.binary_cross_entropy_with_logits, self.discriminator, len(real)
        ones, zeros = self.labels(n, 1.0), self.labels(n, 0.0)
        z = self.noise(n)
        fake, code = self.generator(z), self.encode(real)

        self.optimizers["discriminator"].zero_grad()
        on_real, on_fake = D(real, code.detach()), D(fake.detach(), z)
        d_loss = bce(on_real, ones) + bce(on_fake, zeros)
        d_loss.backward()
        self.optimizers["discriminator"].step()

        for name in ("encoder", "generator"):
            self.optimizers[name].zero_grad()
        with self.frozen(D):
            eg_loss = bce(D(real, code), zeros) + bce(D(fake, z), ones)
            eg_loss.backward()
        for name in ("encoder", "generator"):
            self.optimizers[name].step()
        probabilities = (torch.sigmoid(x).mean() for x in (on_real, on_fake))
        return [value.item() for value in (d_loss, eg_loss, *probabilities)]
