"""Started by mpiexec: each trainer's steps, shared among the ranks and alone, in float64. Rank 0 prints the differences."""

from __future__ import annotations

import json
import sys
from typing import Any

from minigrad import parallel

ranks = parallel.start()  # first: it says how many threads each rank has

import numpy as np  # noqa: E402

import minigrad as mg  # noqa: E402
from gans.trainers import trainer_named  # noqa: E402

TINY_CYCLEGAN = {"preset": "fast", "image_size": 32, "batch_size": 4, "width": 4, "pool": 6}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "mnist_gan": ("mnist_gan", {"batch_size": 7}),
    "dcgan": ("dcgan", {"arch": "28", "batch_size": 5}),
    "lsgan": ("lsgan", {"arch": "28", "batch_size": 4}),
    "softmax_gan": ("softmax_gan", {"arch": "28", "batch_size": 5}),
    "hinge_gan": ("hinge_gan", {"arch": "mlp", "batch_size": 5}),
    "wgan": ("wgan", {"batch_size": 5, "critic_steps": 2}),
    "wgan_gp": ("wgan_gp", {"batch_size": 5, "critic_steps": 2}),
    "dragan": ("wgan_gp", {"batch_size": 5, "critic_steps": 2, "penalty": "dragan"}),
    "cgan": ("cgan", {"batch_size": 5}),
    "cgan projection": ("cgan", {"batch_size": 4, "condition": "projection"}),
    "ssgan": ("ssgan", {"batch_size": 5, "labels": 10}),
    "cyclegan": ("cyclegan", TINY_CYCLEGAN | {"identity": 0.5}),
    "cyclegan wgan-gp": ("cyclegan", TINY_CYCLEGAN | {"gan_loss": "wgan-gp"}),
    "cyclegan batch norm": ("cyclegan", TINY_CYCLEGAN | {"norm": "batch"}),
}


def trained(name: str, settings: dict[str, Any], steps: int = 4) -> tuple[dict[str, Any], list[float], bool]:
    """State and metrics after some steps, of which the last two are captured, and whether they are."""
    mg.manual_seed(3)
    kind = trainer_named(name)
    trainer = kind(kind.config_class(seed=3, backend="numpy", **settings), np.float64)
    rng, step = np.random.default_rng(0), mg.Captured(trainer.step)
    metrics: list[float] = []
    with np.errstate(all="ignore"):
        for _ in range(steps):
            batch = [mg.Tensor(rng.uniform(-1, 1, s) if len(s) > 1 else rng.integers(0, 10, s)) for s in trainer.batch_shapes]
            metrics += [value.item() for value in step(*batch).values()]
    return trainer.state_dict(), metrics, step.program is not None


found = {}
for case in sys.argv[1:] or CASES:
    state, metrics, captured = trained(*CASES[case])
    with parallel.alone():
        expected_state, expected_metrics, _ = trained(*CASES[case])
    differences = [np.abs(np.subtract(state[k], expected_state[k], dtype=float)).max(initial=0) for k in expected_state]
    found[case] = {
        "state": float(max(differences)),
        "metrics": float(np.abs(np.subtract(metrics, expected_metrics)).max()),
        "captured": captured,
    }
if ranks is None or ranks.rank == 0:
    print(json.dumps(found))
