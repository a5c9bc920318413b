"""The parts of a run, in their order: each measures something, prints it, and puts it into the data of the report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks import floor, layers, overhead, report, sizes, start, steps
from benchmarks.cases import CASES
from benchmarks.process import WorkerError
from benchmarks.settings import Settings


@dataclass
class Run:
    """What all parts share."""

    cases: Sequence[str]
    data: dict[str, Any] = field(default_factory=dict)  # of the report
    deadline: float = math.inf  # on the clock of `time.monotonic`

    def has_time_for(self, work: str) -> bool:
        """Whether work may begin now; if not, the report will say that it was left out."""
        if time.monotonic() < self.deadline:
            return True
        self.data.setdefault("left_out", []).append(work)
        return False

    @contextmanager
    def going_on(self, work: str) -> Iterator[None]:
        """Within, what fails is noted for the report, and the run goes on: time on a machine with a GPU is short."""
        try:
            yield
        except (WorkerError, steps.Disagreement) as error:
            self.data.setdefault("failed", []).append(f"{work}: {error}")
            print(self.data["failed"][-1], flush=True)

    def show(self, name: str) -> None:
        print(report.section(name, self.data), flush=True)


def measure_floor(run: Run, settings: Settings) -> None:
    if run.has_time_for("floor"):
        run.data["rates"] = floor.rates(settings)
        run.show("floor")


def measure_steps(run: Run, settings: Settings) -> None:
    for name in run.cases:
        if run.has_time_for(f"{name} ({', '.join(settings.variants)})"):
            with run.going_on(name):
                result = steps.compare(name, CASES[name], settings)
                run.data.setdefault("results", []).append(result)
                print(report.steps_of_one(result, run.data), flush=True)


def measure_layers(run: Run, settings: Settings) -> None:
    if not run.data.get("results"):
        measure_steps(run, settings.quick())  # shows which calls there are
    if run.data.get("results") and run.has_time_for("layers"):
        run.data["kernels"] = layers.time_kernels(run.data["results"], settings)
        run.show("layers")


def measure_overhead(run: Run, settings: Settings) -> None:
    if run.has_time_for("overhead"):
        run.data["overhead"] = overhead.time_small(settings)
        run.show("overhead")


def measure_sizes(run: Run, settings: Settings) -> None:
    for title, points in sizes.series().items():
        if run.has_time_for(title):
            run.data.setdefault("sizes", []).extend(sizes.time_sizes(title, points, settings))
    if "sizes" in run.data:
        run.show("sizes")


def measure_start(run: Run, settings: Settings) -> None:
    if run.has_time_for("start"):
        run.data["imports"] = start.time_imports()
        run.data["first_steps"] = start.time_first_steps(settings)
        run.show("start")


PARTS: dict[str, Callable[[Run, Settings], None]] = {
    "floor": measure_floor,
    "steps": measure_steps,
    "layers": measure_layers,
    "overhead": measure_overhead,
    "sizes": measure_sizes,
    "start": measure_start,
}
QUICK_PARTS = ("floor", "steps", "overhead")


def schedule(parts: Sequence[str], settings: Settings, check: bool) -> list[tuple[str, Settings]]:
    """What to do, in order, with what settings. With `check` the most important first, and shorter: compiling takes longest."""
    if not check:
        return [(part, settings) for part in PARTS if part in parts]
    brief = replace(settings, seconds=min(4.0, settings.seconds))
    plain, compiled = (replace(brief, variants=variants) for variants in (("eager", "tuned"), ("compiled",)))
    first = [(part, plain) for part in ("floor", "steps", "layers", "overhead")]
    wanted = [*first, ("steps", compiled), ("start", plain), ("sizes", plain)]
    return [(part, how) for part, how in wanted if part in parts]
