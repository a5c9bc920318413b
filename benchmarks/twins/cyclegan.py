"""The PyTorch twin of `gans.cyclegan`.

`eager` is the step as the published code writes it: a pass through a generator for each translation, for each way back and
for each picture that should stay as it is; discriminators frozen in the generators' step; a pass through a discriminator for
the real pictures and one for those of the pool; default Adam.
`tuned` is what someone who knows PyTorch would make of it: one pass for what a generator is given at the same time, likewise
for a discriminator (instance normalisation keeps the pictures apart), and fused Adam. On a CPU not channels-last: for a
batch of one, PyTorch 2.13's instance normalisation then gives a wrong gradient.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from benchmarks.twins import twin
from benchmarks.twins.twin import piece


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
    """The residual network."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), nn.InstanceNorm2d(width), nn.ReLU(inplace=True)]
    for c in (width, 2 * width):
        layers += [nn.Conv2d(c, 2 * c, 3, 2, 1), nn.InstanceNorm2d(2 * c), nn.ReLU(inplace=True)]
    layers += [ResidualBlock(4 * width) for _ in range(blocks)]
    for c in (4 * width, 2 * width):
        layers += [nn.ConvTranspose2d(c, c // 2, 3, 2, 1, 1), nn.InstanceNorm2d(c // 2), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())


def make_discriminator(width: int) -> nn.Sequential:
    """The judge of patches of 70 x 70 pixels."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
    for c, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
        layers += [nn.Conv2d(c, 2 * c, 4, stride, 1), nn.InstanceNorm2d(2 * c), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))


class Pool:
    """The last translations; the choices are those of our trainer with seed 0."""

    def __init__(self, size: int, kind: int) -> None:
        self.size, self.kind, self.seen = size, kind, 0
        self.images: list[torch.Tensor] = []

    def exchange(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._exchange(image) for image in images.split(1)])

    def _exchange(self, image: torch.Tensor) -> torch.Tensor:
        rng = np.random.default_rng((0, 2 + self.kind, self.seen))
        self.seen += 1
        if len(self.images) < self.size:
            self.images.append(image.clone())  # a compiled step writes the next translations to the same memory
        elif rng.random() < 0.5:
            place = rng.integers(self.size)
            self.images[place], image = image.clone(), self.images[place]
        return image


class Twin(twin.Twin):
    cycle, identity = 10.0, 0.5

    def __init__(
        self, state: Mapping[str, np.ndarray], lr: float, variant: str, image_size: int, width: int, pool: int = 50
    ) -> None:
        self.channels_last = torch.get_default_device().type != "cpu"
        self.G, self.F = (make_generator(6 if image_size <= 128 else 9, width) for _ in "GF")
        self.D_a, self.D_b = (make_discriminator(width) for _ in "ab")
        super().__init__(state, variant, a_to_b=self.G, b_to_a=self.F, d_a=self.D_a, d_b=self.D_b)
        self.g_optimizer = self.adam(nn.ModuleList([self.G, self.F]), lr, (0.5, 0.999))
        self.d_optimizer = self.adam(nn.ModuleList([self.D_a, self.D_b]), lr, (0.5, 0.999))
        self.pool_a, self.pool_b = Pool(pool, 0), Pool(pool, 1)
        self.l1, self.mse = nn.L1Loss(), nn.MSELoss()

    def step(self, a: torch.Tensor, b: torch.Tensor) -> list[float]:
        for D in (self.D_a, self.D_b):
            D.requires_grad_(False)
        self.g_optimizer.zero_grad()
        g_loss, fake_a, fake_b, *of_generators = self.translate(a, b)
        g_loss.backward()
        self.g_optimizer.step()

        for D in (self.D_a, self.D_b):
            D.requires_grad_(True)
        self.d_optimizer.zero_grad()
        d_loss_a = self.judge_a(a, self.pool_a.exchange(fake_a))
        d_loss_a.backward()
        d_loss_b = self.judge_b(b, self.pool_b.exchange(fake_b))
        d_loss_b.backward()
        self.d_optimizer.step()
        return [value.item() for value in (d_loss_a, d_loss_b, *of_generators)]

    @piece
    def translate(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The generators' loss, the translations, and the parts of the loss."""
        (same_a, fake_a), (same_b, fake_b) = self.each(self.F, a, b), self.each(self.G, b, a)
        adversarial = self.mark(self.D_b(fake_b), 1.0), self.mark(self.D_a(fake_a), 1.0)
        cycle = self.l1(self.F(fake_b), a), self.l1(self.G(fake_a), b)
        identity = self.l1(same_a, a), self.l1(same_b, b)
        loss = sum(adversarial) + self.cycle * sum(cycle) + self.cycle * self.identity * sum(identity)
        parts = (part.detach() for part in (*adversarial, *cycle, *identity))
        return loss, fake_a.detach(), fake_b.detach(), *parts

    @piece
    def judge_a(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        return self.judge(self.D_a, real, fake)

    @piece
    def judge_b(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        return self.judge(self.D_b, real, fake)

    def judge(self, D: nn.Module, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """A discriminator's loss."""
        on_real, on_fake = self.each(D, real, fake)
        return 0.5 * (self.mark(on_real, 1.0) + self.mark(on_fake, 0.0))

    def each(self, network: nn.Module, *images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What a network makes of several pictures."""
        if self.tuned:
            return network(torch.cat(images)).chunk(len(images))
        return tuple(map(network, images))

    def mark(self, judgement: torch.Tensor, target: float) -> torch.Tensor:
        """How far a judgement is from what it should be."""
        return self.mse(judgement, torch.full_like(judgement, target))
