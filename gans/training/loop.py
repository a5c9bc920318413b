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
from gans.data.batches import Stream
from gans.training.metrics import ROW_EVERY
from gans.training.run_folder import RunFolder
from gans.training.trainer import Metrics, Trainer
from minigrad import backend, random
from minigrad.optim import BadGradient

OVERVIEW_SECONDS = 60  # losses.png and training.gif are drawn anew no more often than this
CURE = "A lower --lr is the usual cure"


class TrainingError(Exception):
    """Training cannot go on; the message says at which step and why."""


class Loop:
    """Trains until the config's epochs or steps are over, or it is interrupted.

    Parameters
    ----------
    trainer : the algorithm
    batches : the data
    folder : where everything goes, or None to write nothing
    """

    def __init__(self, trainer: Trainer, batches: Stream, folder: RunFolder | None) -> None:
        self.trainer, self.batches, self.folder = trainer, batches, folder
        self.step = 0
        self.saved_step = -1
        self.last_step = total_steps(trainer.config, batches.per_epoch)
        self.pending: list[Metrics] = []  # of the steps since the last whole row of metrics.csv
        self.overview_drawn = time.monotonic()

    def run(self) -> bool:
        """Train. Whether the end was reached; if not, the user interrupted, and the checkpoint tells where."""
        self.sample(epoch=0)
        with progress_bar(self) as bar, stop_request() as stop, np.errstate(all="ignore"):
            while self.step < self.last_step and not stop.is_set():
                self.pending.append(self.guarded_step())
                self.step += 1
                if self.step % ROW_EVERY == 0:
                    bar.set_postfix(self.write_row(), refresh=False)
                    self.pending = []
                bar.update(self.batches.batch_size)
                if self.step % self.batches.per_epoch == 0:
                    self.end_epoch(self.step // self.batches.per_epoch)
                    bar.set_description(self.title())
        self.conclude()
        return self.step == self.last_step

    def conclude(self) -> None:
        """Write what is there when a run ends, or stops for now."""
        if self.pending:
            self.write_row()  # for the curves; a run that goes on from here replaces it by a whole one
        if self.step != self.saved_step:
            self.check_finite()
        self.save()
        self.draw_overview()

    def guarded_step(self) -> Metrics:
        """One step; one that meets a NaN or an infinity is repeated to find the op that made it, and ends the run."""
        before = random.default_generator.counter
        try:
            return self.trainer.step(*self.batches[self.step])
        except FloatingPointError as error:
            random.default_generator.counter = before
            raise self.failure(self.step, error) from error

    def failure(self, step: int, symptom: FloatingPointError) -> TrainingError:
        """What went wrong in a step: the first op that gives a bad value when it is made again, else the symptom."""
        cause = str(symptom)
        if isinstance(symptom, BadGradient):
            cause = f"the gradient of {self.trainer.parameter_name(symptom.parameter)} is not finite"
        try:
            with mg.detect_anomaly():
                self.trainer.step(*self.batches[step])
        except BadGradient:
            pass
        except FloatingPointError as error:
            cause = str(error)
        return self.error(step, cause)

    def error(self, step: int, cause: str) -> TrainingError:
        kept = f"; the checkpoint of step {self.saved_step} is kept" if self.folder and self.saved_step > 0 else ""
        return TrainingError(f"step {step + 1}: {cause}{kept}. {CURE}")

    def read_pending(self) -> dict[str, np.ndarray]:
        """The metrics of the last steps as numbers, an array each. TrainingError if one is not finite."""
        first = self.step - len(self.pending)
        rows = [{name: value.item() for name, value in metrics.items()} for metrics in self.pending]
        for i, row in enumerate(rows):
            for name, value in row.items():
                if not math.isfinite(value):
                    raise self.failure(first + i, FloatingPointError(f"{name} is {value}"))
        return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}

    def write_row(self) -> dict[str, str]:
        """Write the means of the pending metrics, and return them for the progress bar."""
        means = {name: float(values.mean()) for name, values in self.read_pending().items()}
        if self.folder:
            self.folder.metrics.append(self.step, means)
        return {name: f"{value:.3f}" for name, value in means.items()}

    def end_epoch(self, epoch: int) -> None:
        self.check_finite()
        if epoch % self.trainer.config.sample_every == 0 or self.step == self.last_step:
            self.sample(epoch)
        self.save()
        if time.monotonic() - self.overview_drawn > OVERVIEW_SECONDS:
            self.draw_overview()

    def check_finite(self) -> None:
        """TrainingError if anything that is about to be written holds a NaN or an infinity."""
        self.read_pending()
        for name, part in self.trainer.optimizers().items():
            try:
                part.check()
            except FloatingPointError as error:
                raise self.failure(self.step - 1, error) from error
            for key, array in part.state_dict().items():
                self._check_array(f"{name}.{key}", array)
        for name, network in self.trainer.networks().items():
            for key, array in network.state_dict().items():
                self._check_array(f"{name}.{key}", array)

    def _check_array(self, name: str, array: Any) -> None:
        if not backend.all_finite(array):
            raise self.error(self.step - 1, f"{name} has {backend.describe_bad_values(array)}")

    def sample(self, epoch: int) -> None:
        """Write the samples of an epoch that has just ended."""
        if self.folder and self.step == epoch * self.batches.per_epoch:
            self.folder.save_samples(epoch, self.trainer.sample_sheet())

    def save(self) -> None:
        """Write the checkpoint, unless the one on disk is of this step. Its callers have looked for bad values."""
        if self.folder and self.step != self.saved_step:
            metrics = enumerate(self.read_pending().items())  # numbered: the file does not keep their order
            pending = {f"pending.{i:02}.{name}": values for i, (name, values) in metrics}
            counter = {"random.counter": np.array(random.default_generator.counter)}
            arrays = {**self.trainer.state_dict(), **counter, **pending}
            self.folder.save_checkpoint(arrays, self.step, self.trainer.weights())
            self.saved_step = self.step

    def restore(self) -> None:
        """Go back to the folder's checkpoint: weights, optimizers, random stream, step and pending metrics."""
        assert self.folder
        arrays, step = self.folder.load_checkpoint()
        try:
            keys = sorted(key for key in arrays if key.startswith("pending."))
            pending = {key.split(".", 2)[2]: arrays.pop(key) for key in keys}
            rows = list(zip(*pending.values(), strict=True))
            counter = int(arrays.pop("random.counter"))
            self.trainer.load_state_dict(arrays)
        except (LookupError, ValueError, TypeError, OverflowError) as error:
            raise mg.FileError(f"{self.folder.checkpoint} does not fit this program: {error}") from error
        random.manual_seed(self.trainer.config.seed)
        random.default_generator.counter = counter
        self.step = self.saved_step = step
        self.pending = [{name: mg.Tensor(value) for name, value in zip(pending, row, strict=True)} for row in rows]
        self.folder.metrics.cut(step)

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
