"""A run folder with a file that a stranger changed gives a result or one sentence, soon and in little memory.

By default some dozens of changes; `pytest -m long` draws 10,000.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from tiny_trainers import dense_discriminator, dense_generator

from gans.data.errors import DataError
from gans.mnist_gan import MnistGAN
from gans.training.plots import plot_curves
from gans.training.run_folder import RunFolder
from minigrad import FileError
from tests.gans.conftest import Ended, Train
from tests.gans.training.conftest import sentence
from tests.gans.training.mutations import mutate

SECONDS, MEGABYTES = 5, 500


@pytest.fixture
def run(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plots_stubbed: None) -> Path:
    """A tiny run of 16 steps: one row of metrics.csv, a partial one, and a checkpoint with pending metrics."""
    monkeypatch.setattr(MnistGAN, "make_generator", dense_generator)
    monkeypatch.setattr(MnistGAN, "make_discriminator", dense_discriminator)
    load = MnistGAN.load_images

    def without_network(trainer: MnistGAN) -> Any:
        if trainer.config.data in (None, "synthetic"):
            raise DataError("there is no network in this test, and no time to draw 60,000 digits")
        return load(trainer)

    monkeypatch.setattr(MnistGAN, "load_images", without_network)
    assert train("--epochs", 6, "--steps", 16, "--no-capture", "--out", tmp_path / "run").code == 0
    return tmp_path / "run"


@contextmanager
def bounded() -> Iterator[None]:
    """Fails if the block takes too much time or memory. It is stopped where it waits without end."""
    resource = pytest.importorskip("resource", reason="measures memory with Unix' getrusage")

    def too_long(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("it waits, for a named pipe?")

    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    handler = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(100)  # of wall time, on a machine that may be busy
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
    assert time.process_time() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1000 * MEGABYTES  # kilobytes


def fine(ended: Ended) -> bool:
    """Whether a command gave a result; else it must have given one sentence."""
    return ended.code == 0 or not ended.complaint


SLICES = [range(40), *(pytest.param(range(n, n + 500), marks=pytest.mark.long) for n in range(0, 10_000, 500))]


@pytest.mark.parametrize("seeds", SLICES, ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_a_changed_file_gives_a_result_or_one_sentence(seeds: range, run: Path, train: Train, generate: Any) -> None:
    folder = run.with_name("changed")
    outcomes = set()
    for seed in seeds:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(run, folder)
        name = mutate(seed, folder)
        changed = (folder / name).read_bytes()
        try:
            with bounded():
                result = fine(train("--resume", "--steps", 22, "--out", folder))
                fine(generate(folder, "--count", 2))
        except BaseException as error:
            error.add_note(f"seed {seed}: {name} is {changed[:2000]!r}")
            raise
        if not result and name in ("checkpoint.safetensors", "metrics.csv"):
            assert (folder / name).read_bytes() == changed, seed
        outcomes.add((name, result))
    assert len(outcomes) == 7, "each file was accepted and refused, but the weights, which are only written"


@pytest.mark.parametrize("heading", ["$\\frac$", "$$$", "\\", "{}", "%s", "^_", "a" * 300])
def test_the_names_of_curves_are_not_read_as_mathematics(heading: str, tmp_path: Path) -> None:
    plot_curves(tmp_path / "losses.png", np.arange(3.0), {heading: np.ones(3)}, {heading: "$x_"})
    assert (tmp_path / "losses.png").exists()


DAMAGED = [
    "step,a,a\n10,1,1\n", "x,a\n10,1\n", "step,a\n10\n", "step,a\n10,1,1\n", "step,a\n10,x\n", "step,a\n10,nan\n",
    "step,a\n10,inf\n", "step,a\n20,1\n10,1\n", "step,a\n10,1\n10,1\n", "step,a\n0,1\n", "step,a\n-10,1\n",
    "step,a\n10.5,1\n", "step,a\n10,1e39\n", "step,a\n1e400,1\n", "step," + ",".join(map(str, range(1001))) + "\n",
    "step,\x1b[2J\n10,1\n", "step,a\n10,1\n\x00\n", "step,a\n" + "9" * 5000 + ",1\n", "\x00\n", "," * 200_000 + "\n",
]  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: repr(text[:20]))
def test_damaged_metrics_are_refused_in_one_sentence_and_kept(text: str, started: RunFolder) -> None:
    metrics = started.metrics
    metrics.path.write_bytes(text.encode())
    for use in (metrics.read, lambda: metrics.cut(100)):
        with pytest.raises(FileError, match=r"metrics\.csv is damaged: delete it") as caught:
            use()
        sentence(caught.value)
    assert metrics.path.read_bytes() == text.encode()


@pytest.mark.parametrize("text", ["", "step", "step,a", "step,a\n", "step,a\n\n\n", "step,a\n10,1"])
def test_metrics_without_a_whole_row_are_empty(text: str, started: RunFolder) -> None:
    started.metrics.path.write_bytes(text.encode())
    assert len(started.metrics.read()[0]) == 0
