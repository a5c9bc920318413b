"""Measure how good generated images are: `python -m gans.evaluate runs/mnist_gan`.

Images of each run are compared with real ones: how far their distribution is from that of real images, whether single
images look real, whether the variety is there, and whether training images are copied. Beside each number is the
floor, the same measure of real images. Several runs are ranked in one table.

The first evaluation of a data set with classes trains a classifier on it, which takes some minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gans.command import running
from gans.measures.evaluation import COMPARED, MOST, Comparison, RealImages, Sample
from gans.measures.nearest import nearest
from gans.measures.precision_recall import NEIGHBOURS
from gans.measures.predictions import STACKED_SAMPLES
from gans.measures.real import check_enough, labelled, load_real, with_classifier
from gans.measures.report import FLOOR, Results, ranked, table, write_report
from gans.output import save_image
from gans.trainers import load_run
from gans.training.arguments import add_backend, add_weights, integer_up_to
from gans.training.cli import USER_ERRORS
from gans.training.config import ConfigError, OneLineParser
from gans.training.images import grid
from gans.training.labelled import LabelledTrainer
from gans.training.latent import LatentTrainer
from gans.training.run_folder import RunFolder
from minigrad.arrays import backend
from minigrad.io import files

SEEDS = (0, 1, 2)  # of the noise and of the real images
MAX_COUNT = 100_000
SHOWN, SUSPECTS = 8, 8  # generated images shown beside their nearest training images: the first ones, and the nearest ones
BESIDE = 4  # nearest training images of each


@running("python -m gans.evaluate", USER_ERRORS)
def main(argv: Sequence[str] | None = None) -> None:
    parser = OneLineParser("python -m gans.evaluate", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folder, such as runs/mnist_gan")
    help = f"images in each of {len(SEEDS)} sets (default: as many as are held out, at most {MOST:,}; "
    help += f"of Stacked MNIST {STACKED_SAMPLES:,})"
    parser.add_argument("--count", type=integer_up_to(MAX_COUNT), metavar="N", help=help)
    parser.add_argument("--data", metavar="DIR", help="folder of the data that the runs were trained on, if it has moved")
    help = "folder for evaluation.md, .json and .png (default: the run folder; the current folder for several runs)"
    parser.add_argument("--out", type=Path, metavar="DIR", help=help)
    add_weights(parser)
    add_backend(parser)
    print(_run(parser.parse_args(argv)))


def _run(arguments: argparse.Namespace) -> str:
    from tqdm import tqdm

    paths = list(dict.fromkeys(arguments.runs))
    backend_name = backend.resolve(arguments.backend)
    trainers = {path: _load(path, arguments, backend_name) for path in paths}
    _check_same_data(paths)
    out = arguments.out or (paths[0] if len(paths) == 1 else Path())
    files.make_folder(out, follow=True)
    real, digits = load_real(trainers[paths[0]])
    _check_trained_on(paths[0], real)
    count = _count(arguments.count, real)
    if digits:
        real = with_classifier(real, digits)
        if any(isinstance(trainer, LabelledTrainer) for trainer in trainers.values()):
            real = dataclasses.replace(real, labels=(labelled(digits[0])[1], labelled(digits[1])[1]))
    floor: list[Sample] = []
    results: Results = {str(path): [] for path in paths}
    with tqdm(total=len(SEEDS) * (1 + len(paths)), desc="measuring", unit=" sets", delay=1, disable=None) as bar:
        for seed in SEEDS:
            comparison = Comparison(real, count, seed)
            floor.append(comparison.floor())
            bar.update()
            for path, trainer in trainers.items():
                asked = trainer.in_turn(count) if isinstance(trainer, LabelledTrainer) else None
                results[str(path)].append(comparison.generated(trainer.generate(*trainer.fixed_inputs(count, seed)), asked))
                bar.update()
    try:
        pictures = _show_neighbours(trainers[paths[0]], real, out, count) if len(paths) == 1 else ""
        return write_report(out / "evaluation", {**_about(real, count), **_weights(arguments)}, floor, results, pictures)
    except files.FileError:  # measuring took minutes
        print(table({FLOOR: floor, **ranked(results)}))
        raise


def _load(path: Path, arguments: argparse.Namespace, backend_name: str) -> LatentTrainer:
    trainer = load_run(path, backend_name, arguments.best, arguments.checkpoint)
    if not isinstance(trainer, LatentTrainer):
        raise ConfigError(
            f"{path} is a run of gans.{trainer.name}, which translates images instead of generating them: "
            "its report.md has its measures"
        )
    if arguments.data is not None:
        trainer.config = dataclasses.replace(trainer.config, data=arguments.data)
    return trainer


def _data(path: Path) -> dict[str, Any]:
    """What a run says about its data."""
    return RunFolder(path).settings().get("data", {})


def _check_same_data(paths: list[Path]) -> None:
    for path in paths[1:]:
        if _data(path).get("hash") != _data(paths[0]).get("hash"):
            raise ConfigError(
                f"{path} and {paths[0]} were trained on different images or sizes of images, so their measures do not compare"
            )


def _check_trained_on(path: Path, real: RealImages) -> None:
    """ConfigError unless the run was trained on these images."""
    if _data(path).get("hash") != real.digest:
        trained_on = _data(path).get("source")
        raise ConfigError(
            f"{path} was trained on other images, from {trained_on}, not from {real.source}: give theirs with --data"
        )


def _count(asked: int | None, real: RealImages) -> int:
    check_enough(real)
    if asked is None:
        return real.usual
    if not NEIGHBOURS < asked <= real.most:
        raise ConfigError(f"--count {asked} is not from {NEIGHBOURS + 1} to {real.most:,}: {real.most_are} are {real.most:,}")
    return asked


def _about(real: RealImages, count: int) -> dict[str, str]:
    """What was compared, in sentences."""
    if real.test is None:
        reference, others = "training images, drawn at random", "as many other training images"
    else:
        reference, others = f"of the {len(real.test):,} test images", "as many training images"
    right = "" if real.accuracy is None else f" The classifier gets {100 * real.accuracy:.1f} % of the test images right."
    if real.stacked:
        right = right.replace("test images", "test digits") + " It reads each colour channel."
        others += f"; only modes and KL are of more than {MOST:,} images" * (count > MOST)
    return {
        "data": f"Data: {real.source}.{right}",
        "compared": f"Each value is the mean of {len(SEEDS)} seeds, with the standard deviation. Each seed draws the noise of "
        f"{count:,} generated images, which are compared with {count:,} {reference}. "
        f"The floor compares {others} with these; for copies, it compares these with the other training images. "
        f"Copies and repeats are looked for among the first {min(count, COMPARED):,} images of each set.",
    }


def _weights(arguments: argparse.Namespace) -> dict[str, str]:
    """Which weights were measured, unless they are the last ones."""
    if arguments.checkpoint is not None:
        return {"weights": f"The weights are those of step {arguments.checkpoint}."}
    return {"weights": "The weights are those of the best evaluation while training."} if arguments.best else {}


def _show_neighbours(trainer: LatentTrainer, real: RealImages, out: Path, count: int) -> str:
    """Write evaluation/neighbours.png, and return the sentence for the report."""
    images = trainer.generate(*trainer.fixed_inputs(min(count, 1000), SEEDS[0]))
    positions, distances = nearest(images, real.train, BESIDE)
    suspects = [i for i in np.argsort(distances[:, 0], kind="stable") if i >= SHOWN][:SUSPECTS]
    first = range(min(SHOWN, len(images)))
    columns = [*first, *suspects]
    rows = [images[columns], *(real.train[positions[columns, k]] for k in range(BESIDE))]
    path = out / "evaluation" / "neighbours.png"
    files.make_folder(path.parent, follow=True)
    save_image(path, grid(np.concatenate(rows), across=len(columns)))
    return (
        f"![nearest training images](evaluation/{path.name}) Top row: generated images, first {len(first)} random ones, then "
        f"the {len(suspects)} nearest to a training image. Below each: its {BESIDE} nearest training images."
    )


if __name__ == "__main__":
    main()
