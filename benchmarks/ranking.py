"""The GANs on MNIST at equal time: `python -m benchmarks.ranking`.

Every trainer makes as many steps as fit into five minutes of one core (never of a GPU), with its default settings and three
seeds. Its images are compared with MNIST's test images, and the trainers are sorted by the Frechet distance. The folder keeps
the runs, and in steps.json, ranking.json and an image for each trainer what came of them: a ranking that was stopped continues
where it was, and a run that has been measured is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.machine import machine
from gans.command import running
from gans.data.batches import digest_of
from gans.data.errors import DataError
from gans.data.images import MNIST_SIZE
from gans.data.mnist import load_mnist
from gans.measures.evaluation import Comparison
from gans.measures.real import load_real, with_classifier
from gans.measures.report import FLOOR
from gans.output import save_image
from gans.trainers import TRAINERS as ALL_TRAINERS
from gans.trainers import load_run, trainer_named
from gans.training.arguments import integer_up_to
from gans.training.config import ConfigError, OneLineParser, parse
from gans.training.images import grid, read_png
from gans.training.latent import LatentTrainer
from gans.training.run_folder import RunFolder
from minigrad.capture import Captured
from minigrad.io.files import FileError, make_folder, write_atomically

TRAINERS = (
    "mnist_gan", "dcgan --arch 28", "lsgan --arch 28", "softmax_gan --arch 28", "hinge_gan", "wgan", "wgan_gp",
    "wgan_gp --arch conv", "r3gan --arch 28", "cgan", "infogan", "bigan", "ssgan",
)  # fmt: skip
MINUTES, SEEDS = 5, 3
WARM_UP, TIMED = 4, 10  # steps
EPOCHS = 10_000  # no run gets so far: its number of steps ends it
COUNT, SEED = 10_000, 0  # images of a run that are measured, and the seed of their noise
ACROSS = 16  # images of a trainer in ranking.png

NOT_IN_RANKING = {  # flags of the trainers
    "backend", "checkpoint", "data", "dry_run", "epochs", "local_norm", "out", "overwrite", "parallel", "resume",
    "sample_every", "seed", "steps", "stop_when",
}  # fmt: skip

ONE_THREAD = {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

Results = dict[str, dict[str, float]]  # for each run, its measures and its number of steps


class Entry(NamedTuple):
    """A trainer with its flags, the processor time of a step in seconds, and the number of steps."""

    command: str
    seconds: float
    steps: int

    def run(self, seed: int) -> str:
        """The name of a run's folder."""
        return f"{self.command.replace(' --', '-').replace(' ', '_')}-{seed}"


@running("python -m benchmarks.ranking", (ConfigError, DataError, FileError))
def main(argv: Sequence[str] | None = None) -> None:
    arguments = argument_parser().parse_args(argv)
    from minigrad.kernels.cpu.threads import set_num_threads  # --help does without it

    set_num_threads(1)  # for the steps that are timed here, and the measures
    make_folder(arguments.out, follow=True)
    entries = entries_of(arguments)
    results = results_of(entries, arguments)
    ranking = ranked(entries, results, arguments.seeds)
    seeds = "seed 0" if arguments.seeds == 1 else f"seeds 0 to {arguments.seeds - 1}"
    text = f"{machine()}; {arguments.minutes} minutes on one core, {seeds}.\n\n"
    text += table(ranking, results[FLOOR])
    write_atomically(arguments.out / "ranking.md", text.encode())
    print(text)
    show(ranking, arguments.out)


def argument_parser() -> argparse.ArgumentParser:
    parser = OneLineParser("python -m benchmarks.ranking", description=__doc__)
    names = ", ".join(TRAINERS)
    parser.add_argument("trainers", nargs="*", metavar="TRAINER", help=f"which, with their flags in quotes (default: {names})")
    for flag, default, most, help in (
        ("--minutes", MINUTES, 10_000, "processor time of a run"),
        ("--seeds", SEEDS, 100, "runs of a trainer"),
        ("--jobs", 1, 1024, "runs that train at a time, each on one core; on another core one may be measured"),
    ):
        parser.add_argument(flag, type=integer_up_to(most), default=default, metavar="N", help=f"{help} (default: {default})")
    parser.add_argument("--data", metavar="DIR", help="folder with MNIST's IDX files (default: downloaded)")
    parser.add_argument("--out", type=Path, default=Path("runs/ranking"), metavar="DIR", help="folder (default: runs/ranking)")
    return parser


# --- training


