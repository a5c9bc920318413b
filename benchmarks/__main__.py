"""`python -m benchmarks [CASE ...]`: training steps of this engine and of PyTorch, in turn, on the same work.

For each case both sides first make some steps from the same weights, on the same data, with the same noise, and must agree.
Only then are they timed, in turn: a few steps here, a few there, many times over. The ratio is taken pair by pair, so that a
machine that speeds up or slows down does so for both. A case takes less than a minute, however large its networks are.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import CASES, learning_rate, network_state

ENVIRONMENT = dict(os.environ)  # as the user set it: importing minigrad adds settings that PyTorch must not inherit
VARIANTS = ("eager", "tuned")
PAUSE = 0.1  # seconds between turns: the other side's threads wait for more work at first, and would take a core from this one
TURN = 0.1  # seconds that the steps of a turn should take, at least
REFILL = 2  # steps before each turn that are not counted: they fill the caches again
ROUNDS = 3  # turns of each side, at least
AGREE_STEPS = 5


class Worker:
    """A side of the comparison, running in its own process."""

    def __init__(self, side: str, case: str, setup: Path, variant: str, threads: int) -> None:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
        environment = {**ENVIRONMENT, **dict.fromkeys(names, str(threads))}
        command = [sys.executable, "-m", "benchmarks.worker", side, case, str(setup), variant, str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.about = self._answer()["about"]

    def ask(self, **command: Any) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"benchmarks: the worker {' '.join(map(str, self.process.args[2:]))} ended early")  # type: ignore[index]
        return json.loads(line)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.__exit__(None, None, None)  # closes the pipes and waits


def write_setup(case: str, path: Path) -> None:
    """The weights from which the PyTorch side starts, and the batches of both."""
    import minigrad as mg

    trainer = CASES[case].trainer()
    image = trainer.generate(trainer.fixed_noise(1, seed=0))
    shape = (AGREE_STEPS, trainer.images_per_step, *image.shape[1:])
    real = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    mg.save(path, {**network_state(trainer), "real": real, "lr": np.array(learning_rate(trainer))})


def compare(case: str, threads: int, seconds: float) -> dict[str, Any]:
    """Agreement, times, ratios and memory of one case; the timing takes about so many seconds."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        setup = folder / "setup.safetensors"
        write_setup(case, setup)
        sides = {"ours": stack.enter_context(Worker("ours", case, setup, "", threads))}
        for variant in VARIANTS:
            sides[variant] = stack.enter_context(Worker("pytorch", case, setup, variant, threads))
        losses = {name: np.array(side.ask(do="replay")["losses"]) for name, side in sides.items()}
        for variant in VARIANTS:
            error = disagreement(losses["ours"], losses[variant])
            if not error < CASES[case].tolerance:
                sys.exit(
                    f"benchmarks: {case}: PyTorch ({variant}) gives other losses, by {error:.1e} relative; nothing was timed"
                )
        rounds, steps = plan([side.ask(do="time", steps=REFILL)["seconds"] for side in sides.values()], seconds)
        times: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                time.sleep(PAUSE)
                side.ask(do="time", steps=REFILL)
                times[name].append(side.ask(do="time", steps=steps)["seconds"])
        memory = {name: side.ask(do="memory")["mib"] for name, side in sides.items()}
        about = {name: side.about for name, side in sides.items()}
    return {"case": case, "about": about, "seconds": times, "mib": memory, "rounds": rounds, "steps": steps}


def disagreement(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference of any metric, (steps, metrics), over the largest value that this metric has in these steps."""
    return float((np.abs(ours - theirs).max(axis=0) / np.abs(theirs).max(axis=0)).max())


def plan(step_seconds: Sequence[float], seconds: float) -> tuple[int, int]:
    """How many rounds fill the time, and of how many steps a turn is, given how long each side takes for a step."""
    steps = math.ceil(TURN / min(step_seconds))
    a_round = sum(PAUSE + (REFILL + steps) * step for step in step_seconds)
    return max(ROUNDS, int(seconds / a_round)), steps


def summary(result: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a side: minimum and median time of a step, PyTorch's time over ours pair by pair, peak memory."""
    ours = result["seconds"]["ours"]
    rows = []
    for name, times in result["seconds"].items():
        ratio = statistics.median(theirs / mine for theirs, mine in zip(times, ours, strict=True))
        rows.append(
            {
                "case": result["case"],
                "side": "minigrad" if name == "ours" else f"PyTorch {name}",
                "min_ms": min(times) * 1e3,
                "median_ms": statistics.median(times) * 1e3,
                "ratio": ratio,
                "mib": result["mib"][name],
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown, which a terminal shows well enough."""
    lines = ["| step of | side | min ms | median ms | time / minigrad's | peak MiB |", "| --- | --- | --: | --: | --: | --: |"]
    for row in rows:
        lines.append("| {case} | {side} | {min_ms:.2f} | {median_ms:.2f} | {ratio:.2f} | {mib:.0f} |".format(**row))
    return "\n".join(lines)


def machine() -> str:
    """The processor, as well as this system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"which: {', '.join(CASES)} (default: all)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of each side (default: 2)")
    parser.add_argument("--seconds", type=float, default=30, metavar="S", help="for the timing of a case (default: 30)")
    parser.add_argument("--quick", action="store_const", dest="seconds", const=0, help=f"just {ROUNDS} turns of each side")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the results there as JSON and Markdown")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"there is no case {', '.join(sorted(unknown))}; choose among {', '.join(CASES)}")
    if importlib.util.find_spec("torch") is None:
        sys.exit("benchmarks: PyTorch is not installed here: pip install torch==2.13.0")
    results = []
    print(machine())
    for case in arguments.cases or CASES:
        results.append(compare(case, arguments.threads, arguments.seconds))
        print("\n".join(f"{name}: {about}" for name, about in results[-1]["about"].items()))
        print(table(summary(results[-1])), flush=True)
    if arguments.out:
        write_report(arguments.out, results)


def write_report(folder: Path, results: Sequence[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps({"machine": machine(), "results": results}, indent=1) + "\n")
    rows = [row for result in results for row in summary(result)]
    notes = [f"- {about}" for about in results[0]["about"].values()]
    (folder / "report.md").write_text("\n".join([machine(), "", *notes, "", table(rows), ""]))


if __name__ == "__main__":
    main()
