"""`Trainer`: what the loop, the checkpoints and the commands need to know of an algorithm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

import minigrad as mg
from gans.data.batches import Batches, Stream
from gans.training.config import RunConfig
from gans.training.images import grid
from minigrad import nn, optim

Metrics = dict[str, mg.Tensor]
Shape = tuple[int, ...]

SAMPLES = 64  # images in a grid
AT_ONCE = 256  # images that are generated at once
FIXED_NOISE_COUNTER = 2**62  # a stretch of the seed's random stream that training never reaches


@runtime_checkable
class Stateful(Protocol):
    """A part of a trainer that changes from step to step: a network, an optimizer, a pool of images."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, saved: dict[str, Any]) -> None: ...


class Trainer:
    """Base of the algorithms.

    A subclass sets its networks, optimizers and whatever else changes while it trains as attributes in `__init__`; they are
    found by themselves, as a module's layers are.

    Parameters
    ----------
    config : the settings; `config.backend` is "numpy" or "cupy"
    dtype : of weights, images and noise: float32, or float64 to compare with other implementations
    """

    name: ClassVar[str]  # the module's name in `gans`, and the default run folder's
    config_class: ClassVar[type[RunConfig]]
    captions: ClassVar[dict[str, str]]  # metric -> what its curve means
    samples_are: str  # what the sheets in samples/ show, for config.json

    batch_shapes: tuple[Shape, ...]  # of the tensors that a step takes
    step: Callable[..., Metrics]  # one training step on real images in [-1, 1]; gives one-element tensors to be plotted

    def __init__(self, config: Any, dtype: Any = np.float32) -> None:
        self.config = config
        self.backend = config.backend
        self.dtype = dtype

    def load_batches(self) -> Stream:
        """What to train on."""
        raise NotImplementedError

    def sample_sheet(self) -> np.ndarray:
        """A picture of what the networks can do now, uint8 (rows, columns, 3); what it shows never changes in a run."""
        raise NotImplementedError

    def weights(self) -> dict[str, Any]:
        """The arrays that are worth keeping when training is over, by name."""
        raise NotImplementedError

    def load_weights(self, saved: Mapping[str, Any]) -> None:
        """Take over what `weights` gave; ValueError if it does not fit."""
        raise NotImplementedError

    def report(self) -> str:
        """How good the result is, as Markdown, where that can be measured; else nothing."""
        return ""

    def uniform(self, shape: Shape) -> mg.Tensor:
        """Random numbers from U(0, 1)."""
        return mg.rand(shape, self.backend, self.dtype)

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
            part.load_state_dict(below(saved, owner))

    def parameter_name(self, parameter: mg.Tensor) -> str:
        """The dotted name of a parameter, such as "generator.0.weight"."""
        names = {
            id(p): f"{net}.{key}" for net, module in self.networks().items() for key, p in module.named_parameters().items()
        }
        return names[id(parameter)]

    def _parts(self) -> dict[str, Stateful]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Stateful)}


class LatentTrainer(Trainer):
    """Base of the algorithms whose generator makes images from latent vectors. `images_per_step` may be set anew."""

    latent_size: int
    image_shape: Shape  # (channels, height, width)
    generator: nn.Module
    average: nn.Module | None = None  # a copy of the generator whose weights follow its weights slowly

    def __init__(self, config: Any, dtype: Any = np.float32) -> None:
        super().__init__(config, dtype)
        self.images_per_step: int = config.batch_size

    @property
    def batch_shapes(self) -> tuple[Shape, ...]:  # type: ignore[override]
        return ((self.images_per_step, *self.image_shape),)

    @property
    def samples_are(self) -> str:  # type: ignore[override]
        sampler = "generator" if self.average is None else "running average of the generator"
        return f"fixed noise, {sampler} in evaluation mode"

    @property
    def sampler(self) -> nn.Module:
        """The network that makes the samples: the generator, or its running average where there is one."""
        return self.generator if self.average is None else self.average

    def load_images(self) -> tuple[np.ndarray, str]:
        """The training images, uint8 (n, channels, height, width), and where they come from."""
        raise NotImplementedError

    def load_batches(self) -> Batches:
        images, source = self.load_images()
        return Batches(images, self.images_per_step, self.config.seed, self.backend, self.dtype, source)

    def noise(self, count: int) -> mg.Tensor:
        """Latent vectors from N(0, 1): (count, latent_size)."""
        return mg.randn((count, self.latent_size), self.backend, self.dtype)

    def fixed_noise(self, count: int, seed: int) -> mg.Tensor:
        """Latent vectors that depend on nothing but the seed."""
        return mg.Generator(seed, FIXED_NOISE_COUNTER).randn((count, self.latent_size), self.backend, self.dtype)

    def generate(self, latent: mg.Tensor) -> np.ndarray:
        """Images uint8 (n, channels, height, width) from latent vectors, with the network in evaluation mode."""
        parts = [in_evaluation(self.sampler, latent[i : i + AT_ONCE]) for i in range(0, len(latent), AT_ONCE)]
        return as_pixels(np.concatenate(parts))

    def sample_sheet(self) -> np.ndarray:
        return grid(self.generate(self.fixed_noise(SAMPLES, self.config.seed)))

    def weights(self) -> dict[str, Any]:
        return self.sampler.state_dict()

    def load_weights(self, saved: Mapping[str, Any]) -> None:
        self.sampler.load_state_dict(saved)


def in_evaluation(network: nn.Module, x: mg.Tensor) -> np.ndarray:
    """What a network gives in evaluation mode, without a graph; afterwards it is in training mode."""
    network.eval()
    with mg.no_grad():
        y = network(x).numpy()
    network.train()
    return y


def as_pixels(images: np.ndarray) -> np.ndarray:
    """uint8 from [-1, 1]."""
    return np.rint((images + 1) * 127.5).clip(0, 255).astype(np.uint8)


def below(arrays: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """What is named "owner.key", by key."""
    start = owner + "."
    return {key.removeprefix(start): a for key, a in arrays.items() if key.startswith(start)}
