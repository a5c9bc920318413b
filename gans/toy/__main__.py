"""The command `python -m gans.toy`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gans.command import running
from gans.output import save_image
from gans.toy.data import DISTRIBUTIONS
from gans.toy.losses import LOSSES
from gans.toy.modes import SAMPLES, coverage
from gans.toy.trainer import ToyGAN
from gans.training.arguments import integer_up_to
from gans.training.cli import USER_ERRORS
from gans.training.config import OneLineParser
from gans.training.images import grid, save_gif
from minigrad.io import files
from minigrad.io.files import write_atomically

FRAMES = 60
SEEDS = 5  # of --table


@running("python -m gans.toy", (*USER_ERRORS, FloatingPointError))  # it diverges
def main(argv: Sequence[str] | None = None) -> None:
    parser = OneLineParser(
        "python -m gans.toy", description="Watch GANs learn distributions in one and two dimensions.", allow_abbrev=False
    )
    parser.add_argument("--data", choices=DISTRIBUTIONS, default="ring", help="distribution to learn (default: ring)")
    parser.add_argument("--loss", choices=LOSSES, default="gan", help="adversarial loss (default: gan)")
    parser.add_argument("--steps", type=integer_up_to(10**6), default=6_000, metavar="N", help="steps of G (default: 6000)")
    parser.add_argument("--seed", type=integer_up_to(2**32, 0), default=1, metavar="N", help="random seed (default: 1)")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/toy"), metavar="DIR", help="folder for the results (default: runs/toy)"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--compare", action="store_true", help="train with every loss, and draw them side by side")
    what.add_argument(
        "--table", action="store_true", help=f"coverage of the modes by every loss, median of {SEEDS} seeds, as Markdown"
    )
    what.add_argument("--theory", action="store_true", help="check what each loss measures against the exact value")
    what.add_argument("--serve", action="store_true", help="a page in the browser to play with")
    help = "of --serve (default: 8000; 0: a free one)"
    parser.add_argument("--port", type=integer_up_to(65_535, 0), default=8000, metavar="N", help=help)
    arguments = parser.parse_args(argv)
    if arguments.serve:
        serve(arguments)
        return
    files.make_folder(arguments.out, follow=True)
    run = theory if arguments.theory else table if arguments.table else compare if arguments.compare else watch
    with np.errstate(all="ignore"):
        run(arguments)


def watch(arguments: argparse.Namespace) -> None:
    """Train with one loss: training.gif and final.png."""
    from gans.toy.pictures import frame

    title = f"{arguments.loss} on {arguments.data}"
    toy = new_toy(arguments, arguments.loss, arguments.seed)
    frames = [frame(toy, title)]
    for steps in parts(arguments.steps, FRAMES):
        metrics = toy.train(steps)
        frames.append(frame(toy, title))
        print(f"step {toy.done:,}: " + ", ".join(f"{name} {value:.3f}" for name, value in metrics.items()), flush=True)
    save_gif(arguments.out / "training.gif", frames, milliseconds=100)
    save_image(arguments.out / "final.png", frames[-1])
    print(f"{report(toy)}\nDone: training.gif and final.png are in {arguments.out}")


def compare(arguments: argparse.Namespace) -> None:
    """Train with every loss from the same seed: compare.gif and compare.png, one panel a loss."""
    from gans.toy.pictures import panel

    films = []
    for name in LOSSES:
        toy = new_toy(arguments, name, arguments.seed)  # one after the other: the random stream is the process's
        film = [panel(toy, name)]
        for steps in parts(arguments.steps, FRAMES // 2):
            toy.train(steps)
            film.append(panel(toy, name))
        films.append(film)
        print(f"{name}: {report(toy)}", flush=True)
    frames = [grid(np.stack(panels).transpose(0, 3, 1, 2), across=4) for panels in zip(*films, strict=True)]
    save_gif(arguments.out / "compare.gif", frames, milliseconds=150)
    save_image(arguments.out / "compare.png", frames[-1])
    print(f"Done: compare.gif and compare.png are in {arguments.out}")


def table(arguments: argparse.Namespace) -> None:
    """Coverage of the ring and of the grid by every loss, as Markdown: printed, and in coverage.md."""
    lines = [
        f"Of {SAMPLES:,} samples, after {arguments.steps:,} steps; median of {SEEDS} seeds.",
        "",
        "| loss | ring: modes of 8 | good samples | reverse KL | grid: modes of 25 | good samples | reverse KL |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    print(*lines, sep="\n")
    for name in LOSSES:
        cells = [cell for data in ("ring", "grid") for cell in medians(arguments, name, data)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    write_atomically(arguments.out / "coverage.md", ("\n".join(lines) + "\n").encode())


def medians(arguments: argparse.Namespace, loss: str, data: str) -> list[str]:
    """The medians over the seeds: modes hit, share of good samples, reverse KL."""
    results = []
    for seed in range(SEEDS):
        toy = new_toy(argparse.Namespace(**{**vars(arguments), "data": data}), loss, seed)
        toy.train(arguments.steps)
        results.append(coverage(toy.real, toy.generate(SAMPLES, averaged=True)))
    hit, good, kl = np.median(np.array(results, float), axis=0)
    return [f"{hit:g}", f"{100 * good:.0f} %", f"{kl:.2f}"]


def theory(arguments: argparse.Namespace) -> None:
    """Print every check with its error, and draw them: theory.png and theory.json."""
    from gans.toy import theory
    from gans.toy.pictures import theory_sheet

    checks = []
    for check in theory.checks():
        checks.append(check)
        print(f"{check.what:<72} {check.measured:9.4f} {check.exact:9.4f}  error {check.error:.4f}", flush=True)
    save_image(arguments.out / "theory.png", theory_sheet())
    write_atomically(
        arguments.out / "theory.json", (json.dumps([check._asdict() for check in checks], indent=2) + "\n").encode()
    )
    print(f"Done: theory.png and theory.json are in {arguments.out}")


def serve(arguments: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    from gans.toy.serve import start

    with start(arguments.port) as server:
        print(f"Open http://127.0.0.1:{server.server_port} in a browser; Ctrl-C ends it.", flush=True)
        server.serve_forever()


def new_toy(arguments: argparse.Namespace, loss: str, seed: int) -> ToyGAN:
    return ToyGAN(DISTRIBUTIONS[arguments.data](), LOSSES[loss], seed, arguments.steps)


def parts(steps: int, count: int) -> list[int]:
    """`steps` in at most `count` parts that grow: most happens at the beginning."""
    ends = np.unique(np.rint(steps * (np.arange(1, count + 1) / count) ** 2).astype(int).clip(1))
    return np.diff(ends, prepend=0).tolist()


def report(toy: ToyGAN) -> str:
    """Coverage of the modes in words."""
    if not toy.real.modes:
        return "this data has no modes to count"
    hit, good, kl = coverage(toy.real, toy.generate(SAMPLES, averaged=True))
    modes = len(toy.real.centres)
    return f"{hit} of {modes} modes hit, {100 * good:.0f} % good samples, reverse KL {kl:.2f} ({SAMPLES:,} samples)"


if __name__ == "__main__":
    main()
