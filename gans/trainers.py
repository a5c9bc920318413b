"""The algorithms by name, and the trainer of a run found again from its folder."""

from __future__ import annotations

import importlib
from pathlib import Path

import minigrad as mg
from gans.training.config import ConfigError, check_saved
from gans.training.run_folder import RunFolder
from gans.training.trainer import Trainer

TRAINERS = {
    "mnist_gan": "MnistGAN",
    "dcgan": "DCGAN",
    "lsgan": "LSGAN",
    "wgan": "WGAN",
    "wgan_gp": "WGANGP",
    "cyclegan": "CycleGAN",
}  # module in gans -> its class


def trainer_named(name: str) -> type[Trainer]:
    """The class of an algorithm."""
    trainer_class: type[Trainer] = getattr(importlib.import_module(f"gans.{name}"), TRAINERS[name])
    return trainer_class


def load_run(path: Path, backend_name: str) -> Trainer:
    """The trainer of a run, with the last saved weights of what it has learned.

    ConfigError if there is no such run or no weights yet, FileError if its files are damaged or another network's.
    """
    folder = RunFolder(path)
    settings = folder.settings()
    name = settings["trainer"]
    if name not in TRAINERS:
        raise ConfigError(f"{path} is a run of {name!r}, which this program does not know")
    trainer_class = trainer_named(name)
    saved = check_saved(trainer_class.config_class, settings["config"])
    trainer = trainer_class(trainer_class.config_class(**{**saved, "backend": backend_name}))
    if not folder.generator.exists():
        raise ConfigError(f"{path} has no {folder.generator.name} yet; it appears with the first checkpoint")
    try:
        trainer.load_weights(mg.load(folder.generator))
    except (ValueError, TypeError) as error:
        raise mg.FileError(f"{folder.generator} does not fit this program: {error}") from error
    return trainer
