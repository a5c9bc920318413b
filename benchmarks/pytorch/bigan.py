"""The PyTorch twin of `gans.bigan`: real and generated pairs pass through D one after the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from benchmarks.pytorch import twin

LATENT_SIZE = 50


def generator() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(LATENT_SIZE, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(),
        nn.Linear(512, 64 * 49, bias=False), nn.BatchNorm1d(64 * 49), nn.ReLU(), nn.Unflatten(1, (64, 7, 7)),
        nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def _encoder(outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(64 * 49, 512, bias=False), nn.BatchNorm1d(512), nn.LeakyReLU(0.2), nn.Linear(512, outputs),
    )  # fmt: skip


class Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(
            nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(),
            nn.Linear(64 * 49, 512), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.latent = nn.Sequential(nn.Linear(LATENT_SIZE, 512), nn.LeakyReLU(0.2))
        self.pair = nn.Sequential(nn.Linear(1024, 512), nn.LeakyReLU(0.2), nn.Linear(512, 1))

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return self.pair(torch.cat([self.image(x), self.latent(z)], 1))


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
