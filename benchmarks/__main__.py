"""`python -m benchmarks [CASE ...]`: the speed of this engine, compared with PyTorch's on the same
work.

Training steps first: both sides must compute the same losses before they are timed in turn. Then
what explains the times: the arithmetic floor, each kernel by itself, Python's overhead, cost
against size, and the time to the first step.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import isa
from benchmarks.cases import CASES
from benchmarks.machine import machine
from benchmarks.measure import floor
from benchmarks.run import PARTS, QUICK_CASES, QUICK_PARTS, Run
from benchmarks.settings import PYTORCH, Settings
from gans.command import EXIT_CODES, running
from gans.training.arguments import integer_up_to
from gans.training.config import OneLineParser
from minigrad import FileError
from minigrad.io.files import make_folder

MOST_THREADS = 1024


@running("python -m benchmarks", (FileError,))
def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser()
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"there is no case {', '.join(sorted(unknown))}; choose from {', '.join(CASES)}")
    if reason := why_not(arguments.backend) or isa.why_not(arguments.isa, isa.host_features()):
        sys.exit(f"benchmarks: {reason}")

    used = isa.widest(isa.host_features()) if arguments.isa == "native" else arguments.isa
    begin = time.monotonic()
    data = {"machine": machine(arguments.backend), "isa": used, "started": time.strftime("%Y-%m-%d %H:%M")}
    run = Run(
        arguments.cases or (QUICK_CASES if arguments.quick else list(CASES)), data, arguments.out, begin + arguments.stop_after
    )
    if run.out:
        make_folder(run.out, follow=True)
    print(run.data["machine"], flush=True)
    names = ("backend", "isa", "threads", "tf32", "seconds", "patience")
    has_jax = arguments.backend == "numpy" and importlib.util.find_spec("jax") is not None
    settings = Settings(**{name: getattr(arguments, name) for name in names}, jax=has_jax)
    if arguments.quick:
        settings = settings.quick()
    try:
        if arguments.isa != "native":
            run.data["uses"] = floor.what_they_use(settings)
            print(*run.data["uses"], sep="\n", flush=True)
        run.measure(arguments.parts or (QUICK_PARTS if arguments.quick else list(PARTS)), settings)
    except KeyboardInterrupt:
        run.save()
        if run.out:
            print(f"{run.out} has what was measured")
        raise
    print(f"{time.monotonic() - begin:.0f} seconds")
    if failed := run.data.get("failed"):
        sys.exit("benchmarks: " + "\n".join(failed))


def argument_parser() -> argparse.ArgumentParser:
    parser = OneLineParser("python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"which: {', '.join(CASES)} (default: all)")
    parser.add_argument(
        "--part", action="append", choices=list(PARTS), metavar="PART", dest="parts",
        help=f"measure only this part; may be given several times: {', '.join(PARTS)} (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--backend", choices=("numpy", "cupy"), default="numpy", help="cupy: on the GPU, PyTorch with CUDA (default: numpy)"
    )
    parser.add_argument(
        "--isa", choices=list(isa.NEEDS), default="native", help="restrict all sides to this instruction set (default: native)"
    )
    parser.add_argument("--tf32", action="store_true", help="on a GPU: both sides multiply in TF32")
    help = "threads of each side (default: 2)"
    parser.add_argument("--threads", type=integer_up_to(MOST_THREADS), default=2, metavar="N", help=help)
    parser.add_argument(
        "--seconds", type=seconds, default=Settings.seconds, metavar="S",
        help=f"for the timing of a case (default: {Settings.seconds:.0f})",
    )  # fmt: skip
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"a first look in some 80 seconds: only {', '.join(QUICK_PARTS)}, of minigrad and tuned PyTorch, and few turns",
    )
    parser.add_argument(
        "--stop-after", type=seconds, default=float("inf"), metavar="S",
        help="start nothing new after this many seconds (default: no limit)",
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=seconds, default=Settings.patience, metavar="S",
        help=f"a side that takes longer for one answer counts as failed (default: {Settings.patience:.0f})",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write results.json, report.md and plots there, again after every case"
    )
    parser.epilog = f"PyTorch's variants: {'; '.join(f'{name}: {what}' for name, what in PYTORCH.items())}. {EXIT_CODES}"
    return parser


def seconds(text: str) -> float:
    """An argparse type."""
    if not (value := float(text)) >= 0:  # NaN is not either
        raise ValueError
    return value


def why_not(backend: str) -> str | None:
    """Why nothing can be compared here, and what to do; None if it can."""
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
