"""Trainers survive pickle and deepcopy: the next step gives the same bits."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from benchmarks.cases import random_batch
from gans.trainers import TRAINERS, trainer_named

Copy = Callable[[Any], Any]
each_copy = pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)


# Settings beside the defaults. With --arch 28 or conv, a weight has an axis of length 1, whose stride says nothing.
SMALL: dict[str, dict[str, Any]] = {
    "dcgan": {"arch": "28"}, "lsgan": {"arch": "28"}, "softmax_gan": {"arch": "28"}, "wgan_gp": {"arch": "conv"},
    "cyclegan": {"image_size": 32, "width": 4, "batch_size": 1},
}  # fmt: skip


@each_copy
@pytest.mark.parametrize("name", TRAINERS)
def test_a_trainer(name: str, copied: Copy) -> None:
    kind = trainer_named(name)
    small = {"batch_size": 2, **SMALL.get(name, {})}
    trainer = kind(kind.config_class(backend="numpy", **small))
    twin = copied(trainer)
    batches = [mg.Tensor(a) for a in random_batch(trainer, np.random.default_rng(0))]
    states = []
    for each in (trainer, twin):
        mg.manual_seed(1)
        assert each.step(*batches).keys() <= trainer.captions.keys(), "each metric has a caption"
        states.append({key: np.asarray(a).tobytes() for key, a in each.state_dict().items()})
    assert states[0] == states[1]
