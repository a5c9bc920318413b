"""The folder of a run: its files, and the lock that allows one process to write to it.

config.json               settings, data source and minigrad's version
metrics.csv               one row every few steps: the means over these steps
losses.png                the metrics as curves, with explanations
samples/epoch-0001.png    outputs for the same noise, or the same images, after each epoch
training.gif              the samples as an animation
report.md                 measured quality of the result at the end of training, if it can be measured
checkpoint.safetensors    everything that the next step depends on
generator.safetensors     the generator's weights only (CycleGAN: of both generators), under PyTorch's names
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
from gans.training.plots import Drawings, plot_curves
from minigrad.io.files import FileError, read, write_atomically
from minigrad.io.safetensors import load_with_metadata

T = TypeVar("T")

MOST_FRAMES, MOST_PIXELS = 60, 1000  # of training.gif, which is rewritten often: its frames, and the pixels of a side


class RunFolder:
    """Paths and files of one run. Creating the object does not touch the disk."""

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
        self.drawings = Drawings()

    def holds_run(self) -> bool:
        with _usable(self.path):
            return self.config.exists()

    def check_free(self, overwrite: bool) -> None:
        """ConfigError unless a new run may start here."""
        holds_run = self.holds_run()
        with _usable(self.path):
            taken = self.path.exists() and any(entry != self.lock for entry in self.path.iterdir())
        if taken and not holds_run:
            raise ConfigError(f"{self.path} contains other files than a run's: choose another folder with --out DIR")
        if holds_run and overwrite:
            self.settings()  # FileError if config.json was not written by this program
        elif holds_run:
            raise ConfigError(
                f"{self.path} already holds a run: continue it (--resume), choose another folder (--out DIR), "
                "or delete it and start a new one (--overwrite)"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing here. The system releases the lock even if this process is killed."""
        with _usable(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            file = self.lock.open("w")
        with file:
            if not _try_lock(file):
                raise ConfigError(f"another process is writing to {self.path}")
            yield

    def start(self, settings: Mapping[str, Any]) -> None:
        """Delete the files of an older run, and write config.json."""
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
                *self.path.glob("traceback-*.txt"),
            ]:
                file.unlink(missing_ok=True)
        self.save_settings(settings)
        with _usable(self.path):
            self.samples.mkdir(exist_ok=True)

    def save_settings(self, settings: Mapping[str, Any]) -> None:
        write_atomically(self.config, (json.dumps(settings, indent=2) + "\n").encode())

    def settings(self) -> dict[str, Any]:
        """The contents of config.json. ConfigError if there is no run here, FileError if the file is damaged."""
        if not self.holds_run():
            raise ConfigError(f"{self.path} holds no run (there is no {self.config.name})")
        try:
            settings = json.loads(read(self.config))
            if not isinstance(settings["trainer"], str) or not isinstance(settings["config"], dict):
                raise TypeError("it does not describe a run")
            return settings
        except (ValueError, KeyError, TypeError) as error:
            raise FileError(f"{self.config} is damaged ({type(error).__name__}: {error})") from error

    def save_checkpoint(self, arrays: Mapping[str, Any], step: int, weights: Mapping[str, Any]) -> None:
        """Write the weights, then the checkpoint: a crash in between leaves weights that are at least as new."""
        mg.save(self.generator, weights)
        mg.save(self.checkpoint, arrays, {"step": str(step)})

    def load_checkpoint(self) -> tuple[dict[str, np.ndarray], int]:
        """The arrays, and the number of steps done."""
        if not self.checkpoint.exists():
            raise ConfigError(f"{self.path} has no checkpoint to resume from; start a new run with --overwrite")
        arrays, metadata = load_with_metadata(self.checkpoint)
        step = metadata.get("step", "")
        if not step.isdecimal():
            raise FileError(f"{self.checkpoint} is damaged or another program's: its step is missing")
        return arrays, int(step)

    def save_report(self, text: str) -> None:
        write_atomically(self.report, text.encode())

    def sample_paths(self) -> list[Path]:
        return sorted(self.samples.glob("epoch-*.png"), key=lambda path: (len(path.name), path.name))

    def save_samples(self, epoch: int, sheet: np.ndarray) -> None:
        save_png(self.samples / f"epoch-{epoch:04d}.png", sheet)

    def save_overview(self, captions: Mapping[str, str]) -> None:
        """Write losses.png and training.gif from the metrics and samples so far."""
        with self.drawings.attempt(self.losses.name):
            steps, curves = self.metrics.read()
            if len(steps):
                plot_curves(self.losses, steps, curves, captions)
        frames = []
        for path in evenly(self.sample_paths(), MOST_FRAMES):
            with self.drawings.attempt(f"a frame of {self.gif.name}"):
                frames.append(read_png(path, MOST_PIXELS))
        with self.drawings.attempt(self.gif.name):
            if frames:
                save_gif(self.gif, frames)


def evenly(items: Sequence[T], most: int) -> list[T]:
    """All items if they are at most `most`, else `most` evenly spaced ones, including the first and the last."""
    if len(items) <= most:
        return list(items)
    return [items[i * (len(items) - 1) // (most - 1)] for i in range(most)]


@contextlib.contextmanager
def _usable(path: Path) -> Iterator[None]:
    """Turn an OSError into a FileError with a one-line message."""
    try:
        yield
    except OSError as error:
        raise FileError(f"cannot use the folder {path}: {error.strerror or error}") from error


def _try_lock(file: IO[str]) -> bool:
    """Lock an open file. Returns False if another process has locked it."""
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
