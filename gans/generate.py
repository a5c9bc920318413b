"""Images from a finished or running run: `python -m gans.generate runs/mnist_gan --count 100 --out digits.png`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import minigrad as mg
from gans.trainers import load_run
from gans.training.cli import one_line_errors
from gans.training.config import ConfigError, OneLineParser
from gans.training.images import grid, save_gif, save_png
from gans.training.latent import LatentTrainer
from minigrad.arrays import backend

MOST = 10_000  # images in one picture
STOPS = 5  # latent points that a walk visits
FRAMES = 16  # from one of them to the next


def main(argv: Sequence[str] | None = None) -> None:
    parser = OneLineParser("python -m gans.generate", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder, such as runs/mnist_gan")
    parser.add_argument("--count", type=_positive, default=64, metavar="N", help="images (default: 64)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, other images (default: 0)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="PNG or, for a walk, GIF (default: in the run folder)")
    parser.add_argument("--interpolate", action="store_true", help="a GIF: each image walks between points of the latent space")
    parser.add_argument("--backend", choices=("auto", "numpy", "cupy"), default="numpy", help="what computes (default: numpy)")
    arguments = parser.parse_args(argv)
    with one_line_errors(parser.prog):
        print(_run(arguments))


def _run(arguments: argparse.Namespace) -> Path:
    trainer = load_run(arguments.run, backend.resolve(arguments.backend))
    if not isinstance(trainer, LatentTrainer):
        raise ConfigError(f"{arguments.run} is a run of gans.{trainer.name}, which translates pictures: use gans.translate")
    suffix = ".gif" if arguments.interpolate else ".png"
    out = arguments.out or arguments.run / f"generated{suffix}"
    if out.suffix.lower() != suffix:
        raise ConfigError(f"--out must end in {suffix}, not in {out.suffix or 'nothing'}")
    if not 0 <= arguments.seed < 2**64:
        raise ConfigError(f"--seed must be from 0 to 2^64 - 1, not {arguments.seed}")
    generator = mg.Generator(arguments.seed)
    shape = (arguments.count, trainer.latent_size)
    if arguments.interpolate:
        stops = [generator.randn(shape, trainer.backend).data for _ in range(STOPS)]
        save_gif(out, [grid(trainer.generate(mg.Tensor(z))) for z in walk(stops, FRAMES)], milliseconds=60, last=60)
    else:
        save_png(out, grid(trainer.generate(generator.randn(shape, trainer.backend))))
    return out


def walk(stops: Sequence[np.ndarray], frames: int) -> list[np.ndarray]:
    """Latent vectors on a round trip through the stops, `frames` from one to the next.

    Along great circles: the normal distribution in many dimensions lies near a sphere, and a straight line between two
    points of it would cut through the inside, where the generator has never been trained.
    """
    path = []
    for a, b in zip(stops, [*stops[1:], stops[0]], strict=True):
        angle = np.arccos((_unit(a) * _unit(b)).sum(axis=1, keepdims=True))
        for t in np.arange(frames) / frames:
            step = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
            path.append(step.astype(a.dtype))
    return path


def _unit(z: np.ndarray) -> np.ndarray:
    return z / (z * z).sum(axis=1, keepdims=True) ** 0.5


def _positive(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {MOST}")
    return int(text)


if __name__ == "__main__":
    main()
