"""The PyTorch twin of `gans.wgan`.

`eager` is the step as tutorials write it: one pass through the critic for real and one for generated images, `clamp_` on each
weight, the critic's weights reached by G's loss as well.
`tuned` is what someone who knows PyTorch would make of it: G without a graph in the critic's steps, one pass through the critic
for both kinds of images, weights and images channels-last, the critic frozen in G's step. RMSprop has no fused version.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from benchmarks.twins import dcgan, twin
from benchmarks.twins.twin import piece


def dense_networks() -> tuple[nn.Sequential, nn.Sequential]:
    """Generator and critic for grey images of 28 x 28."""
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
    """Generator and critic for grey images of 28 x 28, of convolutions."""
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
    """DCGAN's generator for colour images of 64 x 64, and a critic like its discriminator, without normalisation."""
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
            g_loss = self.fool(self.noise(n))
            g_loss.backward()
        self.g_optimizer.step()
        return [value.item() for value in (*metrics, g_loss)]

    def critic_step(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """One step of the critic; what is plotted of it."""
        fake = self.fake(len(x))
        wasserstein = self.estimate(x, fake)
        self.descend(-wasserstein)
        for p in self.critic.parameters():
            p.data.clamp_(-self.clip, self.clip)
        return (wasserstein,)

    def fake(self, count: int) -> torch.Tensor:
        """Generated images, for the critic."""
        with torch.set_grad_enabled(not self.tuned):
            return self.generate(self.noise(count)).detach()

    @piece
    def generate(self, z: torch.Tensor) -> torch.Tensor:
        return self.generator(z)

    @piece
    def fool(self, z: torch.Tensor) -> torch.Tensor:
        """The generator's loss."""
        return -self.critic(self.generator(z)).mean()

    @piece
    def estimate(self, x: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """Of the Wasserstein distance."""
        if not self.tuned:
            return self.critic(x).mean() - self.critic(fake).mean()
        on_real, on_fake = self.critic(torch.cat([x, fake])).split(len(x))
        return on_real.mean() - on_fake.mean()

    def descend(self, loss: torch.Tensor) -> None:
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
