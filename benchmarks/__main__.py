"""`python -m benchmarks [CASE ...]`: training steps of this engine and of PyTorch, in turn, on the same work.

For each case both sides first make some steps from the same weights, on the same data, with the same noise, and must agree.
Only then are they timed, in turn: a few steps here, a few there, many times over. The ratio is taken pair by pair, so that a
machine that speeds up or slows down does so for both.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
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

ENVIRONMENT = dict(os.environ)  # as the user set it: importing minigrad adds settings that PyTorch must not inherit
VARIANTS = ("eager", "tuned")
CASES = ("mnist_gan",)
PAUSE = 0.1  # seconds between turns: the other side's threads wait for more work at first, and would take a core from this one
AGREE_STEPS = 5
TOLERANCE = 2e-3  # float32, after five steps of Adam, which divides by roots of tiny numbers


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
    """Weights, batches and noise from which both sides start."""
    import minigrad as mg
    from gans.generate import TRAINERS

    mg.manual_seed(0)
    trainer_class = getattr(importlib.import_module(f"gans.{case}"), TRAINERS[case])
    config = trainer_class.config_class(backend="numpy")
    trainer = trainer_class(config)
    rng = np.random.default_rng(0)
    real = rng.uniform(-1, 1, (AGREE_STEPS, config.batch_size, 1, 28, 28)).astype(np.float32)
    noise = rng.standard_normal((AGREE_STEPS, config.batch_size, trainer.latent_size)).astype(np.float32)
    state = {f"state.{name}": a for name, a in trainer.state_dict().items()}
    mg.save(path, {**state, "real": real, "noise": noise, "lr": np.array(config.lr)})


def compare(case: str, threads: int, rounds: int, steps: int) -> dict[str, Any]:
    """Agreement, times, ratios and memory of one case."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        setup = folder / "setup.safetensors"
        write_setup(case, setup)
        sides = {"ours": stack.enter_context(Worker("ours", case, setup, "", threads))}
        for variant in VARIANTS:
            sides[variant] = stack.enter_context(Worker("pytorch", case, setup, variant, threads))
        losses = {name: np.array(side.ask(do="replay")["losses"]) for name, side in sides.items()}
        for variant in VARIANTS:
            error = float(np.abs(losses["ours"] / losses[variant] - 1).max())
            if not error < TOLERANCE:
                sys.exit(
                    f"benchmarks: {case}: PyTorch ({variant}) gives other losses, by {error:.1e} relative; nothing was timed"
                )
        for side in sides.values():
            side.ask(do="time", steps=2 * steps)  # warm-up
        times: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                time.sleep(PAUSE)
                side.ask(do="time", steps=2)  # not counted: fills the caches again
                times[name].append(side.ask(do="time", steps=steps)["seconds"])
        memory = {name: side.ask(do="memory")["mib"] for name, side in sides.items()}
        about = {name: side.about for name, side in sides.items()}
    return {"case": case, "about": about, "seconds": times, "mib": memory, "rounds": rounds, "steps": steps}


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
    parser.add_argument("--rounds", type=int, default=30, metavar="N", help="turns of each side (default: 30)")
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="training steps a turn (default: 10)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the results there as JSON and Markdown")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"there is no case {', '.join(sorted(unknown))}; choose among {', '.join(CASES)}")
    if importlib.util.find_spec("torch") is None:
        sys.exit("benchmarks: PyTorch is not installed here: pip install torch==2.13.0")
    results = []
    print(machine())
    for case in arguments.cases or CASES:
        results.append(compare(case, arguments.threads, arguments.rounds, arguments.steps))
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
