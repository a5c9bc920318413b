"""The PyTorch twin of `gans.mnist_gan`.

`eager` is the step as tutorials write it: sigmoid at the end of D, `BCELoss`, plain Adam,
`backward()` and `zero_grad()`. `tuned` is the step as an experienced PyTorch user writes it: the
loss on logits, real and generated images in one pass through D, fused Adam, D frozen in G's step.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from benchmarks.pytorch import twin
from benchmarks.pytorch.twin import compilable


def make_generator(latent_size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(latent_size, 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, 784),
        nn.Tanh(),
        nn.Unflatten(1, (1, 28, 28)),
    )


def make_discriminator(dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 256),
        nn.LeakyReLU(0.2),
        nn.Dropout(dropout),
        nn.Linear(256, 256),
        nn.LeakyReLU(0.2),
        nn.Dropout(dropout),
        nn.Linear(256, 1),
    )


class Twin(twin.Twin):
    latent_size = 100

    def __init__(
        self, state: Mapping[str, np.ndarray], lr: float, variant: str, dropout: float = 0.3, redraw: bool = False
    ) -> None:
        generator, logits = make_generator(self.latent_size), make_discriminator(dropout)
        super().__init__(state, variant, generator=generator, discriminator=logits)
        self.generator, self.redraw = generator, redraw
        self.discriminator, self.loss = self.cross_entropy(logits)
        self.g_optimizer, self.d_optimizer = (self.adam(network, lr, (0.5, 0.999)) for network in (generator, logits))

    def step(self, real: torch.Tensor) -> list[float]:
        n = len(real)
        fake = self.generate(self.noise(n))

        d_loss, d_real, d_fake = self.discriminator_loss(real, fake.detach(), self.labels(n, 1), self.labels(n, 0))
        self.d_optimizer.zero_grad()
        d_loss.backward()
        self.d_optimizer.step()

        self.g_optimizer.zero_grad()
        with self.frozen(self.discriminator):
            g_loss = self.generator_loss(self.redrawn(fake), self.labels(n, 1))
            g_loss.backward()
        self.g_optimizer.step()
        return [value.item() for value in (d_loss, g_loss, d_real, d_fake)]

    @compilable
    def generate(self, z: torch.Tensor) -> torch.Tensor:
        return self.generator(z)

    @compilable
    def discriminator_loss(
        self, real: torch.Tensor, fake: torch.Tensor, ones: torch.Tensor, zeros: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """The discriminator's loss, and the mean probabilities D(x) and D(G(z))."""
        if self.tuned:
            d_both = self.discriminator(torch.cat([real, fake]))
            d_real, d_fake = d_both[: len(real)], d_both[len(real) :]
            loss = 2 * self.loss(d_both, torch.cat([ones, zeros]))  # a mean over twice as many images
        else:
            d_real, d_fake = self.discriminator(real), self.discriminator(fake)
            loss = self.loss(d_real, ones) + self.loss(d_fake, zeros)
        return loss, self.probability(d_real).detach().mean(), self.probability(d_fake).detach().mean()

    @compilable
    def generator_loss(self, fake: torch.Tensor, ones: torch.Tensor) -> torch.Tensor:
        return self.loss(self.discriminator(fake), ones)
