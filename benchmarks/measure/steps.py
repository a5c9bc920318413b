"""Whole training steps: the sides first prove that they compute the same losses, and are then timed
in turn.

All start from the same weights and make some steps on the same data with the same noise; their
losses must agree. Only then are they timed: each side makes a few steps in turn, in many rounds.
The ratio is taken round by round, so that changes in the machine's speed affect both sides.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import Case, learning_rate, network_state, random_batch
from benchmarks.measure import libraries
from benchmarks.measure.libraries import Library, Minigrad, PyTorch
from benchmarks.measure.process import PAUSE, Worker, WorkerError
from benchmarks.measure.watch import count_calls, flops, layer_names, watching
from benchmarks.settings import JAX, OURS, PYTORCH, Settings, side_name

CAPTURED = 3  # untimed steps of ours at first: the third one is captured
TURN = 0.1  # minimal seconds for the steps of a turn
LONG = 0.4  # seconds; a step that takes longer refills the caches in a small part of it
HUGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}  # PyTorch's switch for what minigrad does by itself (minigrad/tuning.py)
TF32_TOLERANCE = 5e-2  # relative, of losses: TF32 products have three correct decimals

Result = dict[str, Any]


class Disagreement(Exception):
    """Two sides compute different losses, so that timing them would mean nothing."""


class Side:
    """One side, in its own process.

    It makes steps with its own random numbers, and for the comparison of losses with NumPy's.
    """

    about: str
    library: Library
    batches: list[tuple[Any, ...]]  # the tensors of each step
    trainer: Any  # has `step`; may draw latent vectors with `noise`, and other random numbers with `uniform`
    steps_made = 0

    def tensor(self, a: np.ndarray) -> Any:
        raise NotImplementedError

    def step(self) -> list[float]:
        """One training step on the next batch.

        Its losses are Python numbers, so that a GPU has finished the step as well.
        """
        batch = self.batches[self.steps_made % len(self.batches)]
        self.steps_made += 1
        return self.losses(batch)

    def losses(self, batch: tuple[Any, ...]) -> list[float]:
        raise NotImplementedError

    def compared_losses(self) -> list[list[float]]:
        """The losses of one step on each batch, with random numbers from NumPy's generator."""
        rng = np.random.default_rng(0)
        fixed = {"uniform": lambda shape: self.tensor(np.asarray(rng.random(shape, np.float32)))}
        if size := getattr(self.trainer, "latent_size", None):
            fixed["noise"] = lambda count: self.tensor(rng.standard_normal((count, size)).astype(np.float32))
        vars(self.trainer).update(fixed)  # instance attributes hide the methods until they are deleted below
        losses = [self.step() for _ in self.batches]
        for name in fixed:
            delattr(self.trainer, name)
        return losses

    def time(self, steps: int) -> float:
        return self.library.seconds(self.step, steps)

    def memory(self) -> dict[str, float]:
        return self.library.memory()

    def note(self) -> str:
        """A remark on this side for the table."""
        return ""


class Ours(Side):
    """This project's trainer. Its steps are captured, as in the commands of `gans`, or run op by op."""

    library: Minigrad

    def __init__(self, settings: Settings, case: Mapping[str, Any], setup: str, captured: bool = True) -> None:
        import minigrad as mg
        from minigrad.arrays.layout import channels_last
        from minigrad.capture import Captured

        self.library = Minigrad(settings)
        self.about = self.library.about
        self.trainer = Case(**case).trainer(backend=settings.backend)
        self.captured = Captured(self.trainer.step) if captured else None
        self.make_step: Any = self.trainer.step
        # channels-last, as gans.data gives them
        self.batches = batches_of(
            mg.load(setup), settings.compared, lambda x: self.tensor(channels_last(x) if x.ndim == 4 else x)
        )

    def tensor(self, a: np.ndarray) -> Any:
        import minigrad as mg

        return mg.Tensor(self.library.array(a))

    def losses(self, batch: tuple[Any, ...]) -> list[float]:
        return [value.item() for value in self.make_step(*batch).values()]

    def time(self, steps: int) -> float:
        self.make_step = self.captured or self.trainer.step  # not before: compared_losses replaces methods
        return super().time(steps)

    def memory(self) -> dict[str, float]:
        """A captured step has its own memory pool, which is added."""
        memory = super().memory()
        if self.captured is not None and self.captured.pool is not None:
            memory["gpu"] += self.captured.pool.total_bytes() / (1 << 20)
        return memory

    def watched(self) -> dict[str, Any]:
        """The distinct kernel calls of a step with their counts, and the names of the layers."""
        self.make_step = self.trainer.step  # a replay calls no kernel functions
        with watching(self.library.kernels) as calls:
            self.step()
        return {"calls": count_calls(calls), "layers": layer_names(self.trainer)}


