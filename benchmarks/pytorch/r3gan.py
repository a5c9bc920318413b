"""The PyTorch twin of `gans.r3gan`.

`eager` takes the scores, R1 and R2 in passes of their own, as implementations with separate penalties do. `tuned`
passes real and generated images through D once, and takes the penalties of both from the same pass.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from benchmarks.pytorch import twin
from benchmarks.pytorch.twin import compilable


class Bottleneck(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.body = nn.Sequential(
            nn.Conv2d(channels, half, 1), nn.LeakyReLU(0.2), nn.Conv2d(half, half, 3, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(half, channels, 1),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


def networks(channels: int, width: int) -> tuple[nn.Sequential, nn.Sequential]:
    up = nn.Sequential(
        nn.Linear(64, 2 * width * 49), nn.LeakyReLU(0.2), nn.Unflatten(1, (2 * width, 7, 7)), Bottleneck(2 * width),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.LeakyReLU(0.2), Bottleneck(width),
        nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    down = nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2), Bottleneck(width),
        nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.2), Bottleneck(2 * width), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(2 * width * 49, 1, bias=False),
    )  # fmt: skip
    return up, down


class Twin(twin.Twin):
    latent_size = 64
    not_compiled = "the penalties"  # gradients of gradients, which torch.compile does not support

    def __init__(
        self,
        state: Mapping[str, np.ndarray],
        lr: float,
        variant: str,
        arch: str = "stacked",
        width: int = 32,
        gamma: float = 1.0,
        ema: float = 0.995,
    ) -> None:
        self.gamma, self.ema = gamma, ema
        channels = 3 if arch == "stacked" else 1
        self.generator, self.discriminator = networks(channels, width)
        self.average, _ = networks(channels, width)
        super().__init__(state, variant, generator=self.generator, average=self.average, discriminator=self.discriminator)
        self.g_optimizer, self.d_optimizer = (self.adam(net, lr, (0.0, 0.99)) for net in (self.generator, self.discriminator))

    def step(self, real: torch.Tensor) -> list[float]:
        n = len(real)
        self.d_optimizer.zero_grad()
        with torch.no_grad():
            fake = self.generate(self.noise(n))
        (real_scores, r1), (fake_scores, r2) = self.judged(real, fake)
        d_loss = nn.functional.softplus(fake_scores - real_scores).mean()
        (d_loss + self.gamma / 2 * (r1 + r2)).backward()
        self.d_optimizer.step()

        self.g_optimizer.zero_grad()
        with torch.no_grad():
            real_scores = self.scores(real)
        with self.frozen(self.discriminator):
            g_loss = self.generator_loss(real_scores, self.noise(n))
            g_loss.backward()
        self.g_optimizer.step()
        with torch.no_grad():
            for mean, p in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                mean.lerp_(p, 1 - self.ema)
        return [value.item() for value in (d_loss, g_loss, r1, r2)]

    def judged(self, *batches: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """For each batch, D's scores and the mean squared gradient of each score at its image."""
        if not self.tuned:
            parts = [self.scores_and_squares(x) for x in batches]
        else:
            n = len(batches[0])
            parts = list(zip(*(both.split(n) for both in self.scores_and_squares(torch.cat(batches))), strict=True))
        return [(scores, squares.mean()) for scores, squares in parts]

    def scores_and_squares(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = x.detach().requires_grad_(True)
        scores = self.discriminator(x)
        (slopes,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
        return scores, slopes.square().sum((1, 2, 3))

    @compilable
    def generate(self, z: torch.Tensor) -> torch.Tensor:
        return self.generator(z)

    @compilable
    def scores(self, x: torch.Tensor) -> torch.Tensor:
        return self.discriminator(x)

    @compilable
    def generator_loss(self, real_scores: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return nn.functional.softplus(real_scores - self.discriminator(self.generator(z))).mean()
