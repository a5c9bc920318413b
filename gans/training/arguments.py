"""Command-line arguments shared by the commands that load a run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from minigrad.io.safetensors import LARGEST_COUNT


def add_run(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help=f"run folder, such as {example}")


def add_backend(parser: argparse.ArgumentParser) -> None:
    help = "NumPy, CuPy, or auto: CuPy if there is a GPU (default: numpy)"
    parser.add_argument("--backend", choices=("auto", "numpy", "cupy"), default="numpy", help=help)


def add_weights(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    help = "use the weights of the best evaluation (of a run with --evaluate-every), instead of the last ones"
    group.add_argument("--best", action="store_true", help=help)
    help = "use the numbered checkpoint of this step (of a run with --keep-every)"
    group.add_argument("--checkpoint", type=integer_up_to(LARGEST_COUNT), metavar="STEP", help=help)


def integer_up_to(largest: int, least: int = 1) -> Callable[[str], int]:
    """An argparse type: an integer from `least`, which is not negative, to `largest`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or len(text) > 20 or not least <= int(text) <= largest:
            raise argparse.ArgumentTypeError(f"{text[:99]!r} is not an integer from {least} to {largest:,}")
        return int(text)

    return parse
