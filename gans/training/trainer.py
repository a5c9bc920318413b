"""`Trainer`: what the loop, the checkpoints and the commands need to know of an algorithm."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import minigrad as mg
from gans.training.config import RunConfig
from minigrad import nn, optim

Metrics = dict[str, mg.Tensor]

AT_ONCE = 256  # images that are generated at once
FIXED_NOISE_COUNTER = 2**62  # a stretch of the seed's random stream that training never reaches


class Trainer:
    """Base of the algorithms.

    A subclass sets its networks and optimizers as attributes in `__init__`; they are found by themselves, as a module's
    layers are. `step` makes one training step on a batch of real images and returns one-element tensors to be plotted.

    Parameters
    ----------
    config : the settings; `config.backend` is "numpy" or "cupy"
    dtype : of weights, images and noise: float32, or float64 to compare with other implementations
    """

    name: ClassVar[str]  # the module's name in `gans`, and the default run folder's
    config_class: ClassVar[type[RunConfig]]
    captions: ClassVar[dict[str, str]]  # metric -> what its curve means

    latent_size: int
    generator: nn.Module
    average: nn.Module | None = None  # a copy of the generator whose weights follow its weights slowly

    def __init__(self, config: Any, dtype: Any = np.float32) -> None:
        self.config = config
        self.images_per_step: int = config.batch_size
        self.backend = config.backend
        self.dtype = dtype

    def load_images(self) -> tuple[np.ndarray, str]:
        """The training images, uint8 (n, channels, height, width), and where they come from."""
        raise NotImplementedError

    def step(self, real: mg.Tensor) -> Metrics:
        """One training step on `images_per_step` real images in [-1, 1]."""
        raise NotImplementedError

    def noise(self, count: int) -> mg.Tensor:
        """Latent vectors from N(0, 1): (count, latent_size)."""
        return mg.randn((count, self.latent_size), self.backend, self.dtype)

    def uniform(self, shape: tuple[int, ...]) -> mg.Tensor:
        """Random numbers from U(0, 1)."""
        return mg.rand(shape, self.backend, self.dtype)

    def fixed_noise(self, count: int, seed: int) -> mg.Tensor:
        """Latent vectors that depend on nothing but the seed."""
        return mg.Generator(seed, FIXED_NOISE_COUNTER).randn((count, self.latent_size), self.backend, self.dtype)

    @property
    def sampler(self) -> nn.Module:
        """The network that makes the samples: the generator, or its running average where there is one."""
        return self.generator if self.average is None else self.average

    def generate(self, latent: mg.Tensor) -> np.ndarray:
        """Images uint8 (n, channels, height, width) from latent vectors, with the network in evaluation mode."""
        self.sampler.eval()
        with mg.no_grad():
            parts = [self.sampler(latent[i : i + AT_ONCE]).numpy() for i in range(0, len(latent), AT_ONCE)]
        self.sampler.train()
        return np.rint((np.concatenate(parts) + 1) * 127.5).clip(0, 255).astype(np.uint8)

    def networks(self) -> dict[str, nn.Module]:
        """The networks by attribute name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, nn.Module)}

    def optimizers(self) -> dict[str, optim.Optimizer]:
        """The optimizers by attribute name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, optim.Optimizer)}

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, but the position in the data and in the random stream."""
        return {f"{owner}.{key}": a for owner, part in self._parts().items() for key, a in part.state_dict().items()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; ValueError if it does not fit."""
        for owner, part in self._parts().items():
            start = owner + "."
            part.load_state_dict({key.removeprefix(start): a for key, a in saved.items() if key.startswith(start)})

    def parameter_name(self, parameter: mg.Tensor) -> str:
        """The dotted name of a parameter, such as "generator.0.weight"."""
        names = {
            id(p): f"{net}.{key}" for net, module in self.networks().items() for key, p in module.named_parameters().items()
        }
        return names[id(parameter)]

    def _parts(self) -> dict[str, nn.Module | optim.Optimizer]:
        return {**self.networks(), **self.optimizers()}


def load_generator(trainer: Trainer, path: Path) -> None:
    """Put saved generator weights into a trainer. FileError if they are damaged or another network's."""
    weights = mg.load(path)
    try:
        trainer.sampler.load_state_dict(weights)
    except (ValueError, TypeError) as error:
        raise mg.FileError(f"{path} does not fit this program: {error}") from error
