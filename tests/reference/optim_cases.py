"""A hundred optimizer steps in minigrad and in PyTorch, on a small problem with a known gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import optim

STEPS = 100
START = [np.linspace(-1.5, 2.0, 12).reshape(3, 4), np.array([0.5, -0.25, 0.0, 3.0, -2.0])]
SLOPES = [np.linspace(0.3, 4.0, 12).reshape(3, 4), np.array([1.0, 0.1, 2.0, 0.5, 3.0])]


def gradients(params: list[np.ndarray]) -> list[np.ndarray]:
    """The gradient of sum(a p^2 / 2 + p^4 / 40 - p / 2), with a the slopes: convex, steeper along some axes than others."""
    return [a * p + p * p * p / 10 - 0.5 for a, p in zip(SLOPES, params, strict=True)]


@dataclass(frozen=True)
class Setting:
    """An optimizer with its arguments; the names are the same in `minigrad.optim` and `torch.optim`."""

    optimizer: str
    arguments: dict[str, Any]


SETTINGS = {
    "sgd": Setting("SGD", {"lr": 0.05}),
    "sgd_defaults": Setting("SGD", {}),
    "sgd_momentum": Setting("SGD", {"lr": 0.02, "momentum": 0.9}),
    "adam": Setting("Adam", {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-6}),
    "sgd_decay": Setting("SGD", {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1}),
    "adam_decay": Setting("Adam", {"lr": 0.05, "weight_decay": 0.1}),
    "adamw": Setting("AdamW", {"lr": 0.05, "betas": (0.5, 0.9), "weight_decay": 0.3}),
    "adamw_defaults": Setting("AdamW", {}),
    "rmsprop_decay": Setting("RMSprop", {"lr": 0.02, "weight_decay": 0.1}),
    "adam_defaults": Setting("Adam", {}),
    "rmsprop": Setting("RMSprop", {"lr": 0.01, "alpha": 0.9, "eps": 1e-6}),
    "rmsprop_defaults": Setting("RMSprop", {}),
}


def _trajectory(step: Callable[[list[np.ndarray]], list[np.ndarray]]) -> np.ndarray:
    """All parameters after every tenth step, as rows."""
    params, rows = START, []
    for i in range(STEPS):
        params = step(gradients(params))
        if i % 10 == 9:
            rows.append(np.concatenate([p.ravel() for p in params]))
    return np.array(rows)


def run_minigrad(setting: Setting) -> np.ndarray:
    params = [mg.Tensor(p.copy(), requires_grad=True) for p in START]
    optimizer = getattr(optim, setting.optimizer)(params, **setting.arguments)

    def step(grads: list[np.ndarray]) -> list[np.ndarray]:
        optimizer.step([mg.Tensor(g) for g in grads])
        return [p.data.copy() for p in params]

    return _trajectory(step)


def run_torch(setting: Setting) -> np.ndarray:
    import torch

    params = [torch.tensor(p, requires_grad=True) for p in START]
    optimizer = getattr(torch.optim, setting.optimizer)(params, **setting.arguments)

    def step(grads: list[np.ndarray]) -> list[np.ndarray]:
        for p, g in zip(params, grads, strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
        return [p.detach().numpy().copy() for p in params]

    return _trajectory(step)
