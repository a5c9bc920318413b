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
    """Ends in a logit; the eager variant puts a sigmoid behind it."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 1),
    )


class Twin:
    """Both networks with the weights of our trainer's `state_dict`, ready to step.

    Parameters
    ----------
    state : arrays named "generator.0.weight", "discriminator.1.bias", ...
    lr : of both optimizers
    variant : "eager" or "tuned"
    """

    latent_size = 100

    def __init__(self, state: Mapping[str, np.ndarray], lr: float, variant: str) -> None:
        self.tuned = variant == "tuned"
        self.generator, discriminator = make_generator(self.latent_size), make_discriminator()
        for name, network in (("generator", self.generator), ("discriminator", discriminator)):
            start = name + "."
            weights = {k.removeprefix(start): torch.from_numpy(a.copy()) for k, a in state.items() if k.startswith(start)}
            network.to(next(iter(weights.values())).dtype).load_state_dict(weights)
        self.discriminator = discriminator if self.tuned else nn.Sequential(*discriminator, nn.Sigmoid())
        self.loss = nn.BCEWithLogitsLoss() if self.tuned else nn.BCELoss()
        fused = True if self.tuned else None
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), lr=lr, fused=fused)
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=lr, fused=fused)
        self.dtype = next(self.generator.parameters()).dtype

    def noise(self, count: int) -> torch.Tensor:
        return torch.randn(count, self.latent_size, dtype=self.dtype)

    def step(self, real: torch.Tensor) -> list[float]:
        """One training step; d_loss, g_loss, D(x), D(G(z))."""
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

        if self.tuned:
            D.requires_grad_(False)
        g_loss = self.loss(D(fake), ones)
        self.g_optimizer.zero_grad()
        g_loss.backward()
        self.g_optimizer.step()
        if self.tuned:
            D.requires_grad_(True)
            d_real, d_fake = torch.sigmoid(d_real), torch.sigmoid(d_fake)

        return [d_loss.item(), g_loss.item(), d_real.mean().item(), d_fake.mean().item()]

    def weights(self) -> dict[str, np.ndarray]:
        """All weights under the names they were given by."""
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        return {f"{n}.{k}": p.detach().numpy() for n, net in networks.items() for k, p in net.named_parameters()}
