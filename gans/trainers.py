"""The list of trainers, and the way from a name or a run folder to a trainer."""

from __future__ import annotations

import importlib
from pathlib import Path

from gans.training.config import ConfigError, check_saved
from gans.training.run_folder import RunFolder
from gans.training.trainer import Trainer

TRAINERS = (  # modules of gans
    "mnist_gan", "dcgan", "lsgan", "softmax_gan", "hinge_gan", "r3gan", "wgan", "wgan_gp",
    "cgan", "infogan", "bigan", "ssgan", "cyclegan",
)  # fmt: skip


def trainer_named(name: str) -> type[Trainer]:
    """The trainer class in the module of this name: the one that says `name = "..."`."""
    for value in vars(importlib.import_module(f"gans.{name}")).values():
        if isinstance(value, type) and issubclass(value, Trainer) and vars(value).get("name") == name:
            return value
    raise LookupError(f'gans.{name} has no trainer class with name = "{name}"')


def load_run(path: Path, backend_name: str, best: bool = False, kept: int | None = None) -> Trainer:
    """The trainer of a run, with the weights that the run saved last, or those of its best evaluation, or of step `kept`.

    ConfigError if there is no run or it has no weights yet, FileError if its files are damaged or
    do not fit.
    """
    folder = RunFolder(path)
    settings = folder.settings()
    name = settings["trainer"]
    if name not in TRAINERS:
        raise ConfigError(f"{path} is a run of {name!r}, which is not a trainer of this version")
    trainer_class = trainer_named(name)
    saved = check_saved(trainer_class.config_class, settings["config"], folder.config)
    trainer = trainer_class(trainer_class.config_class(**{**saved, "backend": backend_name}))
    if kept is None:
        trainer.load_weights(folder.load_weights(trainer.weights(), best))
    else:
        trainer.load_state_dict(folder.load_state(trainer.state_dict(), kept))
    return trainer
