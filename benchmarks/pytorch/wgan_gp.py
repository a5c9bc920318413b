"""The PyTorch twin of `gans.wgan_gp`.

`eager` is the step as tutorials write it: three passes through the critic (real, generated,
interpolated), `autograd.grad` with `create_graph` and `retain_graph`, default Adam. `tuned` is the
step as an experienced PyTorch user writes it: like WGAN's twin, with fused Adam.
"""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.pytorch import wgan


class Twin(wgan.Twin):
    penalty_weight = 10.0
    not_compiled = "the penalty"  # a gradient of a gradient, which torch.compile does not support

    def optimizer(self, network: nn.Module, lr: float) -> torch.optim.Optimizer:
        return self.adam(network, lr, (0.5, 0.9))

    def critic_step(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        fake = self.fake_images(len(x))
        alpha = self.uniform((len(x), 1, 1, 1))
        points = (alpha * x + (1 - alpha) * fake).requires_grad_(True)
        wasserstein = self.wasserstein_estimate(x, fake)
        penalty = self.penalty(points)
        self.update_critic(self.penalty_weight * penalty - wasserstein)
        return wasserstein, penalty

    def penalty(self, points: torch.Tensor) -> torch.Tensor:
        """The mean of (norm of the critic's gradient - 1)^2 over the points."""
        if self.tuned:
            (grads,) = torch.autograd.grad(self.critic(points).sum(), points, create_graph=True)
            norms = torch.linalg.vector_norm(grads, dim=(1, 2, 3))
        else:
            scores = self.critic(points)
            (grads,) = torch.autograd.grad(
                outputs=scores, inputs=points, grad_outputs=torch.ones_like(scores), create_graph=True, retain_graph=True
            )
            norms = grads.view(len(grads), -1).norm(2, dim=1)
        return ((norms - 1) ** 2).mean()
