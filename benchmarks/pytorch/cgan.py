"""The PyTorch twin of `gans.cgan`: DCGAN's networks and step, with labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from benchmarks.pytorch import dcgan, twin

CLASSES, IMAGE_SIZE = 10, 28


class OneHot(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", torch.eye(CLASSES))

    def forward(self, labels: torch.Tensor) -> torch.Tensor:
        return nn.functional.one_hot(labels, CLASSES).to(self.rows.dtype)


class Generator(nn.Module):
    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        network[0] = nn.Linear(96 + CLASSES, 1024)
        self.label = OneHot()
        self.network = network

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.network(torch.cat([z, self.label(labels)], 1))


class Concat(nn.Module):
    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        network[0] = nn.Conv2d(2, 32, 5)
        self.label = nn.Embedding(CLASSES, IMAGE_SIZE**2)
        self.network = network

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.network(torch.cat([x, self.label(labels).view(-1, 1, IMAGE_SIZE, IMAGE_SIZE)], 1))


class Projection(nn.Module):
    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        self.features, self.logit = network[:-1], nn.Sequential(network[-1])
        self.label = nn.Embedding(CLASSES, network[-1].in_features)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        h = self.features(x)
        return self.logit(h) + (h * self.label(labels)).sum(1, keepdim=True)


class Twin(twin.Twin):
    latent_size = 96

    def __init__(
        self, state: Mapping[str, np.ndarray], lr: float, variant: str, arch: str = "28", condition: str = "projection"
    ) -> None:
        generator, discriminator = dcgan.small_networks()
        self.generator = Generator(generator)
        self.discriminator = (Concat if condition == "concat" else Projection)(discriminator)
        super().__init__(state, variant, generator=self.generator, discriminator=self.discriminator)
        self.g_optimizer, self.d_optimizer = (
            self.adam(network, lr, (0.5, 0.999)) for network in (self.generator, self.discriminator)
        )

    def step(self, real: torch.Tensor, labels: torch.Tensor) -> list[float]:
        n, loss = len(real), nn.functional.binary_cross_entropy_with_logits
        ones, zeros = self.labels(n, 1), self.labels(n, 0)
        fake = self.generator(self.noise(n), labels)

        self.d_optimizer.zero_grad()
        real_logits, fake_logits = self.discriminator(real, labels), self.discriminator(fake.detach(), labels)
        d_loss = loss(real_logits, ones) + loss(fake_logits, zeros)
        d_loss.backward()
        self.d_optimizer.step()

        self.g_optimizer.zero_grad()
        with self.frozen(self.discriminator):
            g_loss = loss(self.discriminator(fake, labels), ones)
            g_loss.backward()
        self.g_optimizer.step()
        d_real, d_fake = torch.sigmoid(real_logits).mean(), torch.sigmoid(fake_logits).mean()
        return [value.item() for value in (d_loss, g_loss, d_real, d_fake)]
