"""Training runs in float64 from fixed weights, images and noise: made by PyTorch once and stored, repeated by the tests.

`python tests/reference/gan_runs.py` (needs PyTorch) writes `gan_runs.safetensors` beside this file: the metrics of each step,
and of each final weight its inner products with some random arrays, which change if any of its elements does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from gans.mnist_gan import Config, MnistGAN

RECORDED = Path(__file__).with_name("gan_runs.safetensors")
STEPS = 200
BATCH = 16
PROBES = 8  # inner products a weight


def trainer() -> MnistGAN:
    mg.manual_seed(0)
    return MnistGAN(Config(backend="numpy"), dtype=np.float64)


def images() -> Iterator[np.ndarray]:
    """Grey blobs and noise in [-1, 1], another batch each step."""
    rng = np.random.default_rng(1)
    for _ in range(STEPS):
        yield rng.uniform(-1, 1, (BATCH, 1, 1, 1)) * rng.uniform(0, 1, (BATCH, 1, 28, 28))


def noises(latent_size: int) -> Iterator[np.ndarray]:
    """Latent vectors from NumPy's generator, whose numbers are the same everywhere."""
    rng = np.random.default_rng(2)
    while True:
        yield rng.standard_normal((BATCH, latent_size))


def run_minigrad() -> dict[str, np.ndarray]:
    """Metrics of each step, (STEPS, 4), under "metrics", and the final weights by name."""
    ours = trainer()
    latents = noises(ours.latent_size)
    ours.noise = lambda count: mg.Tensor(next(latents))  # type: ignore[method-assign]
    metrics = [[value.item() for value in ours.step(mg.Tensor(x)).values()] for x in images()]
    weights = {f"{name}.{key}": p.data for name, net in ours.networks().items() for key, p in net.named_parameters().items()}
    return {"metrics": np.array(metrics), **weights}


def run_torch() -> dict[str, np.ndarray]:
    """The same by the PyTorch twin."""
    import torch

    from benchmarks.twins.mnist_gan import Twin

    ours = trainer()
    twin: Any = Twin(ours.state_dict(), ours.config.lr, "eager")
    latents = noises(ours.latent_size)
    twin.noise = lambda count: torch.from_numpy(next(latents))
    metrics = [twin.step(torch.from_numpy(x)) for x in images()]
    return {"metrics": np.array(metrics), **twin.weights()}


def fingerprint(run: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The metrics as they are; of each weight PROBES inner products, relative to its size."""
    rng = np.random.default_rng(3)
    small = {"metrics": run["metrics"]}
    for name in sorted(run.keys() - {"metrics"}):
        weight = run[name].reshape(-1)
        small[name] = rng.standard_normal((PROBES, weight.size)) @ weight / np.linalg.norm(weight)
    return small


if __name__ == "__main__":
    mg.save(RECORDED, fingerprint(run_torch()))
    print(f"{RECORDED}: {RECORDED.stat().st_size:,} bytes", file=sys.stderr)
