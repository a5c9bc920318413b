"""The PyTorch twin of `gans.softmax_gan`: DCGAN's networks, with cross-entropies of a softmax over the batch."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.pytorch import dcgan
from benchmarks.pytorch.twin import Loss


class Twin(dcgan.Twin):
    def objective(self, logits: nn.Sequential) -> tuple[nn.Sequential, Loss]:
        return logits, nn.functional.cross_entropy

    def step(self, real: torch.Tensor) -> list[float]:
        n = len(real)
        fake = self.generator(self.noise(n))

        self.d_optimizer.zero_grad()
        scores = torch.cat([self.discriminator(real), self.discriminator(fake.detach())]).flatten()
        d_loss = self.loss(scores, torch.cat([torch.ones_like(scores[:n]), torch.zeros_like(scores[:n])]) / n)
        d_loss.backward()
        self.d_optimizer.step()

        self.g_optimizer.zero_grad()
        with self.frozen(self.discriminator):
            judged = torch.cat([self.discriminator(real), self.discriminator(fake)]).flatten()
            g_loss = self.loss(judged, torch.full_like(judged, 1 / (2 * n)))
            g_loss.backward()
        self.g_optimizer.step()
        return [value.item() for value in (d_loss, g_loss, torch.softmax(scores, 0)[:n].sum())]