class Theirs(Side):
    """A twin, of PyTorch's variants or JAX's."""

    library: PyTorch | libraries.JAX

    def __init__(self, settings: Settings, case: Mapping[str, Any], setup: str, variant: str) -> None:
        from safetensors.numpy import load_file

        self.library = libraries.JAX(settings) if variant == JAX else PyTorch(settings, variant)
        arrays = load_file(setup)
        with self.library.default_device():
            self.trainer = Case(**case).twin(arrays, float(arrays["lr"]), variant)
        self.about = self.library.about
        self.variant = variant
        self.batches = batches_of(arrays, settings.compared, self.trainer.images)

    def tensor(self, a: np.ndarray) -> Any:
        return self.library.array(a)

    def losses(self, batch: tuple[Any, ...]) -> list[float]:
        if self.variant == "compiled" and isinstance(self.library, PyTorch) and self.library.gpu:
            self.library.torch.compiler.cudagraph_mark_step_begin()  # the last step's outputs may be overwritten
        return self.trainer.step(*batch)

    def note(self) -> str:
        left_out = self.trainer.not_compiled if self.variant == "compiled" else ""
        return f"except {left_out}" if left_out else ""


def batches_of(arrays: Mapping[str, np.ndarray], count: int, tensor: Callable[[np.ndarray], Any]) -> list[tuple[Any, ...]]:
    """The first `count` batches of a setup file: for each step its tensors."""
    parts = [arrays[key][:count] for key in sorted(arrays) if key.startswith("batch.")]
    return [tuple(map(tensor, batch)) for batch in zip(*parts, strict=True)]


def write_setup(case: Case, path: Path, batches: int) -> None:
    """Write the weights from which the PyTorch side starts, and the batches of both sides."""
    import minigrad as mg

    trainer = case.trainer()
    rng = np.random.default_rng(0)
    parts = zip(*(random_batch(trainer, rng) for _ in range(batches)), strict=True)
    arrays = {f"batch.{i}": np.stack(part) for i, part in enumerate(parts)}
    mg.save(path, {**network_state(trainer), **arrays, "lr": np.array(learning_rate(trainer))})


def make_side(side: str, settings: Settings, environment: Mapping[str, str] | None = None, **arguments: Any) -> Worker:
    """The worker of a side, given its name."""
    if side in (*PYTORCH, JAX):
        environment = {**HUGE_PAGES, **(environment or {})}
        return Worker("benchmarks.measure.steps:Theirs", settings, environment, variant=side, **arguments)
    return Worker("benchmarks.measure.steps:Ours", settings, environment, captured=side == OURS, **arguments)


