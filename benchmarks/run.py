"""A run of the benchmark: its parts in order of importance.

Each measures something, prints it and adds it to the results.
"""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES
from benchmarks.measure import beside, floor, layers, overhead, products, sizes, start, steps
from benchmarks.measure.process import WorkerError
from benchmarks.report import report
from benchmarks.settings import JAX, OP_BY_OP, OURS, Settings


@dataclass
class Run:
    """What all parts share."""

    cases: Sequence[str]
    data: dict[str, Any] = field(default_factory=dict)  # the results
    out: Path | None = None  # folder for the results; without one they are only printed
    deadline: float = math.inf  # by the clock of `time.monotonic`

    def attempt(self, name: str, work: Callable[[], None]) -> None:
        """Do a piece of work and save the results.

        No piece starts after the deadline, and a failure does not end the run.
        """
        if time.monotonic() > self.deadline:
            self.data.setdefault("left_out", []).append(name)
        else:
            try:
                work()
            except (WorkerError, steps.Disagreement, subprocess.CalledProcessError) as error:
                self.data.setdefault("failed", []).append(f"{name}: {error}")
                print(self.data["failed"][-1], flush=True)
        self.save()

    def save(self) -> None:
        if self.out:
            report.write(self.out, self.data)

    def show(self, section: str) -> None:
        print(report.section(section, self.data), flush=True)

    def measure(self, parts: Sequence[str], settings: Settings) -> None:
        """Run these parts. Until a part is done, the results name it as unfinished."""
        self.data["unfinished"] = [part for part in PARTS if part in parts]
        for part in list(self.data["unfinished"]):
            PARTS[part](self, settings)
            self.data["unfinished"].remove(part)
            self.save()
            if self.out:
                report.write_plots(self.out, self.data)


def measure_floor(run: Run, settings: Settings) -> None:
    def work() -> None:
        run.data["rates"] = floor.rates(settings)
        run.show("floor")

    run.attempt("floor", work)


def measure_steps(run: Run, settings: Settings) -> None:
    sides = (OURS, "tuned") if settings.is_quick else (OURS, OP_BY_OP, "eager", "tuned")
    compare_cases(run, settings, (*sides, *[JAX] * settings.jax))


def measure_compiled(run: Run, settings: Settings) -> None:
    compare_cases(run, settings, (OURS, "compiled"), " (compiled)")


def compare_cases(run: Run, settings: Settings, sides: Sequence[str], label: str = "") -> None:
    for name in run.cases:

        def work(name: str = name) -> None:
            result = steps.compare(name, CASES[name], settings, sides)
            run.data.setdefault("results", []).append(result)
            print(report.steps_of_one(result, run.data), flush=True)

        run.attempt(name + label, work)


def measure_products(run: Run, settings: Settings) -> None:
    def work() -> None:
        with products.product_timer(settings) as timer:
            for name in run.cases:

                def add(name: str = name) -> None:
                    run.data["products"] = timer.add(name, products.shapes_of(CASES[name], settings))

                run.attempt(f"products of {name}", add)
        if "products" in run.data:
            run.show("products")

    run.attempt("products", work)


def measure_layers(run: Run, settings: Settings) -> None:
    if not run.data.get("results"):
        measure_steps(run, settings.quick())  # which calls there are

    def work() -> None:
        with layers.kernel_timer(settings) as timer:
            for result in run.data.get("results", ()):

                def add(result: Any = result) -> None:
                    run.data["kernels"] = timer.add(result)

                run.attempt(f"layers of {result['case']}", add)
        if "kernels" in run.data:
            run.show("layers")

    run.attempt("layers", work)


def measure_overhead(run: Run, settings: Settings) -> None:
    def work() -> None:
        run.data["overhead"] = overhead.time_small(settings)
        run.show("overhead")

    run.attempt("overhead", work)


def measure_beside(run: Run, settings: Settings) -> None:
    for name in [name for name in run.cases if name in beside.CASES] or run.cases:

        def work(name: str = name) -> None:
            run.data.setdefault("beside", []).append(beside.time_beside(name, CASES[name], settings))

        run.attempt(f"{name} (beside a busy process)", work)
    if "beside" in run.data:
        run.show("beside")


def measure_start(run: Run, settings: Settings) -> None:
    def imports() -> None:
        run.data["imports"] = start.time_imports()

    run.attempt("imports", imports)
    for name, side in start.first_steps():

        def work(name: str = name, side: str = side) -> None:
            run.data.setdefault("first_steps", []).append(start.time_first_step(name, side, settings))

        run.attempt(f"first step of {name} ({side})", work)
    if "imports" in run.data and "first_steps" in run.data:
        run.show("start")


def measure_sizes(run: Run, settings: Settings) -> None:
    for title, points in sizes.series().items():
        for size, case in points:

            def work(title: str = title, size: int = size, case: Any = case) -> None:
                run.data.setdefault("sizes", []).append(sizes.time_size(title, size, case, settings))

            run.attempt(f"{title} {size}", work)
    if "sizes" in run.data:
        run.show("sizes")


PARTS: dict[str, Callable[[Run, Settings], None]] = {
    "floor": measure_floor,
    "steps": measure_steps,
    "layers": measure_layers,
    "products": measure_products,
    "overhead": measure_overhead,
    "compiled": measure_compiled,
    "beside": measure_beside,
    "start": measure_start,
    "sizes": measure_sizes,
}
QUICK_PARTS = ("floor", "steps")
QUICK_CASES = [name for name in CASES if name not in ("lsgan", "r3gan")]  # like dcgan_28 and wgan_gp_conv
