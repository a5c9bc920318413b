"""The cases: each is a trainer of `gans` with its settings and twins in `benchmarks.pytorch` and
`benchmarks.jax`.

A new case takes one line in `CASES` and one file with its twin. The engine and PyTorch are imported
only when a side is made, so that each side's process loads only its own library.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.settings import JAX

if TYPE_CHECKING:
    from gans.training.trainer import Trainer


@dataclass(frozen=True)
class Case:
    """A trainer and its settings."""

    module: str  # the trainer's in gans, and its twins' in benchmarks.pytorch and benchmarks.jax
    batch_size: int = 128
    network: Mapping[str, Any] = field(default_factory=dict)  # other settings of the trainer, which its twins take too
    tolerance: float = 1e-5  # largest relative difference of the first steps' losses in float32

    def trainer(self, dtype: Any = np.float32, backend: str = "numpy") -> Trainer:
        """Our trainer with weights from seed 0."""
        import minigrad as mg
        from gans.trainers import trainer_named

        trainer_class = trainer_named(self.module)
        config = trainer_class.config_class(backend=backend, batch_size=self.batch_size, **self.network)
        mg.manual_seed(0)
        return trainer_class(config, dtype)

    def twin(self, state: Mapping[str, np.ndarray], lr: float, variant: str) -> Any:
        """JAX's twin or a variant of PyTorch's, with a trainer's weights and learning rate, on the current default device."""
        if variant == JAX:
            return importlib.import_module(f"benchmarks.jax.{self.module}").Twin(state, lr, **self.network)
        return importlib.import_module(f"benchmarks.pytorch.{self.module}").Twin(state, lr, variant, **self.network)


# Adam's first steps have the same length for tiny gradients as for large ones, which magnifies
# rounding errors. After five steps, PyTorch's two variants differ by this much, and ours differs
# from either by no more: 2e-7 for mnist_gan, 6e-3 for dcgan_28, 9e-3 for dcgan_64, 2e-3 for lsgan,
# 3e-4 for wgan_gp_mlp, 6e-5 for wgan_gp_conv. For cyclegan_64, all three differ by up to 2e-2 from
# the same steps in float64, and by up to 3e-2 from each other. For r3gan, with five sets of latent
# vectors, ours differs by 3e-4 to 7e-3 from float64 and PyTorch's by 5e-4 to 4e-3, and by up to 9e-3
# from each other: rounding turns a leaky ReLU's slope here and there. In float64 the tests compare
# to 1e-9.
CASES = {
    "mnist_gan": Case("mnist_gan", network={"dropout": 0.0}),  # random masks would make the losses incomparable
    "dcgan_28": Case("dcgan", network={"arch": "28"}, tolerance=2e-2),
    "dcgan_64": Case("dcgan", batch_size=16, network={"arch": "k4", "image_size": 64}, tolerance=3e-2),
    "lsgan": Case("lsgan", network={"arch": "28"}, tolerance=1e-2),
    "wgan_gp_mlp": Case("wgan_gp", batch_size=64, tolerance=2e-3),
    "wgan_gp_conv": Case("wgan_gp", batch_size=64, network={"arch": "conv"}, tolerance=2e-3),
    "r3gan": Case("r3gan", batch_size=64, network={"width": 64}, tolerance=2e-2),
    "cyclegan_64": Case("cyclegan", batch_size=1, network={"image_size": 64, "width": 64}, tolerance=5e-2),
}


def network_state(trainer: Trainer) -> dict[str, np.ndarray]:
    """Weights and running statistics of all networks of a trainer: "generator.0.weight" and so on."""
    return {f"{name}.{key}": a for name, network in trainer.networks().items() for key, a in network.state_dict().items()}


def random_batch(
    trainer: Trainer,
    rng: np.random.Generator,
    images: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray] | None = None,
) -> tuple[np.ndarray, ...]:
    """Arguments of a trainer's step: labels where a shape has one axis, else images from U(-1, 1) or `images(rng, shape)`."""
    images = images or (lambda rng, shape: rng.uniform(-1, 1, shape).astype(trainer.dtype))
    classes = len(getattr(trainer, "classes", ()))
    return tuple(rng.integers(classes, size=s) if len(s) == 1 else images(rng, s) for s in trainer.batch_shapes)


def learning_rate(trainer: Trainer) -> float:
    """The learning rate that all optimizers of a trainer share."""
    (lr,) = {optimizer.lr for optimizer in trainer.optimizers().values()}
    return lr
