"""Training runs in float64 from fixed weights, images and noise: recorded once with PyTorch, repeated by the tests.

    python -m tests.reference.gan_runs             record the runs that have no recording yet
    python -m tests.reference.gan_runs NAME ...    record these again
    python -m tests.reference.gan_runs --all       record everything

All other recordings keep their bits. Needs PyTorch. The file `gan_runs.safetensors` contains the metrics of each step, and for
each final weight and running statistic its inner products with some random arrays, which change if any element does.

All random numbers come from NumPy, so they are the same on every machine, except initial weights, which come from our own
uniform generator and are the same on every machine too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from benchmarks.cases import Case, learning_rate, network_state, random_batch
from gans.training.trainer import Trainer
from minigrad import nn

from . import recordings

Arrays = dict[str, np.ndarray]

RECORDED = Path(__file__).with_name("gan_runs.safetensors")
PROBES = 2  # inner products a weight
LR = 2e-4  # with the small networks' own 1e-3, rounding errors of 1e-16 grow to 1e-2 in 40 steps, PyTorch's own as well


@dataclass(frozen=True)
class Run:
    """A number of training steps on random images."""

    case: Case
    steps: int

    def trainer(self) -> Trainer:
        ours = self.case.trainer(np.float64)
        for optimizer in ours.optimizers().values():
            optimizer.lr = LR
        if self.case.network.get("arch") == "k4":
            _draw_again(ours)
        _draw_embeddings_again(ours)
        return ours

    def batches(self, trainer: Trainer) -> Iterator[tuple[np.ndarray, ...]]:
        """The arguments of every step: noise of random amplitude in [-1, 1] for images, and random labels."""
        rng = np.random.default_rng(1)
        for _ in range(self.steps):
            yield random_batch(trainer, rng, lambda rng, s: rng.uniform(-1, 1, (s[0], 1, 1, 1)) * rng.uniform(0, 1, s))


RUNS = {  # a trainer may be here if `benchmarks.pytorch` has its PyTorch twin; it need not
    "mnist_gan": Run(Case("mnist_gan", 16, {"dropout": 0.0}), steps=200),
    "mnist_gan_redraw": Run(Case("mnist_gan", 16, {"dropout": 0.0, "redraw": True}), steps=20),
    "dcgan_28": Run(Case("dcgan", 8, {"arch": "28"}), steps=20),
    "dcgan_64": Run(Case("dcgan", 4, {"arch": "k4", "image_size": 64}), steps=20),
    "lsgan_redraw": Run(Case("lsgan", 4, {"arch": "28", "redraw": True}), steps=20),
    "lsgan": Run(Case("lsgan", 8, {"arch": "28"}), steps=20),
    "softmax_gan": Run(Case("softmax_gan", 8, {"arch": "28"}), steps=20),
    "hinge_gan": Run(Case("hinge_gan", 4), steps=20),
    "cgan_concat": Run(Case("cgan", 8, {"condition": "concat"}), steps=20),
    "cgan_projection": Run(Case("cgan", 8), steps=20),
    "infogan": Run(Case("infogan", 8, {"code_weight": 0.3}), steps=20),
    "bigan": Run(Case("bigan", 8), steps=20),
    "bigan_stochastic": Run(Case("bigan", 8, {"encoder": "stochastic"}), steps=20),
    "ssgan_redraw": Run(Case("ssgan", 8, {"dropout": 0.0, "ema": 0.5, "redraw": True}), steps=20),
    "ssgan": Run(Case("ssgan", 8, {"dropout": 0.0, "entropy_weight": 0.7, "ema": 0.5}), steps=20),
    "wgan_mlp": Run(Case("wgan", 4), steps=50),  # of the generator, and 250 of the critic
    "wgan_conv": Run(Case("wgan", 4, {"arch": "conv"}), steps=20),  # in 50, rounding errors grow to 1e-10
    "wgan_gp_mlp": Run(Case("wgan_gp", 4), steps=50),
    "wgan_gp_conv": Run(Case("wgan_gp", 4, {"arch": "conv"}), steps=20),
    "r3gan": Run(Case("r3gan", 4, {"width": 16, "gamma": 0.3, "ema": 0.5}), steps=20),
    "cyclegan": Run(Case("cyclegan", 1, {"image_size": 64, "width": 16, "pool": 6}), steps=20),
    "cyclegan_wgan": Run(Case("cyclegan", 1, {"image_size": 32, "width": 8, "pool": 6, "gan_loss": "wgan"}), steps=20),
}


def _draw_again(trainer: Trainer) -> None:
    """Draw the paper's normal initial weights with NumPy. Ours use logarithms, whose last bits depend on the processor."""
    rng = np.random.default_rng(4)
    for network in trainer.networks().values():
        for name, parameter in network.named_parameters():
            if name.endswith("weight"):
                gain = parameter.ndim == 1  # of batch normalisation
                parameter.assign(float(gain) + 0.02 * rng.standard_normal(parameter.shape))


