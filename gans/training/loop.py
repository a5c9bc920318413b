"""The training loop: one step per batch, and everything worth keeping written to the run folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gans import command
from gans.command import StopRequest, stop_request
from gans.data.batches import Stream
from gans.training.collapse import CollapseAlarm
from gans.training.config import RunConfig
from gans.training.evaluations import Evaluations
from gans.training.metrics import ROW_EVERY
from gans.training.not_finite import bad_array, cause_of
from gans.training.recent_metrics import RecentMetrics, possible
from gans.training.run_folder import RunFolder
from gans.training.schedule import Schedule
from gans.training.trainer import Metrics, Trainer, as_pixels
from gans.training.watch import GradientNorms
from minigrad import parallel, random
from minigrad.arrays import backend
from minigrad.io import files
from minigrad.io.files import FileError
from minigrad.io.safetensors import check_like
from minigrad.optim import CHECK_EVERY

FIRST_SAMPLE = 16  # steps; in the first epoch there are samples at this step, at 2, 4, 8, ... times as many
OVERVIEW_SECONDS = 60  # least time between two updates of losses.png and training.gif
ADVICE = "A lower --lr usually helps, unless another setting is far from its default"


class TrainingError(Exception):
    """Training cannot continue. The message says at which step and why."""


class Loop:
    """Trains until the epochs or steps of the config are done, or the user interrupts.

    Parameters
    ----------
    trainer : the algorithm
    batches : the data
    folder : where to write the run, or None to write nothing
    """

    def __init__(self, trainer: Trainer, batches: Stream, folder: RunFolder | None) -> None:
        self.trainer, self.batches, self.folder = trainer, batches, folder
        self.evaluations: Evaluations | None = None  # with --evaluate-every
        self.alarm: CollapseAlarm | None = None
        self.plateau = ""  # why the run ends before its last step
        self.problem: parallel.Problem | None = None  # an error of this rank in writing files; `ends` raises it on all
        watch = GradientNorms(trainer) if trainer.config.watch_gradients else None
        step = watch.watched(trainer.step) if watch else trainer.step
        self.make_step = step if trainer.config.no_capture else captured(step)
        self.metric_names = [*trainer.captions, *(watch.names if watch else [])]
        self.step = 0
        self.saved_step = -1
        self.last_step = total_steps(trainer.config, batches.per_epoch)
        self.sampling = Schedule(trainer.config.sample_every, batches.per_epoch, FIRST_SAMPLE)
        self.saving = Schedule(trainer.config.save_every, batches.per_epoch)
        self.keeping = Schedule(trainer.config.keep_every, batches.per_epoch) if trainer.config.keep_every else None
        self.evaluating = Schedule(trainer.config.evaluate_every or "1epoch", batches.per_epoch)
        self.recent = RecentMetrics(self.write_row, self.failure)
        self.shown: dict[str, str] = {}  # metrics in the progress bar
        self.overview_drawn = time.monotonic()
        ranks = parallel.current()
        self.is_silent = ranks is not None and ranks.rank > 0

    # --- from the first step to the last

    def run(self) -> int:
        """Train. Returns the number of the signal that interrupted, or 0. The checkpoint is up to date either way."""
        with stop_request() as stop:
            parallel.on_first(self.begin)
            with progress_bar(self) as bar, np.errstate(all="ignore"):
                while not self.ends(stop):
                    metrics = self.guarded_step()
                    self.step += 1
                    self.recent.add(metrics)
                    if self.step % ROW_EVERY == 0:
                        bar.set_postfix(self.shown, refresh=False)
                    if self.step % CHECK_EVERY == 0:
                        self.check_gradients()
                    bar.update(self.batches.batch_size)
                    self.problem = parallel.tried(self.write_what_is_due)
                    if self.step % self.batches.per_epoch == 0:
                        bar.set_description(self.title())
            parallel.on_first(self.conclude)
            number, *_ = together(stop)
        return number

    @property
    def finished(self) -> bool:
        return self.step >= self.last_step or bool(self.plateau)

    def begin(self) -> None:
        """Write what comes before the first step."""
        self.show_real()
        if self.step == 0:
            self.sample()
        elif self.folder:  # a grid of the interruption goes, so that the files equal those of an uninterrupted run
            self.folder.cut_samples(self.step if self.sampling.includes(self.step) else self.step - 1)

    def ends(self, stop: StopRequest) -> bool:
        """Whether training ends after this step, because it is finished or a signal came to any rank: all ranks agree."""
        counter = random.get_rng_state()[1]
        signalled, finished, failed, most, least = together(stop, self.finished, self.problem is not None, counter, -counter)
        if failed and (ranks := parallel.current()):
            ranks.raise_one(self.problem)
        if most != -least:
            raise TrainingError(
                f"step {self.step}: the processes have drawn different amounts of random numbers. In a network's forward, draw "
                "a row for each row of its input; for samples and evaluations, draw from a mg.Generator of their own"
            )
        return bool(finished or signalled)

    def guarded_step(self) -> Metrics:
        """One step. If it meets a NaN or an infinity, it is repeated to find the op that made it, and the run ends."""
        before = random.get_rng_state()
        try:
            return self.make_step(*self.batches[self.step])
        except FloatingPointError as error:
            random.set_rng_state(before)
            raise self.failure(self.step, error) from error

    def write_what_is_due(self) -> None:
        """Write what is due after this step. Evaluations come before the checkpoint: a resumed run has those up to its step."""
        schedules = [(self.sampling, self.sample), (self.saving, self.save)]
        if self.keeping:
            schedules.insert(1, (self.keeping, self.keep))  # before the checkpoint too: a resumed run has those up to its step
        if self.evaluations:
            schedules.insert(0, (self.evaluating, self.evaluate))
        if due := [write for schedule, write in schedules if schedule.due(self.step)]:
            self.recent.finish()
            self.check_finite()
            for write in due:
                write()
            if time.monotonic() - self.overview_drawn > OVERVIEW_SECONDS:
                self.draw_overview()

    def conclude(self) -> None:
        """Write everything that is not written yet, at the end of a run or when it is interrupted."""
        self.recent.finish_all()
        if self.step != self.saved_step:
            self.check_finite()
        self.save()
        if self.folder and not files.exists(self.folder.sample_path(self.step)):
            self.sample()
        self.draw_overview()

    # --- NaN and infinity

    def check_finite(self) -> None:
        """TrainingError if anything that is about to be saved contains a NaN or an infinity."""
        self.recent.read()
        self.check_gradients()
        if bad := bad_array(self.trainer):
            raise self.error(self.step - 1, bad)

    def check_gradients(self) -> None:
        """TrainingError if a step since the last check had a gradient that was not finite."""
        for part in self.trainer.optimizers().values():
            try:
                part.check()
            except FloatingPointError as error:
                raise self.failure(self.step - 1, error) from error

    def failure(self, step: int, symptom: FloatingPointError) -> TrainingError:
        """What went wrong in a step."""
        return self.error(step, cause_of(symptom, self.trainer, self.batches[step]))

    def error(self, step: int, cause: str) -> TrainingError:
        kept = f"; the checkpoint of step {self.saved_step} is kept" if self.folder and self.saved_step > 0 else ""
        return TrainingError(f"step {step + 1}: {cause}{kept}. {ADVICE}")

    # --- files

    def write_row(self, step: int, means: dict[str, float]) -> None:
        """Write the means of the metrics of the last steps, and show those with a caption."""
        if self.folder:
            self.folder.metrics.append(step, means)
        self.shown = {name: f"{value:.3f}" for name, value in means.items() if name in self.trainer.captions}

    def sample(self) -> None:
        """Write the sample grid of this step, and look whether its images have become alike."""
        if self.folder:
            images = self.trainer.samples()
            self.folder.save_samples(self.step, self.trainer.sample_sheet(images))
            if images is not None:
                self.alarm = self.alarm or CollapseAlarm(as_pixels(self.batches[0][0].numpy()))
                self.alarm.see(self.step, images)
        self.sampling.restart()

    def show_real(self) -> None:
        """Write a sheet of training images beside the samples, unless it is there."""
        if self.folder and not files.exists(self.folder.real):
            sheet = self.trainer.real_sheet(self.batches)
            if sheet is not None:
                self.folder.save_real(sheet)

    def evaluate(self) -> None:
        """Measure the images of this step, and note whether they have stopped improving."""
        assert self.evaluations
        self.evaluations.add(self.step, self.trainer.weights())
        self.plateau = self.evaluations.plateau()
        self.evaluating.restart()

    def save(self) -> None:
        """Write the checkpoint, unless the file is of this step already. Callers check for bad values first."""
        if self.folder and self.step != self.saved_step:
            self.folder.save_checkpoint(self.state(), self.step, self.trainer.weights())
            self.saved_step = self.step
        self.saving.restart()

    def keep(self) -> None:
        """Write the numbered checkpoint of this step."""
        assert self.keeping
        if self.folder:
            self.folder.keep_checkpoint(self.state(), self.step)
        self.keeping.restart()

    def state(self) -> dict[str, Any]:
        """Everything that the run depends on from here, as arrays: weights, optimizers, random stream, recent metrics."""
        _, counter = random.get_rng_state()
        return {**self.trainer.state_dict(), "random.counter": np.array(counter), **self.recent.state_dict()}

    def restore(self, kept: int | None = None) -> None:
        """Continue from the folder's checkpoint: load it, and delete what was written after it.

        With `kept`, go back to the numbered checkpoint of this step, which then is the last checkpoint too.
        """
        assert self.folder
        self.read_checkpoint(kept)
        if kept is not None:
            self.saved_step = -1
            self.save()
            files.remove(self.folder.report)
            self.folder.cut_samples(self.step)
        self.folder.cut_best(self.step)
        self.folder.metrics.cut(self.step, self.metric_names)
        self.plateau = self.evaluations.plateau() if self.evaluations else ""

    def read_checkpoint(self, kept: int | None = None) -> None:
        """Load the folder's last checkpoint, or a numbered one: weights, optimizers, random stream, step, recent metrics."""
        assert self.folder
        path = self.folder.checkpoint_path(kept)
        like = {**self.trainer.state_dict(), "random.counter": np.array(0)}
        arrays, step = self.folder.load_checkpoint(like, kept)
        optional = possible(self.metric_names, step)
        optional |= {f"{name}.skipped": np.array(part.skipped) for name, part in self.trainer.optimizers().items()}
        check_like(path, arrays, like, optional)
        updates = sum(int(arrays[f"{name}.steps"]) for name in self.trainer.optimizers())
        if step > updates:
            raise FileError(f"{path} is damaged: its step is {step}, after only {updates} updates of weights")
        self.load(arrays, step)

    def load(self, arrays: dict[str, Any], step: int) -> None:
        """Continue from the state of a checkpoint."""
        self.trainer.load_state_dict(arrays)
        random.set_rng_state((self.trainer.config.seed, int(arrays["random.counter"])))
        self.step = self.saved_step = step
        self.recent.load_state_dict(arrays, step)

    def like_first(self, ranks: parallel.Ranks) -> None:
        """Continue from the state of rank 0."""

        def state() -> tuple[dict[str, Any], int, str]:
            return {name: backend.to_numpy(a) for name, a in self.state().items()}, self.step, self.plateau

        arrays, step, plateau = parallel.from_first(state)
        if ranks.rank:
            self.load(arrays, step)
            self.plateau = plateau

    def draw_overview(self) -> None:
        if self.folder:
            measures = self.evaluations.evaluator.captions if self.evaluations else {}
            self.folder.save_overview({**self.trainer.captions, **measures})
            self.overview_drawn = time.monotonic()

    def title(self) -> str:
        epochs = -(-self.last_step // self.batches.per_epoch)
        return f"epoch {min(self.step // self.batches.per_epoch + 1, epochs)}/{epochs}"


def captured(step: Callable[..., Metrics]) -> Callable[..., Metrics]:
    """The step, captured once and then replayed. Imported here: with --no-capture nothing needs `minigrad.capture`."""
    from minigrad.capture import Captured

    return Captured(step)


def together(stop: StopRequest, *numbers: int) -> list[int]:
    """The signal that came to any rank before they meet here, or 0, and the largest of the ranks' numbers, place by place.

    A signal that comes to this rank during the exchange stays in `stop`, until they meet again.
    """
    if (ranks := parallel.current()) is None:
        return [stop.signal, *numbers]
    signalled, *largest = ranks.largest(stop.signal, *numbers)
    if signalled and not stop.signal:  # the same signal may still reach this process: it is not a second one
        stop.signal, command.current.signalled = signalled, time.monotonic()
    return [signalled, *largest]


def total_steps(config: RunConfig, per_epoch: int) -> int:
    """The number of steps of a run: those of --epochs, or fewer with --steps."""
    whole = config.epochs * per_epoch
    return whole if config.steps is None else min(whole, config.steps)


def progress_bar(loop: Loop) -> Any:
    """A tqdm bar: images done, images per second, time left, and the metrics."""
    from tqdm import tqdm

    size = loop.batches.batch_size
    return tqdm(
        total=loop.last_step * size,
        initial=loop.step * size,
        desc=loop.title(),
        unit=" images",
        unit_scale=True,
        dynamic_ncols=True,
        disable=loop.is_silent,
        mininterval=0.2 if sys.stderr.isatty() else 10,
    )
