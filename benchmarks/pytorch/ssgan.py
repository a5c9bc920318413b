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
            nn.Conv2d(1, 16, 5, 1, 2), nn.LeakyReLU(0.2), nn.MaxPool2d(2), nn.Dropout(dropout / 2),
            nn.Conv2d(16, 32, 5, 1, 2), nn.LeakyReLU(0.2), nn.MaxPool2d(2), nn.Dropout(dropout / 2),
            nn.Conv2d(32, 64, 3, 1, 1), nn.LeakyReLU(0.2), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(dropout),
            nn.Linear(64 * 3 * 3, 128), nn.LeakyReLU(0.2), nn.Dropout(dropout),
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
        self,
        state: Mapping[str, np.ndarray],
        lr: float,
        variant: str,
        dropout: float = 0.5,
        entropy_weight: float = 1.0,
        ema: float = 0.99,
        redraw: bool = False,
    ) -> None:
        self.entropy_weight, self.ema, self.redraw = entropy_weight, ema, redraw
        self.generator, self.discriminator, self.classifier = dense_generator(), Classifier(dropout), Classifier(dropout)
        networks = {"generator": self.generator, "discriminator": self.discriminator, "classifier": self.classifier}
        super().__init__(state, variant, **networks)
        self.g_optimizer, self.d_optimizer = (
            self.adam(network, lr, (0.5, 0.999)) for network in (self.generator, self.discriminator)
        )

    def step(self, real: torch.Tensor, labelled: torch.Tensor, labels: torch.Tensor) -> list[float]:
        bce = nn.functional.binary_cross_entropy_with_logits
        fake = self.generator(self.noise(len(real)))

        self.d_optimizer.zero_grad()
        supervised = nn.functional.cross_entropy(self.discriminator(labelled), labels)
        real_logits, fake_logits = (self.discriminator(x) for x in (real, fake.detach()))
        real_z, fake_z = (torch.logsumexp(logits, 1) for logits in (real_logits, fake_logits))
        d_loss = bce(real_z, torch.ones_like(real_z)) + bce(fake_z, torch.zeros_like(fake_z))
        entropy = torch.distributions.Categorical(logits=real_logits).entropy().mean()
        (supervised + d_loss + self.entropy_weight * entropy).backward()
        self.d_optimizer.step()

        self.g_optimizer.zero_grad()
        with self.frozen(self.discriminator):
            aim = self.discriminator.features(real).mean(0).detach()
            g_loss = nn.functional.mse_loss(self.discriminator.features(self.redrawn(fake)).mean(0), aim, reduction="sum")
            g_loss.backward()
        self.g_optimizer.step()
        with torch.no_grad():
            for mean, p in zip(self.classifier.parameters(), self.discriminator.parameters(), strict=True):
                mean.lerp_(p, 1 - self.ema)
        metrics = (supervised, entropy, d_loss, g_loss, torch.sigmoid(real_z).mean(), torch.sigmoid(fake_z).mean())
        return [value.item() for value in metrics]
