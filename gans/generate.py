"""Generate images with a trained generator: `python -m gans.generate runs/mnist_gan --count 100`.

This also works while the run is still training: it uses the weights of the last checkpoint.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import minigrad as mg
from gans.command import running
from gans.trainers import load_run
from gans.training.arguments import add_backend, add_run, integer_up_to
from gans.training.cli import USER_ERRORS
from gans.training.config import ConfigError, OneLineParser
from gans.training.images import grid, save_gif, save_png
from gans.training.latent import LatentTrainer
from minigrad.arrays import backend

MAX_COUNT = 10_000  # images in one grid
WAYPOINTS = 5  # random latent vectors that an interpolation passes through
FRAMES = 16  # frames from one waypoint to the next


@running("python -m gans.generate", USER_ERRORS)
def main(argv: Sequence[str] | None = None) -> None:
    parser = OneLineParser("python -m gans.generate", description=__doc__)
    add_run(parser, "runs/mnist_gan")
    parser.add_argument(
        "--count", type=integer_up_to(MAX_COUNT), default=64, metavar="N", help="number of images (default: 64)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the latent vectors (default: 0)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="PNG, or GIF with --interpolate (default: generated.png or .gif in the run folder)",
    )
    parser.add_argument(
        "--interpolate",
        action="store_true",
        help="write an animated GIF: a looping walk of each image through the latent space",
    )
    add_backend(parser)
    print(_run(parser.parse_args(argv)))


def _run(arguments: argparse.Namespace) -> Path:
    trainer = load_run(arguments.run, backend.resolve(arguments.backend))
    if not isinstance(trainer, LatentTrainer):
        raise ConfigError(
            f"{arguments.run} is a run of gans.{trainer.name}, which translates images instead of generating them: "
            "use gans.translate"
        )
    suffix = ".gif" if arguments.interpolate else ".png"
    out = arguments.out or arguments.run / f"generated{suffix}"
    if out.suffix.lower() != suffix:
        raise ConfigError(f"--out {out} must end in {suffix}")
    if not 0 <= arguments.seed < 2**64:
        raise ConfigError(f"--seed must be from 0 to 2^64 - 1, not {arguments.seed}")
    generator = mg.Generator(arguments.seed)
    shape = (arguments.count, trainer.latent_size)
    if arguments.interpolate:
        waypoints = [generator.randn(shape, trainer.backend).data for _ in range(WAYPOINTS)]
        frames = [grid(trainer.generate(mg.Tensor(z))) for z in latent_walk(waypoints, FRAMES)]
        save_gif(out, frames, milliseconds=60, last=60)
    else:
        save_png(out, grid(trainer.generate(generator.randn(shape, trainer.backend))))
    return out


def latent_walk(waypoints: Sequence[np.ndarray], frames: int) -> list[np.ndarray]:
    """A closed loop through the waypoints, in `frames` steps from each to the next.

    Waypoints and results are latent vectors (n, latent_size): n loops at once.

    The interpolation is spherical (slerp) because a normal distribution in many dimensions
    concentrates near a sphere: a straight line between two samples would pass through its inside,
    where the generator was never trained.
    """
    path = []
    for a, b in zip(waypoints, [*waypoints[1:], waypoints[0]], strict=True):
        angle = np.arccos((_normalized(a) * _normalized(b)).sum(axis=1, keepdims=True))
        for t in np.arange(frames) / frames:
            z = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
            path.append(z.astype(a.dtype))
    return path


def _normalized(z: np.ndarray) -> np.ndarray:
    return z / (z * z).sum(axis=1, keepdims=True) ** 0.5


if __name__ == "__main__":
    main()
