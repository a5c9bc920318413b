"""The PyTorch twin of `gans.dcgan`.

`eager` is the step as PyTorch's own DCGAN tutorial writes it: sigmoid at the end of D, `BCELoss`, one `backward()` for the real
and one for the generated images, default Adam, weights of D that G's loss reaches as well.
`tuned` is what someone who knows PyTorch would make of it: the loss on logits, fused Adam, weights and images channels-last,
D frozen in G's step. Batch normalisation forbids one pass through D for both kinds of images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from benchmarks.twins import twin
from benchmarks.twins.twin import Loss, piece


def k4_networks(image_size: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Generator and discriminator of the paper, for colour images."""
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
    """Generator and discriminator for grey images of 28 x 28."""
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
        self, state: Mapping[str, np.ndarray], lr: float, variant: str, arch: str = "k4", image_size: int = 64
    ) -> None:
        generator, logits = small_networks() if arch == "28" else k4_networks(image_size)
        super().__init__(state, variant, generator=generator, discriminator=logits)
        self.latent_size = 96 if arch == "28" else 100
        self.generator = generator
        self.discriminator, self.loss = self.game(logits)
        self.g_optimizer, self.d_optimizer = (self.adam(network, lr, (0.5, 0.999)) for network in (generator, logits))

    def game(self, logits: nn.Sequential) -> tuple[nn.Sequential, Loss]:
        """The discriminator made of a network without a sigmoid, and the loss of what it says, given what it should say."""
        return self.cross_entropy(logits)

    def shown(self, judgement: torch.Tensor) -> torch.Tensor:
        """What is plotted of the discriminator's judgement."""
        return self.probability(judgement)

    def step(self, real: torch.Tensor) -> list[float]:
        n = len(real)
        ones, zeros = self.labels(n, 1), self.labels(n, 0)

        self.d_optimizer.zero_grad()
        real_loss, d_real = self.judge(real, ones)
        real_loss.backward()
        fake = self.generate(self.noise(n))
        fake_loss, d_fake = self.judge(fake.detach(), zeros)
        fake_loss.backward()
        self.d_optimizer.step()

        self.g_optimizer.zero_grad()
        with self.frozen(self.discriminator):
            g_loss = self.fool(fake, ones)
            g_loss.backward()
        self.g_optimizer.step()
        return [value.item() for value in (real_loss + fake_loss, g_loss, d_real, d_fake)]

    @piece
    def generate(self, z: torch.Tensor) -> torch.Tensor:
        return self.generator(z)

    @piece
    def judge(self, x: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The discriminator's loss on one kind of images, and what is plotted of what it says."""
        judgement = self.discriminator(x)
        return self.loss(judgement, target), self.shown(judgement).detach().mean()

    @piece
    def fool(self, fake: torch.Tensor, ones: torch.Tensor) -> torch.Tensor:
        """The generator's loss."""
        return self.loss(self.discriminator(fake), ones)
