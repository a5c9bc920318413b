"""Fixtures: tiny data sets, and commands that run in this process or, where it matters, in a new one."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gans
from gans.data.drawn.digits import synthetic_digits
from gans.data.idx import write_idx

Train = Callable[..., "Ended"]
Start = Callable[..., subprocess.Popen[str]]

ROOT = Path(gans.__file__).parents[1]
TRAIN_IMAGES = "train-images-idx3-ubyte"


@dataclass(frozen=True)
class Ended:
    """The exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one-line error of a command. Otherwise stderr may only contain the note on compiling and the progress bar."""
        assert self.code == 1, (self.code, self.err)
        assert "Traceback" not in self.err, self.err
        *before, last = self.err.replace("\r", "\n").rstrip("\n").split("\n")
        for line in before:
            assert not line or line.startswith(("The first run compiles", "epoch ")), f"{line!r} before {last!r}"
        assert last.startswith("python -m gans."), last
        return last


def run_here(main: Callable[[list[str]], None], arguments: tuple[object, ...]) -> Ended:
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(a) for a in arguments])
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
            code = 1 if isinstance(end.code, str) else end.code or 0
    return Ended(code, out.getvalue(), err.getvalue())


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def state(folder: Path) -> dict[str, bytes]:
    """The files that must not depend on interruptions: weights, optimizer and random state, position, samples."""
    kept = files(folder)
    return {name: kept[name] for name in kept if name.endswith((".safetensors", ".png", ".gif")) and name != "losses.png"}


def checkpoint_step(folder: Path) -> int:
    from minigrad.io.safetensors import load_with_metadata

    return int(load_with_metadata(folder / "checkpoint.safetensors")[1]["step"])


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 72 images in MNIST's format. With --batch-size 16 an epoch has 4 steps and skips 8 images."""
    folder = tmp_path_factory.mktemp("digits")
    rng = np.random.default_rng(0)
    images = np.zeros((72, 28, 28), np.uint8)
    for image in images:
        top, left = rng.integers(4, 16, 2)
        image[top : top + 9, left : left + 6] = rng.integers(128, 256, (9, 6))
    write_idx(folder / TRAIN_IMAGES, images)
    return folder


def write_labelled(folder: Path, split: str, count: int, seed: int) -> None:
    """Write synthetic digits and their labels in MNIST's format. The split is "train" or "t10k"."""
    images, labels = synthetic_digits(count, seed)
    write_idx(folder / f"{split}-images-idx3-ubyte", images)
    write_idx(folder / f"{split}-labels-idx1-ubyte", labels)


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all four files of MNIST: 72 images to train, and 40 others to test. Do not change it."""
    folder = tmp_path_factory.mktemp("labelled")
    write_labelled(folder, "train", 72, seed=0)
    write_labelled(folder, "t10k", 40, seed=1)
    return folder


@pytest.fixture(scope="session")
def two_domains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 18 reddish images A, 26 bluish images B, and 3 and 2 to test. With --batch-size 4 an epoch has 6 steps."""
    folder = tmp_path_factory.mktemp("two-domains")
    rng = np.random.default_rng(0)
    for name, count, channel in (("trainA", 18, 0), ("testA", 3, 0), ("trainB", 26, 2), ("testB", 2, 2)):
        (folder / name).mkdir()
        for i in range(count):
            pixels = rng.integers(0, 200, (5, 5, 3), dtype=np.uint8)
            pixels[..., channel] = 255
            Image.fromarray(pixels).resize((44, 40)).save(folder / name / f"{i:02}.png")
    return folder


@pytest.fixture
def train(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """`python -m gans.mnist_gan --data DIGITS --batch-size 16 ...` in this process, in an empty current folder."""
    from gans.mnist_gan import MnistGAN
    from gans.training.cli import main

    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "no-cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments: object, data: Path | None = digits) -> Ended:
        fresh = [] if "--resume" in arguments else ["--batch-size", "16"]
        given = ["--data", data] if data and "--resume" not in arguments else []
        return run_here(lambda argv: main(MnistGAN, argv), (*given, *fresh, *arguments))

    return run


@pytest.fixture
def generate() -> Callable[..., Ended]:
    """`python -m gans.generate ...` in this process."""
    from gans.generate import main

    return lambda *arguments: run_here(main, arguments)


@pytest.fixture
def cyclegan(two_domains: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """`python -m gans.cyclegan --data TWO_DOMAINS ...` in this process, with tiny networks and an untrained classifier."""
    monkeypatch.setattr("gans.measures.domain_classifier.STEPS", 0)
    from gans.cyclegan import CycleGAN
    from gans.training.cli import main

    def run(*arguments: object, data: Path | None = two_domains) -> Ended:
        given = ["--data", data] if data else []
        fresh = ["--image-size", "32", "--width", "2", "--batch-size", "4"]
        return run_here(lambda argv: main(CycleGAN, argv), (*([] if "--resume" in arguments else given + fresh), *arguments))

    return run


@pytest.fixture
def translate() -> Callable[..., Ended]:
    """`python -m gans.translate ...` in this process."""
    from gans.translate import main

    return lambda *arguments: run_here(main, arguments)


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start `python -m MODULE ...` in a new process with piped output."""

    def run(module: str, *arguments: object) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path, "MINIGRAD_CACHE": str(tmp_path / "no-cache")}
        command = [sys.executable, "-m", module, *map(str, arguments)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, cwd=tmp_path)

    return run


@pytest.fixture
def plots_stubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip drawing losses.png and keep sample grids small: both take longer than tiny networks, and have their own tests."""
    from gans.training import latent, run_folder

    monkeypatch.setattr(latent, "SAMPLES", 4)
    monkeypatch.setattr(run_folder, "plot_curves", lambda path, *_: path.write_bytes(b"stub"))
