"""The PyTorch twin of `gans.infogan`, with the same sum of losses for D and Q."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from benchmarks.pytorch import twin

NOISE, CATEGORIES, NUMBERS = 62, 10, 2


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(NOISE + CATEGORIES + NUMBERS, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(),
            nn.Linear(512, 64 * 49, bias=False), nn.BatchNorm1d(64 * 49), nn.ReLU(), nn.Unflatten(1, (64, 7, 7)),
            nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip


class Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.1),
            nn.Conv2d(32, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.LeakyReLU(0.1),
            nn.Flatten(), nn.Linear(64 * 49, 512, bias=False), nn.BatchNorm1d(512), nn.LeakyReLU(0.1),
        )  # fmt: skip
        self.logit = nn.Linear(512, 1)
        self.code = nn.Sequential(
            nn.Linear(512, 128, bias=False), nn.BatchNorm1d(128), nn.LeakyReLU(0.1), nn.Linear(128, CATEGORIES + NUMBERS)
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = self.trunk(x)
        return self.logit(h), self.code(h)


class Twin(twin.Twin):
    latent_size = NOISE + CATEGORIES + 2 * NUMBERS

    def __init__(self, state: Mapping[str, np.ndarray], lr: float, variant: str, code_weight: float = 1.0) -> None:
        self.code_weight = code_weight
        self.generator, self.discriminator = Generator(), Discriminator()
        super().__init__(state, variant, generator=self.generator, discriminator=self.discriminator)
        self.g_optimizer, self.d_optimizer = (
            self.adam(network, lr, (0.5, 0.999)) for network in (self.generator, self.discriminator)
        )

    def step(self, real: torch.Tensor) -> list[float]:
        bce, D = nn.functional.binary_cross_entropy_with_logits, self.discriminator
        latent = self.noise(len(real))
        category = latent[:, NOISE : NOISE + CATEGORIES].argmax(1)
        numbers = 2 * torch.exp(-0.5 * latent[:, NOISE + CATEGORIES :].unflatten(1, (NUMBERS, 2)).square().sum(2)) - 1
        one_hot = nn.functional.one_hot(category, CATEGORIES).to(self.dtype)
        fake = self.generator.network(torch.cat([latent[:, :NOISE], one_hot, numbers], 1))

        def information(read: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits, means = read.split([CATEGORIES, NUMBERS], 1)
            return nn.functional.cross_entropy(logits, category), (means - numbers).square().sum(1).mean()

        self.d_optimizer.zero_grad()
        real_logits = D.logit(D.trunk(real))
        fake_logits, read = D(fake.detach())
        d_loss = bce(real_logits, self.labels(len(real), 1.0)) + bce(fake_logits, self.labels(len(real), 0.0))
        first, second = information(read)
        (d_loss + self.code_weight * (first + second / 2)).backward()
        self.d_optimizer.step()

        self.g_optimizer.zero_grad()
        with self.frozen(D):
            logits, read = D(fake)
            g_loss = bce(logits, self.labels(len(real), 1.0))
            first, second = information(read)
            (g_loss + self.code_weight * (first + second / 2)).backward()
        self.g_optimizer.step()
        probabilities = (torch.sigmoid(x).mean() for x in (real_logits, fake_logits))
        return [value.item() for value in (d_loss, g_loss, *probabilities, first, second)]