@contextmanager
def sides_of(case: Case, settings: Settings, names: Sequence[str]) -> Iterator[tuple[dict[str, Worker], dict[str, str]]]:
    """The workers of the named sides; and of those others that cannot run here, why, in a few words."""
    with ExitStack() as stack:
        setup = str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "setup.safetensors")
        write_setup(case, Path(setup), settings.compared)
        sides: dict[str, Worker] = {}
        missing: dict[str, str] = {}
        starting: dict[str, Worker] = {}
        for side in names:  # at the same time: importing a library keeps one core busy
            starting[side] = make_side(side, settings, case=asdict(case), setup=setup)
            stack.callback(starting[side].__exit__)
        for side, worker in starting.items():
            try:
                sides[side] = worker.__enter__()
            except WorkerError as error:
                if side not in (*PYTORCH, JAX):
                    raise
                missing[side] = str(error)
        yield sides, missing


def compare(name: str, case: Case, settings: Settings, sides: Sequence[str]) -> Result:
    """Agreement, times and memory of one case.

    Disagreement if a side gives other losses; then nothing is timed.
    """
    with sides_of(case, settings, sides) as (workers, missing):
        check_agreement(max(case.tolerance, TF32_TOLERANCE * settings.tf32), workers, missing)
        result = time_in_turn(workers, settings, missing)
        memory = {side: worker.ask("memory") for side, worker in workers.items()}
        notes = {side: worker.ask("note") for side, worker in workers.items()}
        watched = workers[OURS].ask("watched")
        about = {side: worker.about for side, worker in workers.items()}
    facts = {"case": name, "batch_size": case.batch_size, "about": about, "notes": notes, "missing": missing, "memory": memory}
    return {**facts, **result, "flops": sum(count * flops(call) for call, count in watched["calls"]), **watched}


def check_agreement(tolerance: float, sides: dict[str, Worker], missing: dict[str, str]) -> None:
    """Compare the losses of the first steps.

    A variant that fails moves from `sides` to `missing`, with the reason.
    """
    ours = np.array(sides[OURS].ask("compared_losses"))
    for variant in [side for side in sides if side != OURS]:
        try:
            theirs = np.array(sides[variant].ask("compared_losses"))
        except WorkerError as error:
            missing[variant] = str(error)
            del sides[variant]
            continue
        difference = relative_difference(ours, theirs)
        if not difference < tolerance:
            raise Disagreement(f"{side_name(variant)} gives other losses, by {difference:.1e} relative; nothing was timed")


def relative_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Of arrays (steps, metrics): the largest difference in a metric, relative to that metric's largest value."""
    return float((np.abs(ours - theirs).max(axis=0) / np.abs(theirs).max(axis=0)).max())


def time_in_turn(sides: dict[str, Worker], settings: Settings, missing: dict[str, str] | None = None) -> Result:
    """Seconds of a step, for each side and turn. The sides take turns: A B A B.

    With `missing`, a side other than ours that fails moves there, with the reason, and the others go on.
    """

    def seconds(side: str, steps: int) -> float | None:
        try:
            return sides[side].ask("time", steps=steps)
        except WorkerError as error:
            if missing is None or side == OURS:
                raise
            missing[side] = str(error)
            del sides[side]
            return None

    for side in list(sides):
        if steps := max(settings.warm_up, CAPTURED) if side == OURS else settings.warm_up:
            seconds(side, steps)
    once = [seconds(side, settings.refill) for side in list(sides)]
    rounds, steps, refill = plan([step for step in once if step is not None], settings)
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side in list(sides):
            time.sleep(PAUSE)
            if refill and seconds(side, refill) is None:
                continue
            if (turn := seconds(side, steps)) is not None:
                times[side].append(turn)
    return {"seconds": {side: times[side] for side in sides}, "rounds": rounds, "steps": steps}


def plan(step_seconds: Sequence[float], settings: Settings) -> tuple[int, int, int]:
    """The number of rounds that fills the time, of steps in a turn, and of untimed ones before it, given each side's step."""
    steps = math.ceil(TURN / min(step_seconds))
    refill = settings.refill if min(step_seconds) < LONG else 0
    a_round = sum(PAUSE + (refill + steps) * step for step in step_seconds)
    return max(settings.rounds, int(settings.seconds / a_round)), steps, refill
