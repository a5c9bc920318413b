"""Where a NaN or an infinity is, and which op has made it."""

from __future__ import annotations

from collections.abc import Sequence

import minigrad as mg
from gans.training.trainer import Stateful, Trainer
from minigrad import parallel
from minigrad.arrays import backend
from minigrad.optim import BadGradient


def bad_array(trainer: Trainer) -> str:
    """The first array of an optimizer or a network that contains a NaN or an infinity, and how many; empty if there is none."""
    parts: dict[str, Stateful] = {**trainer.optimizers(), **trainer.networks()}
    for name, part in parts.items():
        for key, array in part.state_dict().items():
            if not backend.all_finite(array):
                return f"{name}.{key} has {backend.describe_bad_values(array)}"
    return ""


def cause_of(symptom: FloatingPointError, trainer: Trainer, batch: Sequence[mg.Tensor]) -> str:
    """What went wrong in a step on this batch: the first op with a bad value when the step is repeated, else the symptom."""
    cause = str(symptom)
    if isinstance(symptom, BadGradient):
        cause = f"the gradient of {trainer.parameter_name(symptom.parameter)} is not finite"
    try:
        with mg.detect_anomaly(), parallel.alone():  # each rank finds the same op, without the others
            trainer.step(*batch)
    except BadGradient:
        pass
    except FloatingPointError as error:
        cause = str(error)
    return cause
