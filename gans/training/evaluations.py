"""Evaluations while training: measures in metrics.csv, the best weights, and the end of a run at a plateau.

There is no state besides the files of the run: which evaluation was the best is read from metrics.csv. So a resumed run
continues as if it had not been interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gans.training.run_folder import RunFolder


@dataclass(frozen=True)
class Evaluator:
    """Measures the images of the present weights. Of the first measure, lower is better.

    `measure` changes nothing that training depends on: it leaves the random stream and the networks as they are.
    """

    captions: dict[str, str]  # each measure's name, and what its curve means
    measure: Callable[[], dict[str, float]]

    @property
    def first(self) -> str:
        return next(iter(self.captions))


class Evaluations:
    """The evaluations of a run. With `stop_when`, so many in a row without an improvement are a plateau."""

    def __init__(self, evaluator: Evaluator, folder: RunFolder, stop_when: int | None) -> None:
        self.evaluator, self.folder, self.stop_when = evaluator, folder, stop_when

    def add(self, step: int, weights: Mapping[str, Any]) -> None:
        """Measure, and keep the weights if they are the best so far."""
        self.folder.metrics.append(step, self.evaluator.measure())
        if self.best()[1] == 0:
            self.folder.save_best(weights, step)

    def best(self) -> tuple[int, int]:
        """The step of the best evaluation, and how many there have been since. Before the first one, (0, 0)."""
        steps, metrics = self.folder.metrics.read()
        values = metrics.get(self.evaluator.first, np.full(len(steps), np.nan))
        measured = np.flatnonzero(~np.isnan(values))
        if not len(measured):
            return 0, 0
        best = int(values[measured].argmin())
        return int(steps[measured[best]]), len(measured) - 1 - best

    def plateau(self) -> str:
        """What has stopped improving, in a sentence; empty while there is no plateau."""
        step, since = self.best()
        if self.stop_when is None or since < self.stop_when:
            return ""
        return f"{self.evaluator.first} was best at step {step} and has not improved in {since} evaluations since (--stop-when)"
