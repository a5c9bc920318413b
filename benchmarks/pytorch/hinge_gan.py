"""The PyTorch twin of `gans.hinge_gan`: the networks of WGAN's twin, with `torch.nn.utils.spectral_norm`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn.utils import spectral_norm

from benchmarks.pytorch import twin, wgan


class Twin(wgan.Twin):
    critic_steps = 1

    def __init__(
        self, state: Mapping[str, np.ndarray], lr: float, variant: str, arch: str = "conv", image_size: int = 28
    ) -> None:
        self.generator, self.critic = wgan.NETWORKS[arch, image_size]()
        for layer in self.critic:
            if isinstance(layer, nn.Linear | nn.Conv2d):
                spectral_norm(layer)
        twin.Twin.__init__(self, state, variant, generator=self.generator, critic=self.critic)
        self.g_optimizer, self.critic_optimizer = (self.adam(net, lr, (0.5, 0.999)) for net in (self.generator, self.critic))

    def critic_step(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        scores = self.critic(torch.cat([x, self.fake_images(len(x))]))
        real, fake = scores.split(len(x))
        d_loss = nn.functional.relu(1 - real).mean() + nn.functional.relu(1 + fake).mean()
        self.update_critic(d_loss)
        return d_loss.detach(), real.mean(), fake.mean()

    def step(self, real: torch.Tensor) -> list[float]:
        d_loss, d_real, d_fake, g_loss = super().step(real)
        return [d_loss, g_loss, d_real, d_fake]
