"""The folder of a run: what is in it, who may write to it, and how a run is found again in it.

config.json               settings, data source and versions
metrics.csv               one row every few steps: the means since the row before
losses.png                the curves, with what they mean
samples/epoch-0001.png    a grid from the same noise each time
training.gif              these grids, one after another
checkpoint.safetensors    all that the next step depends on
generator.safetensors     the generator's weights alone, under PyTorch's names
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

import minigrad as mg
from gans.training.config import ConfigError
from gans.training.images import read_png, save_gif, save_png
from gans.training.plots import plot_curves
from minigrad.serialize import FileError, load_metadata, write_atomically


class RunFolder:
    """Paths and files of one run. Nothing is touched until `start` or one of the writers is called."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.metrics = path / "metrics.csv"
        self.losses = path / "losses.png"
        self.samples = path / "samples"
        self.gif = path / "training.gif"
        self.checkpoint = path / "checkpoint.safetensors"
        self.generator = path / "generator.safetensors"
        self.lock = path / "run.lock"

    def holds_run(self) -> bool:
        return self.config.exists()

    def check_free(self, overwrite: bool) -> None:
        """ConfigError unless a new run may start here."""
        if self.holds_run() and not overwrite:
            raise ConfigError(
                f"{self.path} already holds a run: go on with it (--resume), choose another folder (--out DIR), "
                "or start anew and delete it (--overwrite)"
            )
        with _readable(self.path):
            if self.path.exists() and not self.holds_run() and any(self.path.iterdir()):
                raise ConfigError(f"{self.path} is neither empty nor a run's folder: choose another one with --out DIR")

    def start(self, settings: Mapping[str, Any]) -> None:
        """Make the folder, clear away the files of an older run, and write config.json."""
        with _readable(self.path):
            self.samples.mkdir(parents=True, exist_ok=True)
            files = [self.checkpoint, self.generator, self.metrics, self.losses, self.gif, *self.sample_paths()]
            for file in files:
                file.unlink(missing_ok=True)
        write_atomically(self.config, (json.dumps(settings, indent=2) + "\n").encode())

    def settings(self) -> dict[str, Any]:
        """What config.json holds. ConfigError if there is no run here, FileError if the file is damaged."""
        if not self.holds_run():
            raise ConfigError(f"{self.path} holds no run (there is no {self.config.name})")
        try:
            settings = json.loads(self.config.read_text())
            assert isinstance(settings["trainer"], str)
            return settings
        except (ValueError, KeyError, TypeError, AssertionError, OSError) as error:
            raise FileError(f"{self.config} is damaged ({type(error).__name__}: {error})") from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from writing here; the system lets go of the lock however this one ends."""
        with _readable(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            file = self.lock.open("w")
        with file:
            if not _try_lock(file):
                raise ConfigError(f"{self.path} is being written by another process right now")
            try:
                yield
            finally:
                self.lock.unlink(missing_ok=True)

    def save_checkpoint(self, arrays: Mapping[str, Any], step: int, generator: Mapping[str, Any]) -> None:
        mg.save(self.checkpoint, arrays, {"step": str(step)})
        mg.save(self.generator, generator)

    def load_checkpoint(self) -> tuple[dict[str, np.ndarray], int]:
        """The arrays, and how many steps had been made."""
        if not self.checkpoint.exists():
            raise ConfigError(f"{self.path} has no checkpoint to go on from; start anew with --overwrite")
        arrays = mg.load(self.checkpoint)
        try:
            return arrays, int(load_metadata(self.checkpoint)["step"])
        except (KeyError, ValueError) as error:
            raise FileError(f"{self.checkpoint} is damaged or of another program: it does not tell its step") from error

    def sample_paths(self) -> list[Path]:
        return sorted(self.samples.glob("epoch-*.png"))

    def save_samples(self, epoch: int, sheet: np.ndarray) -> None:
        save_png(self.samples / f"epoch-{epoch:04d}.png", sheet)

    def save_overview(self, captions: Mapping[str, str]) -> None:
        """losses.png and training.gif, from what has been written so far."""
        steps, curves = self.read_metrics()
        if len(steps) > 1:
            plot_curves(self.losses, steps, curves, captions)
        if paths := self.sample_paths():
            save_gif(self.gif, [read_png(path) for path in paths])

    def append_metrics(self, step: int, values: Mapping[str, float]) -> None:
        """One row: the means of the metrics over the steps since the row before."""
        row = [str(step), *(f"{value:.6g}" for value in values.values())]
        try:
            with self.metrics.open("a", newline="") as file:
                writer = csv.writer(file)
                if file.tell() == 0:
                    writer.writerow(["step", *values])
                writer.writerow(row)
        except OSError as error:
            raise FileError(f"cannot write {self.metrics}: {error.strerror or error}") from error

    def read_metrics(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Steps and curves; a last line cut short by a crash is left out."""
        rows = self._metric_rows()
        table = np.array([[float(value) for value in row] for row in rows[1:]]).reshape(len(rows) - 1 if rows else 0, -1)
        names = rows[0][1:] if rows else []
        steps = table[:, 0] if table.size else np.zeros(0)
        return steps, {name: table[:, 1 + i] for i, name in enumerate(names) if table.size}

    def cut_metrics(self, step: int) -> None:
        """Forget rows beyond `step`: a run that resumes there makes them again."""
        rows = self._metric_rows()
        if rows:
            buffer = io.StringIO(newline="")
            csv.writer(buffer).writerows([rows[0], *(row for row in rows[1:] if int(row[0]) <= step)])
            write_atomically(self.metrics, buffer.getvalue().encode())

    def _metric_rows(self) -> list[Sequence[str]]:
        if not self.metrics.exists():
            return []
        with self.metrics.open(newline="") as file:
            rows = list(csv.reader(file))
        return [row for row in rows if len(row) == len(rows[0])]


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
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
