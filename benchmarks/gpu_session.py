"""Everything that needs an NVIDIA GPU, in one command and within 8 minutes.

How to start it, from the root of the repository on a machine with a GPU:

    python -m benchmarks.gpu_session                 # results go to $OUT, or to benchmarks/results/<date>-<gpu>
    python -m benchmarks.gpu_session --out DIR       # or there

It starts with nothing but Python 3.11 or newer. Each stage needs some packages; a stage whose
packages are missing is skipped, and the summary says what to install. To have all of them:

    pip install -e '.[cuda13,test]' torch            # driver 580 or newer; with an older one cuda12 in place of cuda13

The stages, the most important first: describe the machine; the GPU tests; captured steps compared
with steps op by op; the main training job for some hundred steps; the benchmark. Each runs in
processes of its own and has a time limit. The time that a stage saves goes to the later ones. A
stage that exceeds its limit is killed with all its children.

All results are in one flat folder of at most 8 files, each under 16 MB:

    summary.md, session.json     what each stage gave; rewritten before and after every stage
    log.txt                      everything that the stages print, as they print it
    report.md, results.json      the benchmark's, with plots; rewritten after every case
    steps.png, sizes.png

Files other than the log are replaced atomically. So the session may be interrupted or killed at any
moment, and what was measured until then is there. The exit status is 0 if every stage that could
run passed, and 1 otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import datetime
import importlib.util
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MINUTES = 7.75  # for everything: the rest of the eight minutes is for starting and ending
GRACE = 5.0  # seconds between asking a stage to end and killing it
LOG_BYTES = 2 << 20  # the most that one stage may print
TAIL_LINES = 40  # of a failed stage's output, in the summary

PACKAGES = {  # module -> what to install
    "cupy": "'cupy-cuda13x[ctk]>=14.2,<15'",
    "PIL": "pillow",
}
GANS = ("numpy", "numba", "cupy", "PIL", "safetensors", "tqdm", "matplotlib")  # modules that the trainers import


@dataclass
class Stage:
    """A command and its share of the time.

    In its arguments {out}, {tmp} and {seconds} are replaced.
    """

    name: str
    command: Sequence[str]
    share: float  # its part of the time that is left, relative to the shares of the later stages
    needs: Sequence[str] = ()  # modules without which it is skipped
    vital: bool = False  # unless it passes, the later stages are skipped
    shown: bool = False  # the summary has all of its output
    status: str = "waiting"  # then: running; passed, failed, stopped, skipped, interrupted
    reason: str = ""
    seconds: float = 0.0
    limit: float = 0.0
    output: list[str] = field(default_factory=list)  # its last lines


def gpu_stages() -> list[Stage]:
    python = (sys.executable, "-u")
    tests = ("-m", "gpu", "-vv", "-rfEs", "-p", "no:cacheprovider", "-W", "default::DeprecationWarning")
    training = ("--backend", "cupy", "--data", "synthetic", "--steps", "500", "--out", "{tmp}/run")
    tables = ("--backend", "cupy", "--seconds", "4", "--patience", "60", "--stop-after", "{seconds}", "--out", "{out}")
    return [
        Stage("machine", (*python, "-m", "benchmarks.machine"), 25, vital=True, shown=True),
        Stage("GPU tests", (*python, "-m", "pytest", *tests, "tests/cuda"), 150, (*GANS, "pytest", "hypothesis")),
        Stage("captured steps", (*python, "-m", "tests.cuda.capture_report"), 80, GANS, shown=True),
        Stage("training", (*python, "-m", "gans.mnist_gan", *training), 40, GANS),
        Stage("benchmark", (*python, "-m", "benchmarks", *tables), 170, (*GANS, "torch")),
    ]


class Session:
    """Runs stages and keeps a record of them in a folder."""

    def __init__(self, stages: Sequence[Stage], out: Path, seconds: float) -> None:
        self.stages, self.out = stages, out
        self.started = datetime.datetime.now(datetime.UTC)
        self.deadline = time.monotonic() + seconds
        self.log = out / "log.txt"
        out.mkdir(parents=True, exist_ok=True)

    def run(self) -> bool:
        """Whether every stage that could run passed, and one could."""
        try:
            for i, stage in enumerate(self.stages):
                self.run_stage(stage, i)
        except KeyboardInterrupt:
            for stage in self.stages:
                if stage.status in ("waiting", "running"):
                    stage.status, stage.reason = "interrupted", "the session was interrupted"
            raise
        finally:
            self.write()
        statuses = {stage.status for stage in self.stages}
        return "passed" in statuses and statuses <= {"passed", "skipped"}

    def run_stage(self, stage: Stage, index: int) -> None:
        broken = next((s for s in self.stages[:index] if s.vital and s.status != "passed"), None)
        missing = [module for module in stage.needs if importlib.util.find_spec(module) is None]
        left = self.deadline - time.monotonic()
        if missing:
            install = " ".join(PACKAGES.get(module, module) for module in missing)
            stage.status, stage.reason = "skipped", f"not installed: {', '.join(missing)} (pip install {install})"
        elif broken:
            stage.status, stage.reason = "skipped", f"the stage {broken.name} did not pass"
        elif left <= 0:
            stage.status, stage.reason = "skipped", "no time was left"
        else:
            stage.status = "running"
            stage.limit = left * stage.share / sum(s.share for s in self.stages[index:])
            self.write()
            print(f"{stage.name}: at most {stage.limit:.0f} s ...", flush=True)
            self.execute(stage)
        print(f"{stage.name}: {stage.status} ({stage.seconds:.0f} s) {stage.reason}", flush=True)
        self.write()

    def execute(self, stage: Stage) -> None:
        """Run the stage's command until it ends, its time is over, or it has printed too much."""
        begin = time.monotonic()
        with self.log.open("ab") as log, tempfile.TemporaryDirectory() as scratch:
            log.write(f"\n=== {stage.name}: {' '.join(stage.command)}\n".encode())
            log.flush()
            first_byte = log.tell()
            values = {"out": str(self.out), "tmp": scratch, "seconds": f"{max(1.0, stage.limit - 45):.0f}"}
            process = subprocess.Popen(
                [fill(argument, values) for argument in stage.command],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip
            try:
                while process.poll() is None and not stage.reason:
                    if time.monotonic() - begin > stage.limit:
                        stage.reason = f"stopped after {stage.limit:.0f} s"
                    elif self.log.stat().st_size - first_byte > LOG_BYTES:
                        stage.reason = f"stopped after printing {LOG_BYTES >> 20} MB"
                    time.sleep(0.1)
            finally:
                kill_group(process)
                stage.seconds = time.monotonic() - begin
                stage.output = last_lines(self.log, first_byte)
                cut(self.log, first_byte + LOG_BYTES)
        if stage.reason:
            stage.status = "stopped"
        else:
            stage.status = "passed" if process.returncode == 0 else "failed"
            stage.reason = stage.output[-1] if stage.output else f"exit status {process.returncode}, no output"

    def write(self) -> None:
        data = {
            "started": self.started.isoformat(timespec="seconds"),
            "finished": all(stage.status not in ("waiting", "running") for stage in self.stages),
            "stages": [asdict(stage) for stage in self.stages],
        }
        replace(self.out / "session.json", json.dumps(data, indent=1) + "\n")
        replace(self.out / "summary.md", self.summary())

    def summary(self) -> str:
        lines = ["# A session on a GPU", "", f"Started {self.started:%Y-%m-%d %H:%M} UTC. Everything printed: log.txt.", ""]
        lines += ["| stage | status | seconds | limit | |", "| --- | --- | --: | --: | --- |"]
        for stage in self.stages:
            times = f"{stage.seconds:.0f} | {stage.limit:.0f}" if stage.limit else " | "
            lines.append(f"| {stage.name} | {stage.status} | {times} | {stage.reason.replace('|', '/')} |")
        for stage in self.stages:
            if stage.output and (stage.shown or stage.status in ("failed", "stopped", "interrupted")):
                lines += ["", f"## {stage.name}: {stage.status}", "", "```", *stage.output, "```"]
        if (self.out / "report.md").exists():
            lines += ["", "The benchmark: [report.md](report.md)."]
        return "\n".join(lines) + "\n"


def fill(argument: str, values: dict[str, str]) -> str:
    """Replace {name} by its value; other braces stay as they are."""
    return re.sub(r"\{(out|tmp|seconds)\}", lambda match: values[match[1]], argument)


def die_with_parent() -> None:
    """In a new process: have Linux kill it when this session is killed."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a stage with all its children: first ask, then kill.

    A stage that has ended may have left children.
    """
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except (ProcessLookupError, PermissionError):  # there is no process left in the group
            break
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def last_lines(log: Path, first_byte: int) -> list[str]:
    """The last lines that a stage printed.

    Of a line that overwrote itself, as progress bars do, its last state.
    """
    with log.open("rb") as file:
        file.seek(max(first_byte, log.stat().st_size - (64 << 10)))
        text = file.read().decode(errors="replace")
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return [line for line in lines if line][-TAIL_LINES:]


def cut(log: Path, size: int) -> None:
    if log.stat().st_size > size:
        os.truncate(log, size)


def replace(path: Path, text: str) -> None:
    """Write a file so that at any moment it is either as it was or complete."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def default_folder() -> Path:
    """A new one, named after the date and the GPU."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        printed = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
        gpu = re.sub(r"[^a-z0-9]+", "-", printed.splitlines()[0].lower()).strip("-")
    except (OSError, subprocess.SubprocessError, IndexError):
        gpu = "no-gpu"
    folder = ROOT / "benchmarks" / "results" / f"{datetime.date.today()}-{gpu}"
    names = itertools.chain([folder], (folder.with_name(f"{folder.name}-{i}") for i in itertools.count(2)))
    return next(name for name in names if not name.exists())


def stop(*_: Any) -> None:
    raise KeyboardInterrupt


def minutes(text: str) -> float:
    """The type of --minutes."""
    with contextlib.suppress(ValueError):
        if 0 < (value := float(text)) <= 1e4:
            return value
    raise argparse.ArgumentTypeError(f"{text[:99]!r} is not a number above 0, and at most 10,000")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.gpu_session", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: $OUT, or benchmarks/results/<date>-<gpu>")
    parser.add_argument("--minutes", type=minutes, default=MINUTES, metavar="M", help=f"for everything (default: {MINUTES})")
    arguments = parser.parse_args(argv)
    begin = time.monotonic()
    out = (arguments.out or Path(os.environ.get("OUT") or default_folder())).resolve()
    if (out / "session.json").exists():
        parser.error(f"{out} already holds a session; choose another folder with --out")
    if out.exists() and not out.is_dir():
        parser.error(f"{out} is a file; choose a folder with --out")
    session = Session(gpu_stages(), out, 60 * arguments.minutes)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP; a background job ignores SIGINT unless told otherwise
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), stop)
    try:
        passed = session.run()
    except KeyboardInterrupt:
        print(f"interrupted; {out} has what was done", flush=True)
        return 130
    bad = [stage.name for stage in session.stages if stage.status in ("failed", "stopped")]
    print(f"{time.monotonic() - begin:.0f} seconds; see {out / 'summary.md'}")
    if bad:
        print(f"not passed: {', '.join(bad)}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
