"""What is compared: for each case a trainer of `gans` and its twin in `benchmarks.twins`.

Neither this engine nor PyTorch is imported before it is asked for: each side's process loads only its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from benchmarks.twins.twin import Twin
    from gans.training.trainer import Trainer


@dataclass(frozen=True)
class Case:
    """A trainer and its settings."""

    module: str  # in gans, with the trainer, and in benchmarks.twins, with its twin
    batch_size: int = 128
    network: Mapping[str, Any] = field(default_factory=dict)  # settings of the trainer that say what its networks are
    tolerance: float = 1e-5  # how far the losses of the first steps may be apart in float32, relative

    def trainer(self, dtype: Any = np.float32, backend: str = "numpy") -> Trainer:
        """Our trainer with the weights of seed 0."""
        import minigrad as mg
        from gans.trainers import trainer_named

        trainer_class = trainer_named(self.module)
        config = trainer_class.config_class(backend=backend, batch_size=self.batch_size, **self.network)
        mg.manual_seed(0)
        return trainer_class(config, dtype)

    def twin(self, state: Mapping[str, np.ndarray], lr: float, variant: str) -> Twin:
        """The twin of a trainer with this state and learning rate, on PyTorch's current default device."""
        return importlib.import_module(f"benchmarks.twins.{self.module}").Twin(state, lr, variant, **self.network)


# Adam's first steps are as long for tiny gradients as for large ones, and so make much of rounding. After five steps the losses
# of PyTorch's two variants are this far apart, and ours from either no farther: 2e-7 for mnist_gan, 6e-3 for dcgan_28, 9e-3 for
# dcgan_64, 2e-3 for lsgan, 3e-4 for wgan_gp_mlp, 6e-5 for wgan_gp_conv. Of cyclegan_64 all three sides are up to 2e-2 from the
# same steps in float64, and 3e-2 from each other. In float64 the tests find the same steps to 1e-9.
CASES = {
    "mnist_gan": Case("mnist_gan"),
    "dcgan_28": Case("dcgan", network={"arch": "28"}, tolerance=2e-2),
    "dcgan_64": Case("dcgan", batch_size=16, network={"arch": "k4", "image_size": 64}, tolerance=3e-2),
    "lsgan": Case("lsgan", network={"arch": "28"}, tolerance=1e-2),
    "wgan_gp_mlp": Case("wgan_gp", batch_size=64, tolerance=2e-3),
    "wgan_gp_conv": Case("wgan_gp", batch_size=64, network={"arch": "conv"}, tolerance=2e-3),
    "cyclegan_64": Case("cyclegan", batch_size=1, network={"image_size": 64, "width": 64}, tolerance=5e-2),
}


def network_state(trainer: Trainer) -> dict[str, np.ndarray]:
    """Weights and running statistics of all networks of a trainer, "generator.0.weight" and so on."""
    return {f"{name}.{key}": a for name, network in trainer.networks().items() for key, a in network.state_dict().items()}


def learning_rate(trainer: Trainer) -> float:
    """The one that all optimizers of a trainer have."""
    (lr,) = {optimizer.lr for optimizer in trainer.optimizers().values()}
    return lr
