"""Generate images with a trained generator: `python -m gans.generate runs/mnist_gan --count 100`.

This also works while the run is still training: it uses the weights of the last checkpoint, or with
--checkpoint those of a numbered one (see --keep-every of the trainers). Image i of
a seed is the same whatever --count is. The files' metadata contain the seed, the trainer and the run.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

import minigrad as mg
from gans.command import running
from gans.data.errors import printable
from gans.output import FORMATS, save_image
from gans.trainers import load_run
from gans.training.arguments import add_backend, add_run, add_weights, integer_up_to
from gans.training.cli import USER_ERRORS
from gans.training.config import ConfigError, OneLineParser
from gans.training.images import default_scale, grid, save_gif
from gans.training.labelled import LabelledTrainer
from gans.training.latent import LatentTrainer, draw_latent
from minigrad.arrays import backend
from minigrad.io import files

MAX_COUNT = 1_000_000  # images, one file each
MAX_SHOWN = 10_000  # images in one grid
MAX_SCALE = 64
MAX_PIXELS = 2**27  # in one file
AT_ONCE = 16  # images per forward pass, also in the last one: then no image depends on how many there are
WAYPOINTS = 5  # random latent vectors that an interpolation passes through
FRAMES = 16  # frames from one waypoint to the next


@running("python -m gans.generate", USER_ERRORS)
def main(argv: Sequence[str] | None = None) -> None:
    parser = OneLineParser("python -m gans.generate", description=__doc__)
    add_run(parser, "runs/mnist_gan")
    parser.add_argument(
        "--count", type=integer_up_to(MAX_COUNT), default=64, metavar="N", help="number of images (default: 64)"
    )
    help = "seed of the latent vectors (default: 0)"
    parser.add_argument("--seed", type=integer_up_to(2**64 - 1, 0), default=0, metavar="N", help=help)
    parser.add_argument(
        "--out",
        metavar="PATH",
        help="a PNG, JPG or WebP file, for a grid of all images; or one file for each: a folder (DIR/), or a name with {} for "
        "the number (DIR/{}.jpg); with --interpolate, a GIF (default: generated.png or .gif in the run folder)",
    )
    parser.add_argument(
        "--scale",
        type=integer_up_to(MAX_SCALE),
        metavar="N",
        help="draw each pixel N x N times (default: 1; in a grid of images below 48 pixels, 2)",
    )
    parser.add_argument(
        "--interpolate",
        action="store_true",
        help="write an animated GIF: a looping walk of each image through the latent space",
    )
    parser.add_argument("--label", metavar="NAME", help="class of all images, such as 7 (default: each class in turn)")
    add_weights(parser)
    add_backend(parser)
    print(_run(parser.parse_args(argv)))


def _run(arguments: argparse.Namespace) -> str:
    count, seed = arguments.count, arguments.seed
    trainer = load_run(arguments.run, backend.resolve(arguments.backend), arguments.best, arguments.checkpoint)
    if not isinstance(trainer, LatentTrainer):
        raise ConfigError(
            f"{arguments.run} is a run of gans.{trainer.name}, which translates images instead of generating them: "
            "use gans.translate"
        )
    label = None if arguments.label is None else _label(trainer, arguments.run, arguments.label)
    suffix = ".gif" if arguments.interpolate else ".png"
    out = _output(arguments.out or str(arguments.run / f"generated{suffix}"), arguments.interpolate, seed)
    one_each = "{}" in out.name and not arguments.interpolate
    scale = arguments.scale or (1 if one_each else default_scale(trainer.image_shape[1]))
    _check_size(trainer, 1 if one_each else count, scale)
    about = {
        "seed": str(seed),
        "trainer": trainer.name,
        "run": printable(arguments.run.absolute().name),
        **({} if arguments.checkpoint is None else {"step": str(arguments.checkpoint)}),
        **({} if label is None else {"label": arguments.label}),
        "Software": f"minigrad {mg.__version__}",
    }
    if one_each:
        return _save_each(out, images(trainer, seed, count, label), count, scale, about)
    if arguments.interpolate:
        frames = [grid(frame, scale=scale) for frame in walks(trainer, seed, count, label)]
        comment = ", ".join(f"{key} {value}" for key, value in about.items())
        save_gif(out, frames, milliseconds=60, last=60, comment=comment)
    else:
        save_image(out, grid(np.stack(list(images(trainer, seed, count, label))), scale=scale), about)
    return str(out)


def _label(trainer: LatentTrainer, run: Path, name: str) -> int:
    """The number of the class. ConfigError if the run has no classes, or none of this name."""
    if not isinstance(trainer, LabelledTrainer):
        raise ConfigError(f"{run} is a run of gans.{trainer.name}, whose generator takes no label: leave out --label")
    if name not in trainer.classes:
        raise ConfigError(f"{run} has no class {name}: its classes are {', '.join(trainer.classes)}")
    return trainer.classes.index(name)


def _output(out: str, interpolate: bool, seed: int) -> Path:
    """The path that --out means, with {} in its name if each image gets a file. ConfigError if it has no format."""
    path = Path(out)
    if interpolate:
        if path.suffix.lower() != ".gif":
            raise ConfigError(f"--out {out} must end in .gif, with --interpolate")
    elif out.endswith(("/", os.sep)) or (os.path.isdir(path) and path.suffix.lower() not in FORMATS):
        return path / f"seed{seed}-{{}}.png"
    elif path.suffix.lower() not in FORMATS:
        raise ConfigError(f"--out {out} must end in {', '.join(FORMATS)} or, for a folder with one file for each image, in /")
    return path


def _check_size(trainer: LatentTrainer, shown: int, scale: int) -> None:
    """ConfigError if one file would have too many images or pixels."""
    if shown > MAX_SHOWN:
        raise ConfigError(f"a grid has up to {MAX_SHOWN:,} images, not {shown:,}; write one file for each with --out DIR/")
    pixels = shown * scale**2 * trainer.image_shape[1] * trainer.image_shape[2]
    if pixels > MAX_PIXELS:
        raise ConfigError(f"--scale {scale} would make a file of {pixels // 10**6:,} million pixels: give a smaller one")


def _save_each(out: Path, made: Iterable[np.ndarray], count: int, scale: int, about: dict[str, str]) -> str:
    """Write one file for each image. Returns the range of their names."""
    from tqdm import tqdm

    files.make_folder(out.parent, follow=True)
    names = [out.with_name(out.name.replace("{}", f"{i:06d}")) for i in range(count)]
    for i, image in enumerate(tqdm(made, "generating", count, unit="", delay=1, disable=None)):  # None: no bar in a log file
        pixels = image.repeat(scale, 1).repeat(scale, 2).transpose(1, 2, 0)
        save_image(names[i], np.ascontiguousarray(pixels.squeeze(2) if len(image) == 1 else pixels), {**about, "image": str(i)})
    return f"{names[0]} to {names[-1].name}" if count > 1 else str(names[0])


def images(trainer: LatentTrainer, seed: int, count: int, label: int | None = None) -> Iterator[np.ndarray]:
    """The first images of a seed, one by one, uint8 (channels, height, width); all of one class if there is a label."""
    for first in range(0, count, AT_ONCE):
        yield from _generate(trainer, latent_vectors(trainer, seed, first), first, label)[: count - first]


def walks(trainer: LatentTrainer, seed: int, count: int, label: int | None = None) -> Iterator[np.ndarray]:
    """The frames of closed walks that start from the first images of a seed: uint8 (count, channels, height, width) each."""
    parts = []
    bound = 1.0 if trainer.distribution == "uniform" else math.inf
    for first in range(0, count, AT_ONCE):
        waypoints = [latent_vectors(trainer, seed, first, i) for i in range(WAYPOINTS)]
        parts.append([_generate(trainer, z, first, label)[: count - first] for z in latent_walk(waypoints, FRAMES, bound)])
    for frame in zip(*parts, strict=True):
        yield np.concatenate(frame)


def latent_vectors(trainer: LatentTrainer, seed: int, first: int, waypoint: int = 0) -> np.ndarray:
    """Latent vectors of `AT_ONCE` images, from image `first` on.

    Each depends on the seed, the waypoint and the number of its image alone: it has its own place in the
    seed's random stream.
    """
    places = (waypoint * 2**40 + i * 2**20 for i in range(first, first + AT_ONCE))  # of more numbers than a vector has
    shape = (trainer.latent_size,)
    return np.stack([draw_latent(trainer.distribution, mg.Generator(seed, place), shape).numpy() for place in places])


def _generate(trainer: LatentTrainer, z: np.ndarray, first: int, label: int | None) -> np.ndarray:
    """The images of `AT_ONCE` latent vectors, from image `first` on."""
    latent = mg.Tensor(z).to(trainer.backend)
    if not isinstance(trainer, LabelledTrainer):
        return trainer.generate(latent)
    return trainer.generate(latent, trainer.labels(trainer.in_turn(len(z), first) if label is None else np.full(len(z), label)))


def latent_walk(waypoints: Sequence[np.ndarray], frames: int, bound: float = math.inf) -> list[np.ndarray]:
    """A closed loop through the waypoints, in `frames` steps from each to the next.

    Waypoints and results are latent vectors (n, latent_size): n loops at once. All numbers stay between -bound and bound.

    The interpolation is spherical (slerp) because normal and uniform distributions in many dimensions
    concentrate near a sphere: a straight line between two samples would pass through its inside,
    where the generator was never trained.
    """
    path = []
    for a, b in zip(waypoints, [*waypoints[1:], waypoints[0]], strict=True):
        angle = np.arccos((_normalized(a) * _normalized(b)).sum(axis=1, keepdims=True))
        for t in np.arange(frames) / frames:
            z = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
            path.append(z.clip(-bound, bound).astype(a.dtype))
    return path


def _normalized(z: np.ndarray) -> np.ndarray:
    return z / (z * z).sum(axis=1, keepdims=True) ** 0.5


if __name__ == "__main__":
    main()
