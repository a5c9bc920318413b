"""The training loop: batches in, steps made, and everything worth keeping written to the run folder."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import minigrad as mg
from gans.data.batches import Batches
from gans.training.images import grid
from gans.training.run_folder import RunFolder
from gans.training.trainer import Metrics, Trainer
from minigrad import random
from minigrad.optim import BadGradient

ROW_EVERY = 10  # steps between two rows of metrics.csv
SAMPLES = 64  # images in a grid
OVERVIEW_SECONDS = 60  # losses.png and training.gif are drawn anew no more often than this


class TrainingError(Exception):
    """Training cannot go on; the message is one sentence that says at which step and why."""


class Loop:
    """Trains from `first_step` until the config's epochs or steps are over, or it is interrupted.

    Parameters
    ----------
    trainer : the algorithm
    batches : the data
    folder : where everything goes, or None to write nothing
    first_step : how many steps have been made before
    """

    def __init__(self, trainer: Trainer, batches: Batches, folder: RunFolder | None, first_step: int = 0) -> None:
        self.trainer, self.batches, self.folder = trainer, batches, folder
        self.step = first_step
        self.saved_step = first_step
        self.last_step = total_steps(trainer.config, batches.per_epoch)
        self.pending: list[Metrics] = []
        self.overview_drawn = time.monotonic()

    def run(self) -> bool:
        """Train. Whether the end was reached; if not, the user interrupted, and a checkpoint tells where."""
        self.sample_if_new(0)
        with progress_bar(self) as bar, stop_request() as stop, np.errstate(all="ignore"):
            while self.step < self.last_step and not stop.is_set():
                self.pending.append(self.guarded_step())
                self.step += 1
                if self.step % ROW_EVERY == 0 or self.step == self.last_step:
                    bar.set_postfix(self.write_row(), refresh=False)
                bar.update(self.batches.batch_size)
                if self.step % self.batches.per_epoch == 0:
                    self.end_epoch(self.step // self.batches.per_epoch)
                    bar.set_description(self.title())
        self.write_row()
        self.save()
        self.draw_overview()
        return self.step == self.last_step

    def guarded_step(self) -> Metrics:
        """One step; one that meets a NaN or an infinity is repeated to find the op that made it, and ends the run."""
        before = random.default_generator.counter
        real = self.batches[self.step]
        try:
            return self.trainer.step(real)
        except FloatingPointError as error:
            random.default_generator.counter = before
            raise TrainingError(self.diagnosis(real, error)) from error

    def diagnosis(self, real: mg.Tensor, symptom: FloatingPointError) -> str:
        """What went wrong, in one sentence: by the first op that gave a bad value if the step shows it again."""
        cause = str(symptom)
        if isinstance(symptom, BadGradient):
            cause = f"the gradient of {self.trainer.parameter_name(symptom.parameter)} is not finite"
        try:
            with mg.detect_anomaly():
                self.trainer.step(real)
        except BadGradient:
            pass
        except FloatingPointError as error:
            cause = str(error)
        kept = f"; the checkpoint of step {self.saved_step} is kept" if self.folder and self.saved_step else ""
        return f"step {self.step + 1}: {cause}{kept}. A lower --lr is the usual cure"

    def write_row(self) -> dict[str, str]:
        """Write the means of the metrics since the last row, and return them for the progress bar."""
        if not self.pending:
            return {}
        means = {name: float(np.mean([row[name].item() for row in self.pending])) for name in self.pending[0]}
        self.pending = []
        for name, value in means.items():
            if not math.isfinite(value):
                raise TrainingError(self.diagnosis(self.batches[self.step - 1], FloatingPointError(f"{name} is {value}")))
        if self.folder:
            self.folder.append_metrics(self.step, means)
        return {name: f"{value:.3f}" for name, value in means.items()}

    def end_epoch(self, epoch: int) -> None:
        if epoch % self.trainer.config.sample_every == 0 or self.step == self.last_step:
            self.sample_if_new(epoch)
        self.save()
        if time.monotonic() - self.overview_drawn > OVERVIEW_SECONDS:
            self.draw_overview()

    def sample_if_new(self, epoch: int) -> None:
        """Write the grid of an epoch, from the noise that depends on nothing but the seed."""
        if self.folder and self.step == epoch * self.batches.per_epoch:
            latent = self.trainer.fixed_noise(SAMPLES, self.trainer.config.seed)
            self.folder.save_samples(epoch, grid(self.trainer.generate(latent)))

    def save(self) -> None:
        """Write the checkpoint, unless the one on disk is of this step."""
        if self.folder and self.step != self.saved_step:
            arrays = {**self.trainer.state_dict(), "random.counter": np.array(random.default_generator.counter)}
            self.folder.save_checkpoint(arrays, self.step, self.trainer.generator.state_dict())
            self.saved_step = self.step

    def draw_overview(self) -> None:
        if self.folder:
            self.folder.save_overview(self.trainer.captions)
            self.overview_drawn = time.monotonic()

    def title(self) -> str:
        epochs = -(-self.last_step // self.batches.per_epoch)
        return f"epoch {min(self.step // self.batches.per_epoch + 1, epochs)}/{epochs}"


def total_steps(config: Any, per_epoch: int) -> int:
    """How many steps a run makes: --epochs, or less by --steps."""
    whole = config.epochs * per_epoch
    return whole if config.steps is None else min(whole, config.steps)


def restore(trainer: Trainer, folder: RunFolder) -> int:
    """Put the checkpoint's state into the trainer and the random stream; how many steps had been made."""
    arrays, step = folder.load_checkpoint()
    try:
        counter = int(arrays.pop("random.counter"))
        trainer.load_state_dict(arrays)
    except (KeyError, ValueError) as error:
        raise mg.FileError(f"{folder.checkpoint} does not fit this program: {error}") from error
    random.manual_seed(trainer.config.seed)
    random.default_generator.counter = counter
    return step


def progress_bar(loop: Loop) -> Any:
    """Images done, images a second, time left, and the metrics."""
    from tqdm import tqdm

    size = loop.batches.batch_size
    return tqdm(
        total=loop.last_step * size,
        initial=loop.step * size,
        desc=loop.title(),
        unit=" images",
        unit_scale=True,
        dynamic_ncols=True,
        mininterval=0.2 if sys.stderr.isatty() else 10,
    )


@contextlib.contextmanager
def stop_request() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C (or SIGTERM) sets, so that the step under way is finished; the second one interrupts."""
    stop = threading.Event()

    def on_signal(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield stop
        return
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
