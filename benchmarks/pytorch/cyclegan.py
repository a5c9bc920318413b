"""The PyTorch twin of `gans.cyclegan`.

`eager` is the step as the published code writes it: separate passes through a generator for
translation, reconstruction and identity; discriminators frozen in the generators' step; separate
passes through a discriminator for real images and for those from the pool; default Adam. `tuned` is
the step as an experienced PyTorch user writes it: one pass for all inputs that a network gets at
the same time (instance normalization treats each image by itself), and fused Adam. On a CPU it is
not channels-last, because the instance normalization of PyTorch 2.13 then computes a wrong gradient
for a batch of one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from benchmarks.pytorch import twin
from benchmarks.pytorch.twin import compilable


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels), nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


def make_generator(blocks: int, width: int) -> nn.Sequential:
    """A residual network."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), nn.InstanceNorm2d(width), nn.ReLU(inplace=True)]
    for c in (width, 2 * width):
        layers += [nn.Conv2d(c, 2 * c, 3, 2, 1), nn.InstanceNorm2d(2 * c), nn.ReLU(inplace=True)]
    layers += [ResidualBlock(4 * width) for _ in range(blocks)]
    for c in (4 * width, 2 * width):
        layers += [nn.ConvTranspose2d(c, c // 2, 3, 2, 1, 1), nn.InstanceNorm2d(c // 2), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())


def make_discriminator(width: int) -> nn.Sequential:
    """A PatchGAN, which classifies patches of 70 x 70 pixels."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
    for c, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
        layers += [nn.Conv2d(c, 2 * c, 4, stride, 1), nn.InstanceNorm2d(2 * c), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))


class Pool:
    """A pool of earlier translations.

    It draws the same random numbers as our trainer's with seed 0.
    """

    def __init__(self, size: int, kind: int) -> None:
        self.size, self.kind, self.seen = size, kind, 0
        self.images: list[torch.Tensor] = []

    def exchange(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._exchange(image) for image in images.split(1)])

    def _exchange(self, image: torch.Tensor) -> torch.Tensor:
        rng = np.random.default_rng((0, 2 + self.kind, self.seen))
        self.seen += 1
        if len(self.images) < self.size:
            self.images.append(image.clone())  # a compiled step reuses the memory of its output
        elif rng.random() < 0.5:
            place = rng.integers(self.size)
            self.images[place], image = image.clone(), self.images[place]
        return image


class Twin(twin.Twin):
    cycle, identity = 10.0, 0.5

    def __init__(
        self,
        state: Mapping[str, np.ndarray],
        lr: float,
        variant: str,
        image_size: int,
        width: int,
        pool: int = 50,
        gan_loss: str = "lsgan",
    ) -> None:
        self.wgan = gan_loss == "wgan"
        self.channels_last = torch.get_default_device().type != "cpu"
        self.G, self.F = (make_generator(6 if image_size <= 128 else 9, width) for _ in "GF")
        self.D_a, self.D_b = (make_discriminator(width) for _ in "ab")
        super().__init__(state, variant, a_to_b=self.G, b_to_a=self.F, d_a=self.D_a, d_b=self.D_b)
        self.g_optimizer = self.adam(nn.ModuleList([self.G, self.F]), lr, (0.5, 0.999))
        critics = nn.ModuleList([self.D_a, self.D_b])
        self.d_optimizer: torch.optim.Optimizer = (
            torch.optim.RMSprop(critics.parameters(), lr) if self.wgan else self.adam(critics, lr, (0.5, 0.999))
        )
        self.pool_a, self.pool_b = Pool(pool, 0), Pool(pool, 1)
        self.l1, self.mse = nn.L1Loss(), nn.MSELoss()

    def step(self, a: torch.Tensor, b: torch.Tensor) -> list[float]:
        for D in (self.D_a, self.D_b):
            D.requires_grad_(False)
        self.g_optimizer.zero_grad()
        g_loss, fake_a, fake_b, *g_parts = self.generator_loss(a, b)
        g_loss.backward()
        self.g_optimizer.step()

        for D in (self.D_a, self.D_b):
            D.requires_grad_(True)
        self.d_optimizer.zero_grad()
        d_loss_a = self.loss_a(a, self.pool_a.exchange(fake_a))
        d_loss_a.backward()
        d_loss_b = self.loss_b(b, self.pool_b.exchange(fake_b))
        d_loss_b.backward()
        self.d_optimizer.step()
        if self.wgan:
            for p in (*self.D_a.parameters(), *self.D_b.parameters()):
                p.data.clamp_(-0.01, 0.01)
        return [value.item() for value in (d_loss_a, d_loss_b, *g_parts)]

    @compilable
    def generator_loss(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Both generators' loss, the translations, and the terms of the loss."""
        (same_a, fake_a), (same_b, fake_b) = self.apply(self.F, a, b), self.apply(self.G, b, a)
        adversarial = self.loss(self.D_b(fake_b), 1.0), self.loss(self.D_a(fake_a), 1.0)
        cycle = self.l1(self.F(fake_b), a), self.l1(self.G(fake_a), b)
        identity = self.l1(same_a, a), self.l1(same_b, b)
        loss = sum(adversarial) + self.cycle * sum(cycle) + self.cycle * self.identity * sum(identity)
        parts = (part.detach() for part in (*adversarial, *cycle, *identity))
        return loss, fake_a.detach(), fake_b.detach(), *parts

    @compilable
    def loss_a(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        return self.discriminator_loss(self.D_a, real, fake)

    @compilable
    def loss_b(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        return self.discriminator_loss(self.D_b, real, fake)

    def discriminator_loss(self, D: nn.Module, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        on_real, on_fake = self.apply(D, real, fake)
        return (1.0 if self.wgan else 0.5) * (self.loss(on_real, 1.0) + self.loss(on_fake, 0.0))

    def apply(self, network: nn.Module, *images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The network's output for each of the images."""
        if self.tuned:
            return network(torch.cat(images)).chunk(len(images))
        return tuple(map(network, images))

    def loss(self, output: torch.Tensor, target: float) -> torch.Tensor:
        if self.wgan:
            return -output.mean() if target else output.mean()
        return self.mse(output, torch.full_like(output, target))