def entries_of(arguments: argparse.Namespace) -> list[Entry]:
    """The trainers with the number of steps of their runs: those in steps.json, or timed now and written there."""
    path = arguments.out / "steps.json"
    commands = list(dict.fromkeys(" ".join(command.split()) for command in arguments.trainers or TRAINERS))
    known: dict[str, float] = read_object(path, lambda known: all(seconds > 0 for seconds in known.values()))
    for command in commands:
        check(command)
    for command in commands:
        if command not in known:
            known[command] = seconds_of_a_step(command, arguments.data)
            write_atomically(path, as_json(known))
    return [Entry(command, known[command], max(1, int(60 * arguments.minutes / known[command]))) for command in commands]


def check(command: str) -> None:
    """ConfigError if there is no such trainer of digits, or its flags are wrong or among those that the ranking sets."""
    name, *flags = command.split() or [""]
    names = [known for known in ALL_TRAINERS if issubclass(trainer_named(known), LatentTrainer)]
    if name not in names:
        raise ConfigError(f"no trainer of digits is called {name!r}; they are {', '.join(names)}")
    _, given = parse(trainer_named(name).config_class, command, flags)
    if taken := sorted(given & NOT_IN_RANKING):
        raise ConfigError(f"{command}: the ranking sets --{taken[0].replace('_', '-')} itself, or does without it")


def flags_of_all(data: str | None) -> list[str]:
    """The flags that every trainer gets: the backend and the digits."""
    return ["--backend", "numpy", *(["--data", data] if data else [])]


def seconds_of_a_step(command: str, data: str | None) -> float:
    """The processor time of the fastest of some captured steps, which does not depend on other programs as the clock does.

    ConfigError if the trainer's images are not MNIST's digits, or a step fails.
    """
    name, *flags = command.split()
    trainer_class = trainer_named(name)
    config, _ = parse(trainer_class.config_class, command, [*flags, *flags_of_all(data)])
    trainer: Any = trainer_class(config)
    if trainer.image_shape != (1, MNIST_SIZE, MNIST_SIZE):
        raise ConfigError(f"{command}: its images are {trainer.image_shape}, not MNIST's digits (for many trainers: --arch 28)")
    batches, step, times = trainer.load_batches(), Captured(trainer.step), []
    try:
        with np.errstate(all="ignore"):
            for i in range(WARM_UP + TIMED):
                begin = time.process_time()
                step(*batches[i])
                times.append(time.process_time() - begin)
    except FloatingPointError as error:
        raise ConfigError(f"{command}: {error}") from error
    return min(times[WARM_UP:])


class Trainings:
    """The runs that train now, each in a process of its own."""

    def __init__(self) -> None:
        self.processes: set[subprocess.Popen[bytes]] = set()
        self.stopped = False

    def run(self, command: Sequence[str]) -> int:
        """Start a process and wait for it; returns its exit code."""
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **ONE_THREAD}) as process:
            self.processes.add(process)
            if self.stopped:  # while this one was being started
                process.terminate()
            try:
                return process.wait()
            finally:
                self.processes.discard(process)

    def stop(self) -> None:
        """Let all of them save and end."""
        self.stopped = True
        for process in list(self.processes):
            process.terminate()


def train(entry: Entry, seed: int, arguments: argparse.Namespace, trainings: Trainings) -> tuple[Entry, int]:
    """Train a run, or what is missing of it; returns its entry and its seed. ConfigError if it fails or is too long."""
    name, *flags = entry.command.split()
    out = arguments.out / entry.run(seed)
    flags += ["--steps", f"{entry.steps}", "--epochs", f"{EPOCHS}", "--seed", f"{seed}", "--sample-every", "1000steps"]
    flags += ["--out", f"{out}", *flags_of_all(arguments.data)]
    if (out / "config.json").exists():
        before = RunFolder(out).settings()["config"].get("steps")
        if before is None or before > entry.steps:
            long = "without a limit" if before is None else f"for {before} steps"
            raise ConfigError(f"{out} has been trained {long}, not for {entry.steps}; choose another --out")
        flags.append("--resume")
    if code := trainings.run([sys.executable, "-m", f"gans.{name}", *flags]):
        raise ConfigError(f"{out} ended with exit code {code}; its message is above")
    return entry, seed


# --- measuring


def results_of(entries: Sequence[Entry], arguments: argparse.Namespace) -> Results:
    """The measures of all runs and of real images: those in ranking.json, and those of the runs that are missing there.

    A run is measured while the next ones train, and written at once. ConfigError if ranking.json is about other digits.
    """
    path: Path = arguments.out / "ranking.json"
    digits = digest_of(load_mnist(arguments.data, "train").images)
    kept = read_object(path, lambda kept: {*kept} == {"digits", "measures"} and FLOOR in kept["measures"])
    if kept and kept["digits"] != digits:
        raise ConfigError(f"{path} compares runs with other digits; choose another --out")
    known: Results = kept.get("measures", {})
    runs = list(product(range(arguments.seeds), entries))  # every trainer once before any a second time
    missing = [(entry, seed) for seed, entry in runs if not is_complete(entry, seed, known, arguments.out)]
    comparison: Comparison | None = None
    with training(arguments, missing) as trained:
        for entry, seed in trained:
            trainer = trainer_of(arguments.out / entry.run(seed))
            if comparison is None:
                comparison = comparison_with_real(trainer)
                known[FLOOR] = comparison.fidelity(comparison.others)
            images = trainer.generate(*trainer.fixed_inputs(len(comparison.reference), SEED))
            if seed == 0:
                some = trainer.generate(*trainer.fixed_inputs(ACROSS, SEED))
                save_image(row_path(entry, arguments.out), grid(some, across=ACROSS))
            known[entry.run(seed)] = {**comparison.fidelity(images), "steps": entry.steps}
            write_atomically(path, as_json({"digits": digits, "measures": known}))
    return known


