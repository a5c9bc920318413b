"""The command `python -m gans.toy`."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gans.command import running
from gans.output import save_image
from gans.toy.data import DISTRIBUTIONS
from gans.toy.losses import LOSSES
from gans.toy.modes import SAMPLES, Coverage, coverage
from gans.toy.trainer import LR, STEPS, Diverged, ToyGAN, leaky
from gans.training.arguments import integer_up_to
from gans.training.cli import USER_ERRORS
from gans.training.config import ConfigError, OneLineParser
from gans.training.images import grid, save_gif
from minigrad import nn
from minigrad.io import files
from minigrad.io.files import write_atomically

DEFAULTS: dict[str, Any] = {
    "data": "ring", "loss": "gan", "g_units": "tanh", "steps": STEPS, "lr": LR, "seed": 1, "out": Path("runs/toy"),
    "port": 8000,
}  # fmt: skip
USED = {  # which flags have an effect
    "": {"data", "loss", "g_units", "steps", "lr", "seed", "out"},
    "compare": {"data", "g_units", "steps", "lr", "seed", "out"},
    "table": {"steps", "lr", "out"},
    "theory": {"out"},
    "serve": {"port"},
}

FRAMES = 60
SEEDS = 5  # of --table
FAILING = "gan, leaky ReLUs in G"  # a row of the table: the loss is not all
G_UNITS = {"tanh": nn.Tanh, "leaky-relu": leaky}


@running("python -m gans.toy", USER_ERRORS)
def main(argv: Sequence[str] | None = None) -> None:
    parser = OneLineParser(
        "python -m gans.toy",
        description="Watch GANs learn distributions in one and two dimensions.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--data", choices=DISTRIBUTIONS, help="distribution to learn (default: ring)")
    parser.add_argument("--loss", choices=LOSSES, help="adversarial loss (default: gan)")
    help = "hidden units of G (default: tanh; leaky-relu misses modes); --table has a row for leaky-relu"
    parser.add_argument("--g-units", choices=G_UNITS, help=help)
    parser.add_argument("--steps", type=integer_up_to(10**6), metavar="N", help=f"steps of G (default: {STEPS})")
    parser.add_argument("--lr", type=learning_rate, metavar="X", help=f"learning rate at the start (default: {LR:g})")
    parser.add_argument("--seed", type=integer_up_to(2**32, 0), metavar="N", help="random seed (default: 1)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the results (default: runs/toy)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--compare", action="store_true", help="train with every loss, and draw them side by side")
    what.add_argument(
        "--table", action="store_true", help=f"coverage of the modes by every loss, median of {SEEDS} seeds, as Markdown"
    )
    what.add_argument("--theory", action="store_true", help="check what each loss measures against the exact value")
    what.add_argument("--serve", action="store_true", help="a page in the browser to play with")
    help = "of --serve (default: 8000; 0: a free one)"
    parser.add_argument("--port", type=integer_up_to(65_535, 0), metavar="N", help=help)
    arguments = with_defaults(vars(parser.parse_args(argv)))
    if arguments.mode == "serve":
        serve(arguments)
        return
    files.make_folder(arguments.out, follow=True)
    run = {"": watch, "compare": compare, "table": table, "theory": theory}[arguments.mode]
    with np.errstate(all="ignore"):
        run(arguments)


def with_defaults(flags: dict[str, Any]) -> argparse.Namespace:
    """The flags given, and the defaults of the others. ConfigError for one that would have no effect."""
    mode = next((mode for mode in USED if mode in flags), "")
    if unused := sorted(flags.keys() - USED[mode] - {mode}):
        raise ConfigError(f"--{unused[0].replace('_', '-')} has no effect {f'with --{mode}' if mode else 'without --serve'}")
    return argparse.Namespace(mode=mode, **{**DEFAULTS, **flags})


def watch(arguments: argparse.Namespace) -> None:
    """Train with one loss: training.gif, final.png and final.json."""
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
    found = result(toy, arguments.loss, arguments)
    save_json(arguments.out / "final.json", found)
    print(f"{report(found)}\nDone: training.gif, final.png and final.json are in {arguments.out}")


def compare(arguments: argparse.Namespace) -> None:
    """Train with every loss from the same seed: compare.gif and compare.png, one panel a loss, and compare.json."""
    from gans.toy.pictures import panel

    films, results = [], []
    for name in LOSSES:
        toy = new_toy(arguments, name, arguments.seed)  # one after the other: the random stream is the process's
        film = [panel(toy, name)]
        try:
            for steps in parts(arguments.steps, FRAMES // 2):
                toy.train(steps)
                film.append(panel(toy, name))
            results.append(result(toy, name, arguments))
            print(f"{name}: {report(results[-1])}", flush=True)
        except Diverged as error:
            results.append({"loss": name, "error": str(error)})
            print(f"{name}: {error}", flush=True)
        films.append(film)
    frames = [grid(np.stack(panels).transpose(0, 3, 1, 2), across=4) for panels in padded(films)]
    save_gif(arguments.out / "compare.gif", frames, milliseconds=150)
    save_image(arguments.out / "compare.png", frames[-1])
    save_json(arguments.out / "compare.json", results)
    print(f"Done: compare.gif, compare.png and compare.json are in {arguments.out}")


def padded(films: list[list[np.ndarray]]) -> Iterator[tuple[np.ndarray, ...]]:
    """The films side by side; one that ended early, because its training diverged, stands still."""
    longest = max(map(len, films))
    return zip(*(film + film[-1:] * (longest - len(film)) for film in films), strict=True)


def table(arguments: argparse.Namespace) -> None:
    """Coverage of the ring and of the grid by every loss, as Markdown: printed, and in coverage.md.

    Each run's result is stored in coverage.json as soon as it is there, so that a table that was stopped goes on.
    """
    store = arguments.out / "coverage.json"
    known = stored(store)
    lines = [
        f"Of {SAMPLES:,} samples, after {arguments.steps:,} steps; median of {SEEDS} seeds.",
        "",
        "| loss | ring: modes of 8 | good samples | reverse KL | grid: modes of 25 | good samples | reverse KL |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    print(*lines, sep="\n", flush=True)
    for name in (FAILING, *LOSSES):
        cells = []
        for data in ("ring", "grid"):
            for seed in range(SEEDS):
                key = f"{name} on {data}, {arguments.steps} steps, learning rate {arguments.lr:g}, seed {seed}"
                if key not in known:
                    known[key] = list(covered(arguments, name, data, seed))
                    save_json(store, known)
                cells.append(known[key])
        ring, grid = (np.median(part, axis=0) for part in (cells[:SEEDS], cells[SEEDS:]))
        lines.append(f"| {name} | {' | '.join(f'{h:g} | {100 * good:.0f} % | {kl:.2f}' for h, good, kl in (ring, grid))} |")
        print(lines[-1], flush=True)
    write_atomically(arguments.out / "coverage.md", ("\n".join(lines) + "\n").encode())


def stored(path: Path) -> dict[str, list[float]]:
    """The results that an earlier table has stored."""
    if not files.exists(path):
        return {}
    try:
        known = {key: [float(v) for v in values] for key, values in json.loads(files.read(path)).items()}
        if any(len(values) != len(Coverage._fields) for values in known.values()):
            raise ValueError
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is not a file of results of --table; delete it to start again") from error
    return known


def covered(arguments: argparse.Namespace, loss: str, data: str, seed: int) -> Coverage:
    """What one run of a row of the table covers; nothing, if it diverges."""
    activation = leaky if loss == FAILING else nn.Tanh
    real, terms = DISTRIBUTIONS[data](), LOSSES[loss.partition(",")[0]]
    toy = ToyGAN(real, terms, seed, arguments.steps, arguments.lr, g_activation=activation)
    with contextlib.suppress(Diverged):
        toy.train(arguments.steps)
        return coverage(toy.real, toy.generate(SAMPLES, averaged=True))
    return Coverage(0, 0.0, math.inf)


def theory(arguments: argparse.Namespace) -> None:
    """Print every check with its error, and draw them: theory.png and theory.json."""
    from gans.toy import theory
    from gans.toy.pictures import theory_sheet

    checks = []
    for check in theory.checks():
        checks.append(check)
        print(f"{check.what:<84} {check.measured:9.4f} {check.exact:9.4f}  error {check.error:.4f}", flush=True)
    save_image(arguments.out / "theory.png", theory_sheet(checks))
    save_json(arguments.out / "theory.json", [{**check._asdict(), "error": check.error} for check in checks])
    print(f"Done: theory.png and theory.json are in {arguments.out}")


def serve(arguments: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    from gans.toy.serve import start

    with start(arguments.port) as server:
        print(f"Open http://127.0.0.1:{server.server_port} in a browser; Ctrl-C ends it.", flush=True)
        server.serve_forever()


def new_toy(arguments: argparse.Namespace, loss: str, seed: int) -> ToyGAN:
    real, units = DISTRIBUTIONS[arguments.data](), G_UNITS[arguments.g_units]
    return ToyGAN(real, LOSSES[loss], seed, arguments.steps, arguments.lr, g_activation=units)


def learning_rate(text: str) -> float:
    """The type of --lr."""
    with contextlib.suppress(ValueError):
        if 0 < (value := float(text)) < math.inf:
            return value
    raise argparse.ArgumentTypeError(f"{text[:99]!r} is not a number above 0")


def parts(steps: int, count: int) -> list[int]:
    """`steps` in at most `count` parts that grow: most happens at the beginning."""
    ends = np.unique(np.rint(steps * (np.arange(1, count + 1) / count) ** 2).astype(int).clip(1))
    return np.diff(ends, prepend=0).tolist()


def result(toy: ToyGAN, loss: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of a training, and how much of the modes G covers if the data has any."""
    settings = {"loss": loss, **{name: getattr(arguments, name) for name in ("data", "g_units", "steps", "lr", "seed")}}
    if not toy.real.modes:
        return settings
    hit, good, kl = coverage(toy.real, toy.generate(SAMPLES, averaged=True))
    found = {
        "modes": len(toy.real.centres),
        "hit": hit,
        "good": good,
        "reverse_kl": kl if good else None,
    }  # JSON has no infinity
    return {**settings, "samples": SAMPLES, **found}


def report(found: dict[str, Any]) -> str:
    """A result in words."""
    if "hit" not in found:
        return "this data has no modes to count"
    kl = f"{found['reverse_kl']:.2f}" if found["good"] else "infinite"
    good = f"{100 * found['good']:.0f} % good samples"
    return f"{found['hit']} of {found['modes']} modes hit, {good}, reverse KL {kl} ({SAMPLES:,} samples)"


def save_json(path: Path, content: Any) -> None:
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
