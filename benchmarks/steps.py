"""Whole training steps: both sides show that they do the same work, and are then timed in turn.

Both start from the same weights and make some steps on the same data with the same noise; their losses must agree. Only then
are they timed: a few steps here, a few there, many times over. The ratio is taken pair by pair, so that a machine that speeds
up or slows down does so for both.
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

from benchmarks.cases import Case, learning_rate, network_state
from benchmarks.libraries import Library, Minigrad, PyTorch
from benchmarks.process import Worker, WorkerError
from benchmarks.settings import OP_BY_OP, Settings, side_name
from benchmarks.watch import counted, flops, watching

PAUSE = 0.1  # seconds between turns: the other side's threads wait for more work at first, and would take a core from this one
WARM_UP = 4  # steps before anything is timed: our steps are recorded at the third
TURN = 0.1  # seconds that the steps of a turn should take, at least
TF32_TOLERANCE = 5e-2  # of losses, relative, where products have three correct decimals

Result = dict[str, Any]


class Disagreement(Exception):
    """The two sides compute different things; there is nothing to be timed."""


class Side:
    """One side, in its own process: makes steps, from noise of its own or from noise that both know."""

    about: str
    library: Library
    batches: list[tuple[Any, ...]]  # the tensors of each step
    trainer: Any  # has `step`; may draw latent vectors with `noise`, and other random numbers with `uniform`
    made = 0  # steps

    def tensor(self, a: np.ndarray) -> Any:
        raise NotImplementedError

    def step(self) -> list[float]:
        """One training step on the next batch; its losses, as numbers: with them the step is done on a GPU as well."""
        batch = self.batches[self.made % len(self.batches)]
        self.made += 1
        return self.losses(batch)

    def losses(self, batch: tuple[Any, ...]) -> list[float]:
        raise NotImplementedError

    def replay(self) -> list[list[float]]:
        """One step on each batch with noise from NumPy's generator; the losses of each."""
        rng = np.random.default_rng(0)
        replayed = {"uniform": lambda shape: self.tensor(np.asarray(rng.random(shape, np.float32)))}
        if size := getattr(self.trainer, "latent_size", None):
            replayed["noise"] = lambda count: self.tensor(rng.standard_normal((count, size)).astype(np.float32))
        vars(self.trainer).update(replayed)  # in place of the methods, until they are deleted again
        losses = [self.step() for _ in self.batches]
        for name in replayed:
            delattr(self.trainer, name)
        return losses

    def time(self, steps: int) -> float:
        return self.library.seconds(self.step, steps)

    def memory(self) -> dict[str, float]:
        return self.library.memory()

    def note(self) -> str:
        """What a table has to say of this side."""
        return ""


class Ours(Side):
    """This project's trainer, whose steps are captured, as the commands of `gans` do it, or made op by op."""

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
        # batches as gans.data gives them
        self.batches = batches_of(mg.load(setup), settings.replayed, lambda x: self.tensor(channels_last(x)))

    def tensor(self, a: np.ndarray) -> Any:
        import minigrad as mg

        return mg.Tensor(self.library.array(a))

    def losses(self, batch: tuple[Any, ...]) -> list[float]:
        return [value.item() for value in self.make_step(*batch).values()]

    def time(self, steps: int) -> float:
        self.make_step = self.captured or self.trainer.step  # only now: no recording can repeat noise that comes from outside
        return super().time(steps)

    def memory(self) -> dict[str, float]:
        """A captured step has memory of its own."""
        memory = super().memory()
        if self.captured is not None and self.captured.pool is not None:
            memory["gpu"] += self.captured.pool.total_bytes() / (1 << 20)
        return memory

    def watched(self) -> dict[str, Any]:
        """The different kernel calls of a step, each with how often it came, and the layers' names."""
        from benchmarks.layers import layer_names

        self.make_step = self.trainer.step  # a graph would call no kernels
        with watching(self.library.kernels) as calls:
            self.step()
        return {"calls": counted(calls), "layers": layer_names(self.trainer)}


class Theirs(Side):
    """The PyTorch twin."""

    library: PyTorch

    def __init__(self, settings: Settings, case: Mapping[str, Any], setup: str, variant: str) -> None:
        import torch
        from safetensors.numpy import load_file

        self.library = PyTorch(settings, variant)
        arrays = load_file(setup)
        with torch.device(settings.device):
            self.trainer = Case(**case).twin(arrays, float(arrays["lr"]), variant)
        self.about = self.library.about
        self.variant = variant
        self.batches = batches_of(arrays, settings.replayed, self.trainer.images)

    def tensor(self, a: np.ndarray) -> Any:
        return self.library.array(a)

    def losses(self, batch: tuple[Any, ...]) -> list[float]:
        if self.variant == "compiled" and self.library.gpu:
            self.library.torch.compiler.cudagraph_mark_step_begin()  # frees what the last step left in their memory
        return self.trainer.step(*batch)

    def note(self) -> str:
        left_out = self.trainer.not_compiled if self.variant == "compiled" else ""
        return f"but for {left_out}" if left_out else ""


