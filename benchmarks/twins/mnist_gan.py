"""The PyTorch twin of `gans.mnist_gan`.

`eager` is the step as tutorials write it: sigmoid at the end of D, `BCELoss`, default Adam, `backward()` and `zero_grad()`.
`tuned` is what someone who knows PyTorch would make of it: the loss on logits, real and generated images in one pass through D,
fused Adam, D frozen in G's step.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from benchmarks.twins import twin


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


def make_discriminator() -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 1),
    )


class Twin(twin.Twin):
    latent_size = 100

    def __init__(self, state: Mapping[str, np.ndarray], lr: float, variant: str) -> None:
        generator, logits = make_generator(self.latent_size), make_discriminator()
        super().__init__(state, variant, generator=generator, discriminator=logits)
        self.generator = generator
        self.discriminator, self.loss = self.cross_entropy(logits)
        self.g_optimizer, self.d_optimizer = self.adam(generator, lr), self.adam(logits, lr)

    def step(self, real: torch.Tensor) -> list[float]:
        D, G = self.discriminator, self.generator
        n = len(real)
        ones, zeros = torch.ones(n, 1, dtype=self.dtype), torch.zeros(n, 1, dtype=self.dtype)
        fake = G(self.noise(n))

        if self.tuned:
            d_both = D(torch.cat([real, fake.detach()]))
            d_real, d_fake = d_both[:n], d_both[n:]
            d_loss = 2 * self.loss(d_both, torch.cat([ones, zeros]))  # the mean over twice as many
        else:
            d_real, d_fake = D(real), D(fake.detach())
            d_loss = self.loss(d_real, ones) + self.loss(d_fake, zeros)
        self.d_optimizer.zero_grad()
        d_loss.backward()
        self.d_optimizer.step()

        self.g_optimizer.zero_grad()
        with self.frozen(D):
            g_loss = self.loss(D(fake), ones)
            g_loss.backward()
        self.g_optimizer.step()

        d_real, d_fake = self.probability(d_real), self.probability(d_fake)
        return [d_loss.item(), g_loss.item(), d_real.mean().item(), d_fake.mean().item()]
