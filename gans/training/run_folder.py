"""The folder of a run: its files, and the lock that allows one process to write to it.

config.json               settings, data source and minigrad's version
metrics.csv               one row every few steps: the means over these steps
losses.png                the metrics as curves, with explanations
gradients.png             with --watch-gradients, the norm of each layer's gradient over time
samples/step-000469.png   outputs for the same noise, or the same images, after so many steps
samples/real.png          training images, to compare with; CycleGAN's samples contain some
training.gif              the samples as an animation
report.md                 measured quality of the result at the end of training, if it can be measured
checkpoint.safetensors    everything that the next step depends on
checkpoints/step-000469.safetensors
                          with --keep-every, earlier checkpoints, which stay
generator.safetensors     the weights of the networks in the trainer's `kept` only, under PyTorch's names: the generator,
                          CycleGAN's two, ...
best.safetensors          the same weights after the best evaluation so far, with --evaluate-every
tensorboard/              event files for TensorBoard, with --tensorboard
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import minigrad as mg
from gans.output import save_image
from gans.training.config import ConfigError, is_plain
from gans.training.images import read_png, save_gif
from gans.training.metrics import MetricsFile
from gans.training.plots import Drawings, plot_curves, plot_norms
from gans.training.tensorboard import NAME as EVENTS
from gans.training.watch import PREFIX
from minigrad.io import files
from minigrad.io.files import FileError, write_atomically
from minigrad.io.safetensors import LARGEST_COUNT, as_bytes, check_like, load_with_metadata

T = TypeVar("T")

MOST_SETTINGS = 1_000_000  # bytes of config.json
MOST_LISTED = 12  # numbered checkpoints in a message
MOST_FRAMES, MOST_PIXELS = 60, 1000  # of training.gif, which is rewritten often: its frames, and the pixels of a side


class RunFolder:
    """Paths and files of one run. Creating the object does not touch the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.metrics = MetricsFile(path / "metrics.csv")
        self.losses = path / "losses.png"
        self.gradients = path / "gradients.png"
        self.samples = path / "samples"
        self.real = self.samples / "real.png"
        self.gif = path / "training.gif"
        self.report = path / "report.md"
        self.checkpoint = path / "checkpoint.safetensors"
        self.checkpoints = path / "checkpoints"
        self.generator = path / "generator.safetensors"
        self.best = path / "best.safetensors"
        self.events = path / "tensorboard"
        self.lock = path / ".lock"
        self.drawings = Drawings()

    def holds_run(self) -> bool:
        return files.exists(self.config)

    def check_free(self, overwrite: bool) -> None:
        """ConfigError unless a new run may start here."""
        others = set(files.entries(self.path, follow=True)) - {self.lock, *self._unfinished(), *self._tracebacks()}
        if self.config not in others:
            if others:
                raise ConfigError(f"{self.path} contains other files than a run's: choose another folder with --out DIR")
        elif overwrite:
            self.settings()  # FileError if config.json was not written by this program
        else:
            raise ConfigError(
                f"{self.path} already holds a run: continue it (--resume), choose another folder (--out DIR), "
                "or delete it and start a new one (--overwrite)"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing here, and delete the unfinished files that a killed one left."""
        files.make_folder(self.path, follow=True)
        with files.explained(f"cannot use {self.lock}"):
            file = files.opened(self.lock, "ab")
        with file:
            try:
                files.lock(file)
            except OSError as error:
                if error.errno in files.HELD:
                    raise ConfigError(f"another process is writing to {self.path}") from error
                if error.errno not in files.NO_LOCKS:
                    raise FileError(f"cannot lock {self.lock}: {error.strerror or error}") from error
                print(f"{self.path} has a file system without locks: start only one process there", file=sys.stderr)
            for unfinished in self._unfinished():
                files.remove(unfinished)
            yield

    def _unfinished(self) -> list[Path]:
        """The files that a killed process was writing."""
        pattern = files.UNFINISHED
        inside = (path for folder in (self.samples, self.checkpoints) for path in files.entries(folder, pattern))
        return [*files.entries(self.path, pattern, follow=True), *inside]

    def _tracebacks(self) -> list[Path]:
        """The files in which `gans.command` reports a bug."""
        return files.entries(self.path, "traceback-*.txt", follow=True)

    def _evaluation(self) -> list[Path]:
        """What `gans.evaluate` says about the run."""
        return [self.path / f"evaluation{name}" for name in (".md", ".json", ".png", "/neighbours.png")]

    def start(self, settings: Mapping[str, Any]) -> None:
        """Delete the files of an older run, and write config.json."""
        files.make_folder(self.path, follow=True)
        others = *self.sample_paths(), *self._tracebacks(), *self._evaluation(), *files.entries(self.events, f"{EVENTS}*")
        weights = self.checkpoint, self.generator, self.best, *_numbered(self.checkpoints, ".safetensors").values()
        for file in (*weights, self.metrics.path, self.losses, self.gradients, self.real, self.gif, self.report, *others):
            files.remove(file)
        self.save_settings(settings)

    def save_settings(self, settings: Mapping[str, Any]) -> None:
        write_atomically(self.config, (json.dumps(settings, indent=2) + "\n").encode())
        files.make_folder(self.samples)

    def settings(self) -> dict[str, Any]:
        """The contents of config.json. ConfigError if there is no run here, FileError if the file is damaged."""
        if not self.holds_run():
            raise ConfigError(f"{self.path} holds no run (there is no {self.config.name})")
        try:
            settings = json.loads(files.read(self.config, MOST_SETTINGS))
            _check(settings, {"trainer": str, "config": dict, "data": dict, "samples": str, "minigrad": str})
            _check(settings["data"], {"source": str, "images": int, "hash": str})
        except (ValueError, TypeError, RecursionError) as error:
            raise FileError(f"{self.config} is damaged or another program's ({str(error)[:200]})") from error
        return settings

    def save_checkpoint(self, arrays: Mapping[str, Any], step: int, weights: Mapping[str, Any]) -> None:
        """Write the weights, then the checkpoint: a crash in between leaves weights that are at least as new."""
        mg.save(self.generator, weights)
        mg.save(self.checkpoint, arrays, {"step": str(step)})

    def keep_checkpoint(self, arrays: Mapping[str, Any], step: int) -> None:
        """Write the numbered checkpoint of a step. One that exists stays: a resumed run passes its step again."""
        path, content = self.checkpoint_path(step), as_bytes(arrays, {"step": str(step)})
        files.make_folder(self.checkpoints)
        if not files.exists(path):
            write_atomically(path, content)
        elif files.read(path) != content:
            print(f"{path} stays as it is, but this run has come to other weights at this step", file=sys.stderr)

    def checkpoint_path(self, step: int | None = None) -> Path:
        """The last checkpoint, or the numbered one of a step."""
        return self.checkpoint if step is None else self.checkpoints / f"step-{step:06d}.safetensors"

    def load_checkpoint(self, like: Mapping[str, Any], kept: int | None = None) -> tuple[dict[str, np.ndarray], int]:
        """The arrays of the last checkpoint, or of the numbered one of step `kept`, and the number of steps done.

        `like` has arrays of the same total size. ConfigError if there is no such checkpoint, FileError if it is damaged.
        """
        path = self.checkpoint_path(kept)
        if not files.exists(path):
            raise ConfigError(self._no_checkpoint(kept))
        try:
            arrays, metadata = load_with_metadata(path, _most_bytes(like))
            step = _step(path, metadata)
        except FileError as error:
            raise FileError(f"{error}{self._way_back() if kept is None else ''}") from error
        if kept not in (None, step):
            raise FileError(f"{path} is a checkpoint of step {step}, not of the step in its name")
        return arrays, step

    def _no_checkpoint(self, kept: int | None) -> str:
        if kept is None:
            way = self._way_back() or "; start a new run with --overwrite"
            return f"{self.path} has no checkpoint to resume from{way}"
        steps = [str(step) for step in sorted(_numbered(self.checkpoints, ".safetensors"))]
        if not steps:
            return f"{self.path} has no numbered checkpoints; a run with --keep-every writes them"
        those = ", ".join(steps if len(steps) <= MOST_LISTED else [*steps[: MOST_LISTED - 1], "...", steps[-1]])
        return f"{self.path} has no numbered checkpoint of step {kept}, only of {those}"

    def _way_back(self) -> str:
        """What to do without the last checkpoint if there are numbered ones."""
        steps = _numbered(self.checkpoints, ".safetensors")
        return f"; go back to a numbered checkpoint, such as --checkpoint {max(steps)}" if steps else ""

    def load_state(self, like: Mapping[str, Any], kept: int) -> dict[str, np.ndarray]:
        """The arrays with the names of `like` from the numbered checkpoint of step `kept`. FileError if their form differs."""
        arrays, _ = self.load_checkpoint(like, kept)
        state = {name: a for name, a in arrays.items() if name in like}
        check_like(self.checkpoint_path(kept), state, like)
        return state

    def save_best(self, weights: Mapping[str, Any], step: int) -> None:
        mg.save(self.best, weights, {"step": str(step)})

    def cut_best(self, step: int) -> None:
        """Delete the weights of the best evaluation if it comes after a step."""
        if files.exists(self.best) and _step(self.best, load_with_metadata(self.best)[1]) > step:
            files.remove(self.best)

    def load_weights(self, like: Mapping[str, Any], best: bool = False) -> dict[str, np.ndarray]:
        """The generator's last weights, or its best. ConfigError without any, FileError unless they have the form of `like`."""
        path, when = (
            (self.best, "evaluation that is the best so far (--evaluate-every)") if best else (self.generator, "checkpoint")
        )
        if not files.exists(path):
            raise ConfigError(f"{self.path} has no {path.name} yet; it is written with the next {when}")
        weights, _ = load_with_metadata(path, _most_bytes(like))
        check_like(path, weights, like)
        return weights

    def save_report(self, text: str) -> None:
        write_atomically(self.report, text.encode())

    def sample_path(self, step: int) -> Path:
        return self.samples / f"step-{step:06d}.png"

    def sample_paths(self) -> list[Path]:
        """The sample grids, from the first to the last."""
        return [path for _, path in sorted(_numbered(self.samples, ".png").items())]

    def save_samples(self, step: int, sheet: np.ndarray) -> None:
        save_image(self.sample_path(step), sheet)

    def save_real(self, sheet: np.ndarray) -> None:
        save_image(self.real, sheet)

    def cut_samples(self, step: int) -> None:
        """Delete the sample grids after a step, which a resumed run will write again."""
        for number, path in _numbered(self.samples, ".png").items():
            if number > step:
                files.remove(path)

    def save_overview(self, captions: Mapping[str, str]) -> None:
        """Write losses.png and training.gif from the metrics and samples so far."""
        with self.drawings.attempt(self.losses.name):
            steps, curves = self.metrics.read()
            norms = {name: curves.pop(name) for name in list(curves) if name.startswith(PREFIX)}
            if len(steps):
                plot_curves(self.losses, steps, curves, captions)
            if len(steps) and norms:
                plot_norms(self.gradients, steps, {name.removeprefix(PREFIX): norms[name] for name in norms})
        frames = []
        for path in evenly(self.sample_paths(), MOST_FRAMES):
            with self.drawings.attempt(f"a frame of {self.gif.name}"):
                frames.append(read_png(path, MOST_PIXELS))
        with self.drawings.attempt(self.gif.name):
            if frames:
                save_gif(self.gif, [frame for frame in frames if frame.shape == frames[-1].shape])


def evenly(items: Sequence[T], most: int) -> list[T]:
    """All items if they are at most `most`, else `most` evenly spaced ones, including the first and the last."""
    if len(items) <= most:
        return list(items)
    return [items[i * (len(items) - 1) // (most - 1)] for i in range(most)]


def _numbered(folder: Path, suffix: str) -> dict[int, Path]:
    """The files of a folder that have a step in their name, by this step."""
    paths = {path.stem.removeprefix("step-"): path for path in files.entries(folder, f"step-*{suffix}")}
    return {int(number): path for number, path in paths.items() if number.isdecimal() and len(number) < 20}


def _step(path: Path, metadata: Mapping[str, str]) -> int:
    """The step in the metadata of a file. FileError if it has none."""
    step = metadata.get("step", "")
    if not (step.isascii() and step.isdecimal() and len(step) < 20 and int(step) <= LARGEST_COUNT):
        raise FileError(f"{path} is damaged or another program's: its step is missing or out of range")
    return int(step)


def _check(found: Any, schema: Mapping[str, type]) -> None:
    """TypeError unless `found` is a dict with values of these types, and strings that can be printed."""
    for name, kind in schema.items():
        value = found.get(name) if isinstance(found, dict) else None
        if type(value) is not kind or (isinstance(value, str) and not is_plain(value)):
            raise TypeError(f"{name} is missing or not a valid {kind.__name__}")


def _most_bytes(arrays: Mapping[str, Any]) -> int:
    """A bound on the size of a file with these arrays and some numbers; each takes some 100 bytes of the header."""
    return 1_000_000 + sum(a.nbytes + 1000 for a in arrays.values())
