"""The PyTorch twin of `gans.ssgan`: three passes through D, one for each kind of images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from benchmarks.pytorch import twin


class Classifier(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 5, 2, 2), nn.LeakyReLU(0.2), nn.Dropout(dropout),
            nn.Conv2d(16, 32, 5, 2, 2), nn.LeakyReLU(0.2), nn.Dropout(dropout),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.LeakyReLU(0.2), nn.Dropout(dropout),
        )  # fmt: skip
        self.logits = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(self.features(x))


def dense_generator() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(100, 500, bias=False), nn.BatchNorm1d(500), nn.Softplus(),
        nn.Linear(500, 500, bias=False), nn.BatchNorm1d(500), nn.Softplus(),
        nn.Linear(500, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)),
    )  # fmt: skip


class Twin(twin.Twin):
    latent_size = 100

    def __init__(
        self, state: Mapping[str, np.ndarray], lr: float, variant: str, dropout: float = 0.5, redraw: bool = False
    ) -> None:
        self.redraw = redraw
        self.generator, self.discriminator = dense_generator(), Classifier(dropout)
        super().__init__(state, variant, generator=self.generator, discriminator=self.discriminator)
        self.g_optimizer, self.d_optimizer = (
            self.adam(network, lr, (0.5, 0.999)) for network in (self.generator, self.discriminator)
        )

    def step(self, real: torch.Tensor, labelled: torch.Tensor, labels: torch.Tensor) -> list[float]:
        bce = nn.functional.binary_cross_entropy_with_logits
        fake = self.generator(self.noise(len(real)))

        self.d_optimizer.zero_grad()
        supervised = nn.functional.cross_entropy(self.discriminator(labelled), labels)
        real_z, fake_z = (torch.logsumexp(self.discriminator(x), 1) for x in (real, fake.detach()))
        d_loss = bce(real_z, torch.ones_like(real_z)) + bce(fake_z, torch.zeros_like(fake_z))
        (supervised + d_loss).backward()
        self.d_optimizer.step()

        self.g_optimizer.zero_grad()
        with self.frozen(self.discriminator):
            aim = self.discriminator.features(real).mean(0).detach()
            g_loss = nn.functional.mse_loss(self.discriminator.features(self.redrawn(fake)).mean(0), aim, reduction="sum")
            g_loss.backward()
        self.g_optimizer.step()
        metrics = (supervised, d_loss, g_loss, torch.sigmoid(real_z).mean(), torch.sigmoid(fake_z).mean())
        return [value.item() for value in metrics]
