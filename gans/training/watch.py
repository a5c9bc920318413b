"""`--watch-gradients`: the norm of each layer's gradient as metrics, so that vanishing or exploding gradients show."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import minigrad as mg
from gans.training.trainer import Metrics, Trainer
from minigrad import parallel
from minigrad.arrays.backend import array_module
from minigrad.engine import Node
from minigrad.modes import Observer, observing

PREFIX = "grad "  # of the metrics' names, before that of a layer: "grad generator.0"


class GradientNorms(Observer):
    """Observes the gradients that a trainer asks for. Of several walks to one layer in a step, the last one counts.

    It computes with the arrays of the step and reads none, so that the step can be captured.
    """

    def __init__(self, trainer: Trainer) -> None:
        trained = {p for optimizer in trainer.optimizers().values() for p in optimizer.params}
        self.layers: dict[Node, str] = {
            p: PREFIX + f"{net}.{name}".rpartition(".")[0]
            for net, network in trainer.networks().items()
            for name, p in network.named_parameters()
            if p in trained
        }
        self.norms: dict[str, mg.Tensor] = {}

    @property
    def names(self) -> list[str]:
        """The names of the metrics."""
        return list(dict.fromkeys(self.layers.values()))

    def walked(self, gradients: Mapping[Node, mg.Tensor]) -> None:
        squares: dict[str, mg.tensor.Array] = {}
        found = {node: gradients[node].data for node in self.layers if node in gradients}
        if ranks := parallel.current():
            arrays = list(found.values())
            found = dict(zip(found, ranks.sum_gradients(arrays, arrays), strict=True))
        for node, g in found.items():
            squares[self.layers[node]] = squares.get(self.layers[node], 0) + (g * g).sum()
        self.norms |= {name: mg.Tensor(array_module(total).sqrt(total)) for name, total in squares.items()}

    def watched(self, step: Callable[..., Metrics]) -> Callable[..., Metrics]:
        """The step, with the norms among its metrics."""

        def run(*batch: mg.Tensor) -> Metrics:
            self.norms = {}
            with observing(self):
                metrics = step(*batch)
            return metrics | {name: self.norms[name] for name in self.names if name in self.norms}

        return run
