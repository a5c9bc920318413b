"""The PyTorch twin of `gans.wgan_gp`.

`eager` is the step as tutorials write it: three passes through the critic (real, generated, in between), `autograd.grad` with
`create_graph` and `retain_graph`, default Adam.
`tuned` is what someone who knows PyTorch would make of it: as WGAN's twin, and fused Adam.
"""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.twins import wgan


class Twin(wgan.Twin):
    penalty_weight = 10.0
    not_compiled = "the penalty"  # it needs a gradient of a gradient, which torch.compile refuses

    def optimizer(self, network: nn.Module, lr: float) -> torch.optim.Optimizer:
        return self.adam(network, lr, (0.5, 0.9))

    def critic_step(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        fake = self.fake(len(x))
        alpha = self.uniform((len(x), 1, 1, 1))
        between = (alpha * x + (1 - alpha) * fake).requires_grad_(True)
        wasserstein = self.estimate(x, fake)
        penalty = self.penalty(between)
        self.descend(self.penalty_weight * penalty - wasserstein)
        return wasserstein, penalty

    def penalty(self, points: torch.Tensor) -> torch.Tensor:
        """(slope - 1)^2, the mean over the points."""
        if self.tuned:
            (slopes,) = torch.autograd.grad(self.critic(points).sum(), points, create_graph=True)
            norms = torch.linalg.vector_norm(slopes, dim=(1, 2, 3))
        else:
            scores = self.critic(points)
            (slopes,) = torch.autograd.grad(
                outputs=scores, inputs=points, grad_outputs=torch.ones_like(scores), create_graph=True, retain_graph=True
            )
            norms = slopes.view(len(slopes), -1).norm(2, dim=1)
        return ((norms - 1) ** 2).mean()
