"""The PyTorch twin of `gans.lsgan`: DCGAN's twin with half the mean squared error as the loss."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.pytorch import dcgan
from benchmarks.pytorch.twin import Loss


def half_mse(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return 0.5 * nn.functional.mse_loss(output, target)


class Twin(dcgan.Twin):
    def objective(self, logits: nn.Sequential) -> tuple[nn.Sequential, Loss]:
        return logits, half_mse

    def metric(self, output: torch.Tensor) -> torch.Tensor:
        return output
