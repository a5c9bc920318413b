"""`python -m benchmarks [CASE ...]`: how fast is this engine, beside PyTorch, on the same work?

Training steps first: both sides must agree before they are timed, in turn. Then what explains the times: the arithmetic floor,
each kernel by itself, Python's share, cost against size, and the time to the first step. All of it takes some ten minutes.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import check, report
from benchmarks.cases import CASES
from benchmarks.machine import machine
from benchmarks.parts import PARTS, QUICK_PARTS, Run, schedule
from benchmarks.settings import PYTORCH, Settings


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser()
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"there is no case {', '.join(sorted(unknown))}; choose among {', '.join(CASES)}")
    if arguments.check and not arguments.out:
        parser.error("--check writes everything to a folder: give it with --out DIR")
    if reason := why_not(arguments.backend):
        sys.exit(f"benchmarks: {reason}")

    begun = time.monotonic()
    run = Run(arguments.cases or list(CASES), {"machine": machine(arguments.backend)})
    print(run.data["machine"], flush=True)
    if arguments.check:
        run.deadline = begun + check.STOP_AFTER
        outcomes = check.run_checks(arguments.out)
        run.data["checks"] = {title: outcome.text for title, outcome in outcomes.items()}
        run.data["failed"] = [f"{title}: not passed" for title, outcome in outcomes.items() if not outcome.passed]
        print("\n".join(run.data["checks"].values()), flush=True)
    settings = Settings(arguments.backend, arguments.threads, arguments.tf32, seconds=arguments.seconds)
    if arguments.quick:
        settings = settings.quick()
    parts = arguments.parts or (QUICK_PARTS if arguments.quick else list(PARTS))
    for part, how in schedule(parts, settings, arguments.check):
        with run.going_on(part):
            PARTS[part](run, how)
        if arguments.out:
            report.write(arguments.out, run.data)
    print(f"{time.monotonic() - begun:.0f} seconds")
    if failed := run.data.get("failed"):
        sys.exit("benchmarks: " + "\n".join(failed))


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"which: {', '.join(CASES)} (default: all)")
    parser.add_argument(
        "--part", action="append", choices=list(PARTS), metavar="PART", dest="parts",
        help=f"measure only this; may be given again: {', '.join(PARTS)} (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--backend", choices=("numpy", "cupy"), default="numpy", help="cupy: on the GPU, PyTorch with CUDA (default: numpy)"
    )
    parser.add_argument("--tf32", action="store_true", help="on a GPU: products in TF32, by both sides")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of each side (default: 2)")
    parser.add_argument(
        "--seconds", type=float, default=Settings.seconds, metavar="S",
        help=f"for the timing of a case (default: {Settings.seconds:.0f})",
    )  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true",
        help=f"in a minute or two: only {', '.join(QUICK_PARTS)}; few turns; without compiled PyTorch, which compiles for long",
    )  # fmt: skip
    parser.add_argument(
        "--check", action="store_true", help="first run the tests that need a GPU; in all less than eight minutes"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write results.json and report.md with its plots there")
    parser.epilog = "PyTorch's ways: " + "; ".join(f"{name}: {what}" for name, what in PYTORCH.items())
    return parser


def why_not(backend: str) -> str | None:
    """Why there can be no comparison here, and what to do; None if there can."""
    from minigrad.arrays.backend import BackendError, resolve

    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed here: pip install torch==2.13.0"
    try:
        resolve(backend)
    except BackendError as error:
        return str(error)
    return None


if __name__ == "__main__":
    main()