@contextmanager
def training(arguments: argparse.Namespace, runs: Sequence[tuple[Entry, int]]) -> Iterator[Iterator[tuple[Entry, int]]]:
    """Context in which runs train in the background; gives each when it has been trained. An error ends those that train."""
    trainings = Trainings()
    with ThreadPoolExecutor(arguments.jobs) as pool:
        try:
            yield (done.result() for done in as_completed([pool.submit(train, *run, arguments, trainings) for run in runs]))
        except BaseException:  # Ctrl-C too
            pool.shutdown(wait=False, cancel_futures=True)
            trainings.stop()
            raise


def is_complete(entry: Entry, seed: int, known: Results, out: Path) -> bool:
    """Whether a run has been measured after so many steps and, with the first seed, shown."""
    return known.get(entry.run(seed), {}).get("steps") == entry.steps and (seed > 0 or row_path(entry, out).exists())


def row_path(entry: Entry, out: Path) -> Path:
    """Some images of the trainer's run with the first seed."""
    return out / f"{entry.run(0)}.png"


def read_object(path: Path, is_whole: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The object in a JSON file, empty if there is no file. FileError if it is damaged."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
        if isinstance(found, dict) and is_whole(found):
            return found
    except (OSError, TypeError, ValueError) as error:
        raise FileError(f"{path} is damaged ({error})") from error
    raise FileError(f"{path} is damaged, or of another version")


def as_json(found: dict[str, Any]) -> bytes:
    return (json.dumps(found, indent=2) + "\n").encode()


def comparison_with_real(trainer: LatentTrainer) -> Comparison:
    """The comparison with the images that the trainer was not trained on, by a classifier of the digits."""
    real, digits = load_real(trainer)
    if digits is None:
        raise ConfigError("the digits have no labels, so no classifier can learn to compare them")
    return Comparison(with_classifier(real, digits), min(COUNT, real.most), SEED)


def trainer_of(run: Path) -> LatentTrainer:
    trainer: Any = load_run(run, "numpy")
    return trainer


# --- reporting


def ranked(entries: Sequence[Entry], results: Results, seeds: int) -> dict[Entry, dict[str, list[float]]]:
    """The measures of each trainer's runs; sorted by the median of the first one, the Frechet distance."""
    first, *_ = results[FLOOR]
    runs = {entry: [results[entry.run(seed)] for seed in range(seeds)] for entry in entries}
    found = {entry: {name: [run[name] for run in each] for name in results[FLOOR]} for entry, each in runs.items()}
    return dict(sorted(found.items(), key=lambda each: statistics.median(each[1][first])))


def table(ranking: dict[Entry, dict[str, list[float]]], floor: dict[str, float]) -> str:
    """A Markdown table: of each trainer the median of its runs, and for the first measure also the lowest and the highest."""
    first, *others = floor
    lines = [
        f"| `python -m gans.` | steps | ms a step | {first} | {' | '.join(others)} |",
        f"| --- | --: | --: | --: | {' | '.join('--:' for _ in others)} |",
    ]
    for entry, runs in ranking.items():
        low, middle, high = (f(runs[first]) for f in (min, statistics.median, max))
        distance = f"{middle:.2f} ({low:.2f} to {high:.2f})" if len(runs[first]) > 1 else f"{middle:.2f}"
        shares = " | ".join(f"{100 * statistics.median(runs[name]):.0f} %" for name in others)
        lines.append(f"| `{entry.command}` | {entry.steps:,} | {1e3 * entry.seconds:.1f} | {distance} | {shares} |")
    lines.append(f"| {FLOOR} | | | {floor[first]:.2f} | {' | '.join(f'{100 * floor[name]:.0f} %' for name in others)} |")
    return "\n".join(lines) + "\n"


def show(entries: Iterable[Entry], out: Path) -> None:
    """Write ranking.png: the images of the first seed of each trainer, one row below the other."""
    rows = [read_png(row_path(entry, out)) for entry in entries]
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    save_image(out / "ranking.png", np.concatenate(rows))


if __name__ == "__main__":
    main()
