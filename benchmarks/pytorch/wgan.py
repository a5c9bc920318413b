"""The PyTorch twin of `gans.wgan`.

`eager` is the step as tutorials write it: one pass through the critic for real and one for
generated images, `clamp_` on each weight, and gradients of the critic's weights in G's step.
`tuned` is the step as an experienced PyTorch user writes it: `no_grad` for G in the critic's steps,
one pass through the critic for real and generated images, weights and images channels-last, the
critic frozen in G's step. RMSprop has no fused version.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from benchmarks.pytorch import dcgan, twin
from benchmarks.pytorch.twin import compilable


def dense_networks() -> tuple[nn.Sequential, nn.Sequential]:
    """Generator and critic for gray images of 28 x 28: dense layers."""
    up = nn.Sequential(
        nn.Linear(100, 128), nn.ReLU(inplace=True), nn.Linear(128, 256), nn.ReLU(inplace=True),
        nn.Linear(256, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)),
    )  # fmt: skip
    down = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 256), nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(256, 128), nn.LeakyReLU(0.2, inplace=True), nn.Linear(128, 1),
    )  # fmt: skip
    return up, down


def conv_networks() -> tuple[nn.Sequential, nn.Sequential]:
    """Generator and critic for gray images of 28 x 28: convolutions."""
    up = nn.Sequential(
        nn.Linear(100, 128 * 7 * 7, bias=False), nn.BatchNorm1d(128 * 7 * 7), nn.ReLU(inplace=True),
        nn.Unflatten(1, (128, 7, 7)),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        nn.ConvTranspose2d(64, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    down = nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(64, 128, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True),
        nn.Flatten(), nn.Linear(128 * 7 * 7, 1),
    )  # fmt: skip
    return up, down


def large_networks() -> tuple[nn.Sequential, nn.Sequential]:
    """DCGAN's generator for color images of 64 x 64, and a critic like its discriminator, without normalization."""
    down: list[nn.Module] = []
    for before, after in pairwise([3, 64, 128, 256, 512]):
        down += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
    return dcgan.k4_networks(64)[0], nn.Sequential(*down, nn.Conv2d(512, 1, 4), nn.Flatten())


NETWORKS = {("mlp", 28): dense_networks, ("conv", 28): conv_networks, ("conv", 64): large_networks}


class Twin(twin.Twin):
    latent_size = 100
    critic_steps = 5
    clip = 0.01

    def __init__(
        self, state: Mapping[str, np.ndarray], lr: float, variant: str, arch: str = "mlp", image_size: int = 28
    ) -> None:
        self.generator, self.critic = NETWORKS[arch, image_size]()
        super().__init__(state, variant, generator=self.generator, critic=self.critic)
        self.g_optimizer, self.critic_optimizer = (self.optimizer(net, lr) for net in (self.generator, self.critic))

    def optimizer(self, network: nn.Module, lr: float) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(network.parameters(), lr=lr)

    def step(self, real: torch.Tensor) -> list[float]:
        n = len(real) // self.critic_steps
        for x in real.split(n):
            metrics = self.critic_step(x)

        self.g_optimizer.zero_grad()
        with self.frozen(self.critic):
            g_loss = self.generator_loss(self.noise(n))
            g_loss.backward()
        self.g_optimizer.step()
        return [value.item() for value in (*metrics, g_loss)]

    def critic_step(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """One step of the critic; returns its metrics."""
        fake = self.fake_images(len(x))
        wasserstein = self.wasserstein_estimate(x, fake)
        self.update_critic(-wasserstein)
        for p in self.critic.parameters():
            p.data.clamp_(-self.clip, self.clip)
        return (wasserstein,)

    def fake_images(self, count: int) -> torch.Tensor:
        """Generated images, for the critic."""
        with torch.set_grad_enabled(not self.tuned):
            return self.generate(self.noise(count)).detach()

    @compilable
    def generate(self, z: torch.Tensor) -> torch.Tensor:
        return self.generator(z)

    @compilable
    def generator_loss(self, z: torch.Tensor) -> torch.Tensor:
        return -self.critic(self.generator(z)).mean()

    @compilable
    def wasserstein_estimate(self, x: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """The estimate of the Wasserstein distance."""
        if not self.tuned:
            return self.critic(x).mean() - self.critic(fake).mean()
        on_real, on_fake = self.critic(torch.cat([x, fake])).split(len(x))
        return on_real.mean() - on_fake.mean()

    def update_critic(self, loss: torch.Tensor) -> None:
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
