"""The PyTorch twin of `gans.lsgan`: the networks and steps of DCGAN's twin, with half the squared distance as the loss."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.twins import dcgan
from benchmarks.twins.twin import Loss


def half_squared_distance(judgement: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return 0.5 * nn.functional.mse_loss(judgement, target)


class Twin(dcgan.Twin):
    def game(self, logits: nn.Sequential) -> tuple[nn.Sequential, Loss]:
        return logits, half_squared_distance

    def shown(self, judgement: torch.Tensor) -> torch.Tensor:
        return judgement
