"""The folder of a run: what is in it, who may write to it, and how a run is found again in it.

config.json               settings, data source and minigrad's version
metrics.csv               one row every few steps: the means since the row before
losses.png                the curves, with what they mean
samples/epoch-0001.png    what the networks make of the same noise, or the same pictures, each time
training.gif              these pictures, one after another
report.md                 how good the result is, where that can be measured, when training is over
checkpoint.safetensors    all that the next step depends on
generator.safetensors     the generator's weights alone (CycleGAN: both generators'), under PyTorch's names
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

import minigrad as mg
from gans.training.config import ConfigError
from gans.training.images import read_png, save_gif, save_png
from gans.training.metrics import MetricsFile
from gans.training.plots import plot_curves
from minigrad.io.files import FileError, read, write_atomically
from minigrad.io.safetensors import load_with_metadata

T = TypeVar("T")

MOST_FRAMES, MOST_PIXELS = 60, 1000  # of training.gif, which is made anew time and again, and the pixels of a side


class RunFolder:
    """Paths and files of one run. Nothing is touched until `locked`, `start` or one of the writers is called."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.metrics = MetricsFile(path / "metrics.csv")
        self.losses = path / "losses.png"
        self.samples = path / "samples"
        self.gif = path / "training.gif"
        self.report = path / "report.md"
        self.checkpoint = path / "checkpoint.safetensors"
        self.generator = path / "generator.safetensors"
        self.lock = path / ".lock"

    def holds_run(self) -> bool:
        with _usable(self.path):
            return self.config.exists()

    def check_free(self, overwrite: bool) -> None:
        """ConfigError unless a new run may start here."""
        holds_run = self.holds_run()
        with _usable(self.path):
            taken = self.path.exists() and any(entry != self.lock for entry in self.path.iterdir())
        if taken and not holds_run:
            raise ConfigError(f"{self.path} is neither empty nor a run's folder: choose another one with --out DIR")
        if holds_run and overwrite:
            self.settings()  # FileError if config.json is another program's
        elif holds_run:
            raise ConfigError(
                f"{self.path} already holds a run: go on with it (--resume), choose another folder (--out DIR), "
                "or start anew and delete it (--overwrite)"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from writing here; the system lets go of the lock however this one ends."""
        with _usable(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            file = self.lock.open("w")
        with file:
            if not _try_lock(file):
                raise ConfigError(f"{self.path} is being written by another process right now")
            yield

    def start(self, settings: Mapping[str, Any]) -> None:
        """Clear away the files of an older run, and write config.json."""
        with _usable(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            for file in [
                self.checkpoint,
                self.generator,
                self.metrics.path,
                self.losses,
                self.gif,
                self.report,
                *self.sample_paths(),
            ]:
                file.unlink(missing_ok=True)
        self.save_settings(settings)
        with _usable(self.path):
            self.samples.mkdir(exist_ok=True)

    def save_settings(self, settings: Mapping[str, Any]) -> None:
        write_atomically(self.config, (json.dumps(settings, indent=2) + "\n").encode())

    def settings(self) -> dict[str, Any]:
        """What config.json holds. ConfigError if there is no run here, FileError if the file is damaged."""
        if not self.holds_run():
            raise ConfigError(f"{self.path} holds no run (there is no {self.config.name})")
        try:
            settings = json.loads(read(self.config))
            if not isinstance(settings["trainer"], str) or not isinstance(settings["config"], dict):
                raise TypeError("it is not a run's")
            return settings
        except (ValueError, KeyError, TypeError) as error:
            raise FileError(f"{self.config} is damaged ({type(error).__name__}: {error})") from error

    def save_checkpoint(self, arrays: Mapping[str, Any], step: int, weights: Mapping[str, Any]) -> None:
        """The weights first: whoever finds a checkpoint finds weights at least as new beside it."""
        mg.save(self.generator, weights)
        mg.save(self.checkpoint, arrays, {"step": str(step)})

    def load_checkpoint(self) -> tuple[dict[str, np.ndarray], int]:
        """The arrays, and how many steps had been made."""
        if not self.checkpoint.exists():
            raise ConfigError(f"{self.path} has no checkpoint to go on from; start anew with --overwrite")
        arrays, metadata = load_with_metadata(self.checkpoint)
        step = metadata.get("step", "")
        if not step.isdecimal():
            raise FileError(f"{self.checkpoint} is damaged or another program's: it does not tell its step")
        return arrays, int(step)

    def save_report(self, text: str) -> None:
        write_atomically(self.report, text.encode())

    def sample_paths(self) -> list[Path]:
        return sorted(self.samples.glob("epoch-*.png"), key=lambda path: (len(path.name), path.name))

    def save_samples(self, epoch: int, sheet: np.ndarray) -> None:
        save_png(self.samples / f"epoch-{epoch:04d}.png", sheet)

    def save_overview(self, captions: Mapping[str, str]) -> None:
        """losses.png and training.gif, from what has been written so far."""
        steps, curves = self.metrics.read()
        if len(steps):
            plot_curves(self.losses, steps, curves, captions)
        frames = []
        for path in evenly(self.sample_paths(), MOST_FRAMES):
            with contextlib.suppress(FileError):  # a picture that has been damaged since is no reason to stop training
                frames.append(read_png(path, MOST_PIXELS))
        if frames:
            save_gif(self.gif, frames)


def evenly(items: Sequence[T], most: int) -> list[T]:
    """All of them, or `most`, at even distances, with the first and the last one."""
    if len(items) <= most:
        return list(items)
    return [items[i * (len(items) - 1) // (most - 1)] for i in range(most)]


@contextlib.contextmanager
def _usable(path: Path) -> Iterator[None]:
    """Turn the system's refusals into sentences."""
    try:
        yield
    except OSError as error:
        raise FileError(f"cannot use the folder {path}: {error.strerror or error}") from error


def _try_lock(file: IO[str]) -> bool:
    """Take the system's lock on an open file; False if another process holds it."""
    try:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True