def _draw_embeddings_again(trainer: Trainer) -> None:
    """The same for embeddings, whose initial weights are normal too."""
    rng = np.random.default_rng(6)
    for network in trainer.networks().values():
        for layer in network.modules():
            if isinstance(layer, nn.Embedding):
                layer.weight.assign(0.1 * rng.standard_normal(layer.weight.shape))


def without_effect(trainer: Trainer) -> set[str]:
    """Names of the biases that cancel: before an instance normalisation, and D's last one where only differences count.

    Their gradients are rounding errors, which Adam amplifies.
    """
    modules = {
        f"{owner}.{name}": module
        for owner, network in trainer.networks().items()
        for name, module in network.named_modules()
        if isinstance(module, nn.Sequential)
    }
    last = {"discriminator.9.bias"} if trainer.name == "softmax_gan" else set()
    if getattr(trainer.config, "gan_loss", None) == "wgan":
        last = {"d_a.11.bias", "d_b.11.bias"}
    return last | {
        f"{name}.{i}.bias".replace("..", ".")
        for name, layers in modules.items()
        for i, (layer, after) in enumerate(pairwise(layers))
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and isinstance(after, nn.InstanceNorm2d)
    }


def replay_randomness(side: Any, tensor: Callable[[np.ndarray], Any]) -> None:
    """Make a trainer or twin take its latent vectors and its uniform numbers from two NumPy generators."""
    normal, uniform = np.random.default_rng(2), np.random.default_rng(5)
    if hasattr(side, "latent_size"):
        side.noise = lambda count: tensor(normal.standard_normal((count, side.latent_size)))
    side.uniform = lambda shape: tensor(uniform.random(shape))


def run_minigrad(run: Run, steps: int) -> Arrays:
    """Metrics of each step, (steps, metrics), under "metrics", and the networks' final state by name."""
    ours = run.trainer()
    replay_randomness(ours, mg.Tensor)
    batches = islice(run.batches(ours), steps)
    metrics = [[value.item() for value in ours.step(*map(mg.Tensor, batch)).values()] for batch in batches]
    return {"metrics": np.array(metrics), **_compared(network_state(ours), ours)}


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: its thread pool and ours would compete for the cores, and such small batches gain little."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def run_torch(run: Run, steps: int, variant: str = "eager") -> Arrays:
    """The same from the PyTorch twin."""
    import torch

    ours = run.trainer()
    twin: Any = run.case.twin(network_state(ours), learning_rate(ours), variant)
    replay_randomness(twin, torch.from_numpy)
    metrics = [twin.step(*map(twin.images, batch)) for batch in islice(run.batches(ours), steps)]
    return {"metrics": np.array(metrics), **_compared(twin.state(), ours)}


def _compared(state: Arrays, trainer: Trainer) -> Arrays:
    """The arrays that the losses depend on."""
    return {name: array for name, array in state.items() if name not in without_effect(trainer)}


def fingerprint(result: Arrays) -> Arrays:
    """The metrics, and of each other array PROBES inner products."""
    rng = np.random.default_rng(3)
    small = {"metrics": result["metrics"]}
    for name in sorted(result.keys() - {"metrics"}):
        array = result[name].reshape(-1)
        small[name] = np.array([rng.standard_normal(array.size) @ array for _ in range(PROBES)])
    return small


def main(argv: Sequence[str] | None = None, path: Path = RECORDED) -> None:
    names, everything = recordings.parse("python -m tests.reference.gan_runs", RUNS, argv)
    makers = {name: functools.partial(_recording, run) for name, run in RUNS.items()}
    made = recordings.update(path, makers, names, everything, separator=".")
    print(f"recorded: {', '.join(made) or 'nothing, all is there'}")


def _recording(run: Run) -> Arrays:
    return fingerprint(run_torch(run, run.steps))


if __name__ == "__main__":
    main()
