"""The command `python -m gans.NAME`: read the flags, set up the trainer and its data, train, and report how it ended."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from gans import command
from gans.data.batches import Stream
from gans.data.errors import DataError
from gans.data.mnist import SYNTHETIC
from gans.training.config import ConfigError, RunConfig, check_saved, parse
from gans.training.evaluations import Evaluations
from gans.training.loop import Loop, TrainingError, total_steps
from gans.training.one_voice import one_voice
from gans.training.run_folder import RunFolder
from gans.training.tensorboard import EventFile
from gans.training.trainer import Trainer
from minigrad import nn, parallel
from minigrad.arrays import backend
from minigrad.io import files

USER_ERRORS = (ConfigError, DataError, TrainingError, mg.BackendError, mg.FileError)

FEW_STEPS = 500  # before, mnist_gan shows noise on MNIST; after 1,000 steps blobs, digits after 6,000; dcgan, digits after 500
ENOUGH_STEPS = 2000  # what the advice to a user with fewer leads to

MAY_CHANGE = {  # when a run is resumed
    "backend", "no_capture", "tf32", "data", "epochs", "decay_epochs", "steps", "out", "resume", "sample_every", "save_every",
    "keep_every", "checkpoint", "evaluate_every", "stop_when", "tensorboard", "dry_run", "parallel", "local_norm",
}  # fmt: skip


def main(trainer_class: type[Trainer], argv: Sequence[str] | None = None) -> None:
    """Train. `gans.command` has the exit codes."""
    prog = f"python -m gans.{trainer_class.name}"
    flags = sys.argv[1:] if argv is None else argv
    with one_voice("--parallel" in flags, "--local-norm" in flags), command.running(prog, USER_ERRORS):
        config, given = parse(trainer_class.config_class, prog, argv)
        if config.parallel:
            parallel.start(config.local_norm)  # again, for the sentence if there is no MPI
        folder = RunFolder(config.out or Path("runs", trainer_class.name))
        if number := _train(trainer_class, config, given, folder):
            print(f"Interrupted and saved. To resume: {_again(prog, config)} --out {shlex.quote(str(folder.path))} --resume")
            sys.exit(command.SIGNAL + number)


def _again(prog: str, config: RunConfig) -> str:
    """The start of a command that runs with as many processes as this one."""
    if (ranks := parallel.current()) is None:
        return prog
    return f"mpiexec -n {ranks.size} {prog} --parallel{' --local-norm' * config.local_norm}"


def _train(trainer_class: type[Trainer], config: RunConfig, given: set[str], folder: RunFolder) -> int:
    """Returns the number of the signal that interrupted the training, 0 if it was finished."""
    if config.resume and config.overwrite:
        raise ConfigError("--resume continues a run and --overwrite deletes it: give only one of them")
    if config.checkpoint and not config.resume:
        raise ConfigError("--checkpoint goes back to an earlier step of a run: give --resume too")
    ranks = parallel.current()
    if config.resume:
        config = parallel.from_first(lambda: _resumed(config, given, folder, trainer_class))
    elif not config.dry_run:
        parallel.on_first(lambda: folder.check_free(config.overwrite))
    if config.local_norm and not config.parallel:
        raise ConfigError("--local-norm is for training with --parallel")
    if config.stop_when and not config.evaluate_every:
        raise ConfigError("--stop-when needs --evaluate-every, which says how often to measure what should improve")
    config = dataclasses.replace(config, backend=backend.resolve(config.backend), data=_absolute(config.data))
    backend.allow_tf32(config.tf32)
    mg.manual_seed(config.seed)
    trainer = trainer_class(config)
    _check_batch_size(trainer)
    if ranks and trainer.config.batch_size < ranks.size:
        raise ConfigError(f"--batch-size {trainer.config.batch_size} cannot be shared among {ranks.size} processes")
    batches = parallel.first_then_others(trainer.load_batches)
    if ranks and not ranks.agree((trainer.backend, batches.digest, batches.label_digest)):
        raise ConfigError("the processes have different training data, or only some of them a GPU")
    settings = _settings(trainer, batches)
    _introduce(trainer, batches)
    if config.dry_run:
        _dry_run(trainer, batches)
        return 0
    loop = Loop(trainer, batches, None if ranks and ranks.rank else folder)
    with contextlib.ExitStack() as held:
        parallel.on_first(lambda: _begin(loop, folder, settings, held))
        if ranks:
            loop.like_first(ranks)
        if loop.finished:
            parallel.on_first(lambda: _conclude_again(loop, folder))
            return 0
        parallel.on_first(lambda: _continue(loop, folder))
        if number := loop.run():
            return number
        parallel.on_first(lambda: _report(trainer, folder))
    whole = trainer.config.epochs * batches.per_epoch
    done = "Done" if loop.step == whole else f"Done with the {loop.step:,} steps of --steps (--epochs has {whole:,})"
    if loop.plateau:
        done = f"Done at step {loop.step:,}: {loop.plateau}"
    if loop.evaluations and files.exists(folder.best):
        print(f"{folder.best} has the weights of the best evaluation, at step {loop.evaluations.best()[0]:,}")
    print(f"{done}: {folder.samples.name}, {folder.gif.name}, {folder.losses.name} and the weights are in {folder.path}")
    return 0


def _begin(loop: Loop, folder: RunFolder, settings: dict[str, Any], held: contextlib.ExitStack) -> None:
    """Lock the folder until `held` is closed, and start the run in it or load the one that is there."""
    config = loop.trainer.config
    if config.evaluate_every:
        loop.evaluations = Evaluations(loop.trainer.evaluator(loop.batches), folder, config.stop_when)
    folder.metrics.events = EventFile(folder.events) if config.tensorboard else None
    held.enter_context(folder.locked())
    command.current.folder = folder.path
    if config.resume:
        check_same_data(folder.settings(), settings["data"])
        loop.restore(config.checkpoint)
        if config.steps is not None and config.steps < loop.step:  # made before, with a larger --steps
            settings["config"]["steps"] = loop.step
        folder.save_settings(settings)
    else:
        folder.check_free(config.overwrite)  # again: another process may have started a run here meanwhile
        folder.start(settings)


def _continue(loop: Loop, folder: RunFolder) -> None:
    """Remove what describes an earlier end of the run."""
    if folder.metrics.events:
        folder.metrics.events.begin(loop.step)
    files.remove(folder.report)


def _conclude_again(loop: Loop, folder: RunFolder) -> None:
    """Write what a finished run lacks."""
    loop.conclude()
    if not files.exists(folder.report):  # the run was interrupted while making it
        _report(loop.trainer, folder)
    print(f"{folder.path} is finished, at step {loop.step}; to continue, give more {_limit(loop)}")


def _limit(loop: Loop) -> str:
    """The flag that ended a finished run."""
    config = loop.trainer.config
    if loop.plateau:
        return f"--stop-when than {config.stop_when}"
    return "--epochs" if config.steps is None or config.steps > loop.step else f"--steps than {loop.step}"


def _report(trainer: Trainer, folder: RunFolder) -> None:
    """Print and save the measured quality of the result, if it can be measured."""
    if text := trainer.report():
        folder.save_report(text)
        print(text)


def _resumed(config: RunConfig, given: set[str], folder: RunFolder, trainer_class: type[Trainer]) -> RunConfig:
    """The settings of the run in the folder, updated by the flags that may change."""
    settings = folder.settings()
    if settings["trainer"] != trainer_class.name:
        raise ConfigError(f"{folder.path} holds a run of gans.{settings['trainer']}, not of gans.{trainer_class.name}")
    saved = check_saved(trainer_class.config_class, settings["config"], folder.config)
    then = type(config)(**saved)  # a run of an older version has the defaults of newer flags
    for name in sorted(given - MAY_CHANGE):
        if getattr(config, name) != (value := getattr(then, name)):
            flag = "--" + name.replace("_", "-")
            before = f"without {flag}" if value is None or value is False else f"with {flag} {value}"
            raise ConfigError(f"the run in {folder.path} was started {before}; this cannot change when resuming")
    return dataclasses.replace(then, **{name: getattr(config, name) for name in given})


def _absolute(data: str | None) -> str | None:
    """The absolute path of a data folder, so that the run can be resumed from anywhere."""
    return data if data in (None, SYNTHETIC) else str(Path(data).absolute())


def _check_batch_size(trainer: Trainer) -> None:
    """ConfigError if a batch normalisation would get a batch of one image."""
    layers = [layer for network in trainer.networks().values() for layer in network.modules()]
    ranks = parallel.current()
    parts = ranks.size if ranks and ranks.local_statistics else 1
    if trainer.config.batch_size // parts < 2 and any(isinstance(layer, nn.BatchNorm1d) for layer in layers):
        raise ConfigError(
            f"--batch-size {trainer.config.batch_size} is too small: these networks have batch normalisation, "
            f"which needs at least 2 images{' in each process, with --local-norm' * (parts > 1)}"
        )


def _settings(trainer: Trainer, batches: Stream) -> dict[str, Any]:
    """The contents of config.json: enough to repeat the run and to load its generator."""
    left_out = {"out", "resume", "overwrite", "dry_run", "checkpoint", "parallel", "local_norm"}
    config = {name: value for name, value in dataclasses.asdict(trainer.config).items() if name not in left_out}
    return {
        "trainer": trainer.name,
        "config": config,
        "data": data_settings(batches),
        "samples": trainer.samples_are,
        "minigrad": mg.__version__,
    }


def data_settings(batches: Stream) -> dict[str, Any]:
    """The part of config.json that says what the run is trained on."""
    labels = {"labels": batches.label_digest} if batches.label_digest else {}
    return {"source": batches.source, "images": batches.count, "hash": batches.digest, **labels}


def check_same_data(settings: dict[str, Any], now: dict[str, Any]) -> None:
    """ConfigError unless a run has the images and labels it was started with. They may have moved."""
    then = settings["data"]
    if then["hash"] != now["hash"]:
        raise ConfigError(
            f"the run was started with {then['images']} other images, from {then['source']}, "
            f"not with these {now['images']} from {now['source']}; give their folder with --data"
        )
    if then.get("labels") != now.get("labels"):
        raise ConfigError(f"the run was started with other labels of the same images, from {then['source']}")


def _introduce(trainer: Trainer, batches: Stream) -> None:
    sizes = ", ".join(f"{name} {sum(p.size for p in net.parameters()):,}" for name, net in trainer.networks().items())
    print(f"{trainer.name} on {trainer.backend}: {batches.count:,} images ({batches.source}); parameters: {sizes}")
    steps, per_epoch = total_steps(trainer.config, batches.per_epoch), batches.per_epoch
    if steps < FEW_STEPS:
        few = f"{batches.count:,} images are {per_epoch:,} steps an epoch, {steps:,} in all"
        without = "" if trainer.config.steps is None else " without --steps"
        print(f"{few}: expect little more than noise; try --epochs {-(-ENOUGH_STEPS // per_epoch)}{without}")
    if trainer.backend == "numpy" and not backend.kernels_are_compiled():
        print("The first run compiles its kernels, which takes some seconds; later runs reuse them.", file=sys.stderr)


def _dry_run(trainer: Trainer, batches: Stream) -> None:
    for name, network in trainer.networks().items():
        print(f"{name}: {network}")
    with np.errstate(all="ignore"):
        metrics = Loop(trainer, batches, None).guarded_step()
    print("one step:", ", ".join(f"{name} {value.item():.3f}" for name, value in metrics.items()))
    print("No run was written.")
