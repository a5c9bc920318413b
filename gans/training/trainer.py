"""`Trainer`: the interface between an algorithm and the training loop, checkpoints and commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np

import minigrad as mg
from gans.data.batches import Stream
from gans.training.config import ConfigError, RunConfig
from gans.training.evaluations import Evaluator
from minigrad import nn, optim
from minigrad.arrays import backend

Metrics = dict[str, mg.Tensor]
Shape = tuple[int, ...]


class Stateful(Protocol):
    """A part of a trainer that changes during training: a network, an optimizer, a pool of images."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, saved: dict[str, Any]) -> None: ...


class Trainer:
    """Base class of all algorithms.

    A subclass assigns its networks, optimizers and other stateful parts as attributes in
    `__init__`. Checkpoints contain every attribute that has a `state_dict`, under the attribute's
    name.

    Parameters
    ----------
    config : the settings; `config.backend` is "auto", "numpy" or "cupy"
    dtype : of weights, images and noise; float64 serves to compare with other implementations
    """

    name: ClassVar[str]  # the module's name in `gans`, and the default run folder's
    config_class: ClassVar[type[RunConfig]]
    captions: ClassVar[dict[str, str]]  # each metric's name, and what its curve means
    kept: ClassVar[tuple[str, ...]]  # names of the networks whose weights are kept when training is over

    config: RunConfig
    step: Callable[..., Metrics]  # one training step on batches in [-1, 1]; returns one-element tensors to plot

    def __init__(self, config: RunConfig, dtype: Any = np.float32) -> None:
        self.config = config
        self.backend = backend.resolve("auto") if config.backend == "auto" else config.backend
        self.dtype = dtype

    @property
    def batch_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the arguments of `step`: (n, channels, height, width) of images; (n,) of labels, which are int64."""
        raise NotImplementedError

    @property
    def samples_are(self) -> str:
        """What the sample grids show, for config.json."""
        raise NotImplementedError

    def load_batches(self) -> Stream:
        """The training data."""
        raise NotImplementedError

    def samples(self) -> np.ndarray | None:
        """The images of the fixed noise, uint8 (n, channels, height, width); None for a trainer without noise."""
        return None

    def sample_sheet(self, samples: np.ndarray | None = None) -> np.ndarray:
        """An image of the current results, uint8 (height, width, 3), from the same inputs throughout a run.

        `samples` are those of now, if the caller has them already.
        """
        raise NotImplementedError

    def real_sheet(self, batches: Stream) -> np.ndarray | None:
        """A sheet of training images in the form of the sample sheets; None for a trainer whose sample sheets show some."""
        return None

    def weights(self) -> dict[str, Any]:
        """The arrays to keep when training is over, by name: those of the networks in `kept`."""
        return joined({name: getattr(self, name) for name in self.kept})

    def load_weights(self, saved: Mapping[str, Any]) -> None:
        """Load the arrays that `weights` returned. ValueError if names or shapes differ."""
        for name in self.kept:
            getattr(self, name).load_state_dict(below(saved, name))

    def evaluator(self, batches: Stream) -> Evaluator:
        """What --evaluate-every measures, given the training data. ConfigError where nothing can be measured."""
        raise ConfigError(f"gans.{self.name} has no measure for --evaluate-every")

    def report(self) -> str:
        """Measured quality of the result as Markdown; empty where it cannot be measured."""
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
        """Everything that the next step depends on, except the position in the data and in the random stream."""
        return joined(self._parts())

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Load what `state_dict` returned. ValueError if names or shapes differ."""
        for owner, part in self._parts().items():
            part.load_state_dict(below(saved, owner))

    def parameter_name(self, parameter: mg.Tensor) -> str:
        """The dotted name of a parameter, such as "generator.0.weight"."""
        names = {id(p): f"{net}.{key}" for net, module in self.networks().items() for key, p in module.named_parameters()}
        return names[id(parameter)]

    def _parts(self) -> dict[str, Stateful]:
        return {name: value for name, value in vars(self).items() if hasattr(value, "state_dict")}


def in_evaluation(network: nn.Module, *inputs: mg.Tensor) -> np.ndarray:
    """The network's output in evaluation mode, without a graph. The network is then set to training mode."""
    network.eval()
    with mg.no_grad():
        y = network(*inputs).numpy()
    network.train()
    return y


def as_pixels(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] as uint8."""
    return np.rint((images + 1) * 127.5).clip(0, 255).astype(np.uint8)


def from_pixels(images: np.ndarray, dtype: Any = np.float32) -> np.ndarray:
    """Images from 0 to 255, such as uint8, in [-1, 1]."""
    return images.astype(dtype) / dtype(127.5) - dtype(1)


def joined(parts: Mapping[str, Stateful]) -> dict[str, Any]:
    """The arrays of several parts, named "owner.key"."""
    return {f"{owner}.{key}": a for owner, part in parts.items() for key, a in part.state_dict().items()}


def below(arrays: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """The arrays named "owner.key", by key."""
    start = owner + "."
    return {key.removeprefix(start): a for key, a in arrays.items() if key.startswith(start)}