def batches_of(arrays: Mapping[str, np.ndarray], count: int, tensor: Callable[[np.ndarray], Any]) -> list[tuple[Any, ...]]:
    """The first `count` batches of a setup file, the tensors of each step together."""
    parts = [arrays[key][:count] for key in sorted(arrays) if key.startswith("batch.")]
    return [tuple(map(tensor, batch)) for batch in zip(*parts, strict=True)]


def write_setup(case: Case, path: Path, batches: int) -> None:
    """The weights from which the PyTorch side starts, and the batches of both."""
    import minigrad as mg

    trainer = case.trainer()
    rng = np.random.default_rng(0)
    arrays = {
        f"batch.{i}": rng.uniform(-1, 1, (batches, *shape)).astype(np.float32) for i, shape in enumerate(trainer.batch_shapes)
    }
    mg.save(path, {**network_state(trainer), **arrays, "lr": np.array(learning_rate(trainer))})


@contextmanager
def sides_of(case: Case, settings: Settings, op_by_op: bool = False) -> Iterator[tuple[dict[str, Worker], dict[str, str]]]:
    """Both sides' workers, "ours" and PyTorch's variants; and of a variant that cannot be had, why, in a word.

    With `op_by_op` our steps also without being captured.
    """
    with ExitStack() as stack:
        setup = str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "setup.safetensors")
        write_setup(case, Path(setup), settings.replayed)
        sides = {}
        for side, captured in {"ours": True, **({OP_BY_OP: False} if op_by_op else {})}.items():
            worker = Worker("benchmarks.steps:Ours", settings, case=asdict(case), setup=setup, captured=captured)
            sides[side] = stack.enter_context(worker)
        missing: dict[str, str] = {}
        for variant in settings.variants:
            try:
                worker = Worker("benchmarks.steps:Theirs", settings, case=asdict(case), setup=setup, variant=variant)
                sides[variant] = stack.enter_context(worker)
            except WorkerError as error:
                missing[variant] = str(error)
        yield sides, missing


def compare(name: str, case: Case, settings: Settings) -> Result:
    """Agreement, times and memory of one case. Disagreement if a side gives other losses; then nothing is timed."""
    with sides_of(case, settings, op_by_op=True) as (sides, missing):
        check_agreement(max(case.tolerance, TF32_TOLERANCE * settings.tf32), sides, missing)
        result = time_in_turn(sides, settings)
        memory = {side: worker.ask("memory") for side, worker in sides.items()}
        notes = {side: worker.ask("note") for side, worker in sides.items()}
        watched = sides["ours"].ask("watched")
        about = {side: worker.about for side, worker in sides.items()}
    facts = {"case": name, "batch_size": case.batch_size, "about": about, "notes": notes, "missing": missing, "memory": memory}
    return {**facts, **result, "flops": sum(count * flops(call) for call, count in watched["calls"]), **watched}


def check_agreement(tolerance: float, sides: dict[str, Worker], missing: dict[str, str]) -> None:
    """Replay steps on all sides. A variant that fails is taken from `sides`, with the reason in `missing`."""
    ours = np.array(sides["ours"].ask("replay"))
    for variant in [side for side in sides if side != "ours"]:
        try:
            theirs = np.array(sides[variant].ask("replay"))
        except WorkerError as error:
            missing[variant] = str(error)
            del sides[variant]
            continue
        apart = disagreement(ours, theirs)
        if not apart < tolerance:
            raise Disagreement(f"{side_name(variant)} gives other losses, by {apart:.1e} relative; nothing was timed")


def disagreement(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference of any metric, (steps, metrics), over the largest value that this metric has in these steps."""
    return float((np.abs(ours - theirs).max(axis=0) / np.abs(theirs).max(axis=0)).max())


def time_in_turn(sides: Mapping[str, Worker], settings: Settings) -> Result:
    """Seconds a step, of each side in each turn: A B A B."""
    for worker in sides.values():
        worker.ask("time", steps=WARM_UP)
    rounds, steps = plan([worker.ask("time", steps=settings.refill) for worker in sides.values()], settings)
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, worker in sides.items():
            time.sleep(PAUSE)
            worker.ask("time", steps=settings.refill)
            times[side].append(worker.ask("time", steps=steps))
    return {"seconds": times, "rounds": rounds, "steps": steps}


def plan(step_seconds: Sequence[float], settings: Settings) -> tuple[int, int]:
    """How many rounds fill the time, and of how many steps a turn is, given how long each side takes for a step."""
    steps = math.ceil(TURN / min(step_seconds))
    a_round = sum(PAUSE + (settings.refill + steps) * step for step in step_seconds)
    return max(settings.rounds, int(settings.seconds / a_round)), steps
