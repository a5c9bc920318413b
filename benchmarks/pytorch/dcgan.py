"""The PyTorch twin of `gans.dcgan`.

`eager` is the step as PyTorch's own DCGAN tutorial writes it: sigmoid at the end of D, `BCELoss`,
one `backward()` for the real and one for the generated images, default Adam, and gradients of D's
weights in G's step. `tuned` is the step as an experienced PyTorch user writes it: the loss on
logits, fused Adam, weights and images channels-last, D frozen in G's step. Real and generated
images pass through D separately, because of its batch normalization.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from benchmarks.pytorch import twin
from benchmarks.pytorch.twin import Loss, compilable


def k4_networks(image_size: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Generator and discriminator of the paper, for color images."""
    widths = [64 * 2**i for i in range(int(math.log2(image_size)) - 2)]
    down: list[nn.Module] = [nn.Conv2d(3, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for before, after in pairwise(widths):
        down += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2, inplace=True)]
    down += [nn.Conv2d(widths[-1], 1, 4, bias=False), nn.Flatten()]

    up: list[nn.Module] = [nn.Unflatten(1, (100, 1, 1)), nn.ConvTranspose2d(100, widths[-1], 4, bias=False)]
    for before, after in pairwise(reversed(widths)):
        up += [nn.BatchNorm2d(before), nn.ReLU(inplace=True), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
    up += [nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.Sequential(*up), nn.Sequential(*down)


def small_networks() -> tuple[nn.Sequential, nn.Sequential]:
    """Generator and discriminator for gray images of 28 x 28."""
    up = nn.Sequential(
        nn.Linear(96, 1024), nn.ReLU(inplace=True), nn.BatchNorm1d(1024),
        nn.Linear(1024, 128 * 7 * 7), nn.ReLU(inplace=True), nn.BatchNorm1d(128 * 7 * 7),
        nn.Unflatten(1, (128, 7, 7)),
        nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.ReLU(inplace=True), nn.BatchNorm2d(64),
        nn.ConvTranspose2d(64, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    down = nn.Sequential(
        nn.Conv2d(1, 32, 5), nn.LeakyReLU(0.01, inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5), nn.LeakyReLU(0.01, inplace=True), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, 1024), nn.LeakyReLU(0.01, inplace=True),
        nn.Linear(1024, 1),
    )  # fmt: skip
    return up, down


class Twin(twin.Twin):
    def __init__(
        self,
        state: Mapping[str, np.ndarray],
        lr: float,
        variant: str,
        arch: str = "k4",
        image_size: int = 64,
        redraw: bool = False,
    ) -> None:
        generator, logits = small_networks() if arch == "28" else k4_networks(image_size)
        super().__init__(state, variant, generator=generator, discriminator=logits)
        self.latent_size = 96 if arch == "28" else 100
        self.generator, self.redraw = generator, redraw
        self.discriminator, self.loss = self.objective(logits)
        self.g_optimizer, self.d_optimizer = (self.adam(network, lr, (0.5, 0.999)) for network in (generator, logits))

    def objective(self, logits: nn.Sequential) -> tuple[nn.Sequential, Loss]:
        """Discriminator and loss, given a network without a sigmoid."""
        return self.cross_entropy(logits)

    def metric(self, output: torch.Tensor) -> torch.Tensor:
        """The metric made of the discriminator's output."""
        return self.probability(output)

    def step(self, real: torch.Tensor) -> list[float]:
        n = len(real)
        ones, zeros = self.labels(n, 1), self.labels(n, 0)

        self.d_optimizer.zero_grad()
        real_loss, d_real = self.discriminator_loss(real, ones)
        real_loss.backward()
        fake = self.generate(self.noise(n))
        fake_loss, d_fake = self.discriminator_loss(fake.detach(), zeros)
        fake_loss.backward()
        self.d_optimizer.step()

        self.g_optimizer.zero_grad()
        with self.frozen(self.discriminator):
            g_loss = self.generator_loss(self.redrawn(fake), ones)
            g_loss.backward()
        self.g_optimizer.step()
        return [value.item() for value in (real_loss + fake_loss, g_loss, d_real, d_fake)]

    @compilable
    def generate(self, z: torch.Tensor) -> torch.Tensor:
        return self.generator(z)

    @compilable
    def discriminator_loss(self, x: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss on real or on generated images, and the mean of the metric."""
        output = self.discriminator(x)
        return self.loss(output, target), self.metric(output).detach().mean()

    @compilable
    def generator_loss(self, fake: torch.Tensor, ones: torch.Tensor) -> torch.Tensor:
        return self.loss(self.discriminator(fake), ones)
