"""What `python -m gans.NAME` does: read the command line, set everything up, train, and end with a clear word."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import minigrad as mg
from gans.data.batches import Batches
from gans.data.errors import DataError
from gans.training.config import ConfigError, RunConfig, parse
from gans.training.loop import Loop, TrainingError, restore
from gans.training.run_folder import RunFolder
from gans.training.trainer import Trainer
from minigrad import backend

USER_ERRORS = (ConfigError, DataError, TrainingError, mg.BackendError, mg.FileError)

MAY_CHANGE = {"backend", "data", "epochs", "steps", "out", "resume", "sample_every", "dry_run"}  # when a run is resumed


def main(trainer_class: type[Trainer], argv: Sequence[str] | None = None) -> None:
    """Train; exits with 1 and one sentence on errors the user can mend, with 130 if interrupted."""
    prog = f"python -m gans.{trainer_class.name}"
    config, given = parse(trainer_class.config_class, prog, argv)
    folder = RunFolder(config.out or Path("runs", trainer_class.name))
    try:
        finished = _train(trainer_class, config, given, folder)
    except USER_ERRORS as error:
        sys.exit(f"{prog}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    if not finished:
        print(f"Interrupted and saved. To go on: {prog} --out {folder.path} --resume")
        sys.exit(130)


def _train(trainer_class: type[Trainer], config: RunConfig, given: set[str], folder: RunFolder) -> bool:
    if config.resume:
        config = _resumed(config, given, folder, trainer_class)
    else:
        folder.check_free(config.overwrite)
    config = dataclasses.replace(config, backend=backend.resolve(config.backend))
    mg.manual_seed(config.seed)
    trainer = trainer_class(config)
    images, source = trainer.load_images()
    batches = Batches(images, config.batch_size, config.seed, config.backend)
    _introduce(trainer, source, len(images))
    if config.dry_run:
        return _dry_run(trainer, batches)
    with folder.locked():
        if config.resume:
            loop = Loop(trainer, batches, folder, restore(trainer, folder))
            folder.cut_metrics(loop.step)
        else:
            folder.start(_settings(trainer, source))
            loop = Loop(trainer, batches, folder)
        if loop.step >= loop.last_step:
            print(f"{folder.path} is finished, at step {loop.step}; more --epochs go on from there")
            return True
        finished = loop.run()
    if finished:
        print(f"Done: {folder.samples}, {folder.gif.name}, {folder.losses.name} and the weights are in {folder.path}")
    return finished


def _resumed(config: RunConfig, given: set[str], folder: RunFolder, trainer_class: type[Trainer]) -> RunConfig:
    """The settings of the run in the folder, with what may change taken from the command line."""
    settings = folder.settings()
    if settings["trainer"] != trainer_class.name:
        raise ConfigError(f"{folder.path} holds a run of gans.{settings['trainer']}, not of gans.{trainer_class.name}")
    known = {field.name for field in dataclasses.fields(config)}
    saved = {key: value for key, value in settings["config"].items() if key in known}
    for name in sorted(given - MAY_CHANGE):
        if getattr(config, name) != saved.get(name):
            flag = name.replace("_", "-")
            raise ConfigError(f"the run in {folder.path} was started with --{flag} {saved.get(name)}; it cannot change now")
    return type(config)(**{**saved, **{name: getattr(config, name) for name in given}})


def _settings(trainer: Trainer, source: str) -> dict[str, Any]:
    """What config.json says: enough to repeat the run, and to find its generator again."""
    left_out = {"out", "resume", "overwrite", "dry_run"}
    config = {name: value for name, value in dataclasses.asdict(trainer.config).items() if name not in left_out}
    return {
        "trainer": trainer.name,
        "config": config,
        "data_source": source,
        "samples": "fixed noise, generator in evaluation mode",
        "minigrad": mg.__version__,
    }


def _introduce(trainer: Trainer, source: str, count: int) -> None:
    sizes = ", ".join(f"{name} {sum(p.size for p in net.parameters()):,}" for name, net in trainer.networks().items())
    print(f"{trainer.name} on {trainer.backend}: {count:,} images from {source}; parameters: {sizes}")
    if trainer.backend == "numpy":
        print("The first run compiles its kernels, which takes some seconds; they are kept for the next.", file=sys.stderr)


def _dry_run(trainer: Trainer, batches: Batches) -> bool:
    for name, network in trainer.networks().items():
        print(f"{name}: {network}")
    metrics = trainer.step(batches[0])
    print("one step:", ", ".join(f"{name} {value.item():.3f}" for name, value in metrics.items()))
    print("Nothing was written.")
    return True
