"""`python -m benchmarks.report.chart results.json ... out.png`: one chart of speed, from the results of
one run or of several.

For each case and run a bar says how many times as fast as tuned PyTorch's our training step is, and
where JAX was measured, another one says it of JAX's.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report.plots import figure_of, png
from benchmarks.report.tables import Data
from benchmarks.settings import JAX, OURS, side_name
from gans.command import running
from gans.training.config import OneLineParser
from minigrad import FileError
from minigrad.io.files import read, write_atomically

MOST_BYTES = 2**26  # of results.json

INSTRUCTIONS = {"avx2": "AVX2", "avx512": "AVX-512"}  # a run's "isa" -> its name
COLOURS = {
    OURS: ("tab:green", "tab:blue"),
    JAX: ("tab:gray", "silver"),
}  # of the first run, the second, the third as the first


def speeds(data: Data, side: str = OURS) -> dict[str, float]:
    """Case -> tuned PyTorch's time for a step divided by that side's, the median over the rounds."""
    rounds = {result["case"]: result["seconds"] for result in data.get("results", ()) if "tuned" in result["seconds"]}
    return {
        case: statistics.median(tuned / mine for tuned, mine in zip(seconds["tuned"], seconds[side], strict=True))
        for case, seconds in rounds.items()
        if side in seconds
    }


def series(runs: Sequence[Data]) -> list[tuple[str, str, dict[str, float]]]:
    """Label, colour and speeds of each group of bars."""
    found = [
        (
            ", ".join(filter(None, (side_name(side), INSTRUCTIONS.get(run.get("isa", ""))))),
            COLOURS[side][i % 2],
            speeds(run, side),
        )
        for i, run in enumerate(runs)
        for side in COLOURS
    ]
    return [each for each in found if each[2]]


def chart(runs: Sequence[Data]) -> Any:
    """The figure."""
    groups = series(runs)
    cases = list(dict.fromkeys(case for *_, ratios in groups for case in ratios))
    figure = figure_of(7, 1.4 + 0.36 * max(1.0, 0.6 * len(groups)) * len(cases))
    axes = figure.add_subplot()
    background = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # the line at 1 may be under a label
    for i, (label, colour, ratios) in enumerate(groups):
        places = [cases.index(case) + 0.8 * ((i + 0.5) / len(groups) - 0.5) for case in ratios]
        bars = axes.barh(places, list(ratios.values()), color=colour, height=0.75 / len(groups), label=label)
        axes.bar_label(
            bars, [f"{x:.2f}\N{MULTIPLICATION SIGN}" for x in ratios.values()], padding=4, fontsize=8, bbox=background
        )
    axes.set_yticks(range(len(cases)), cases)
    axes.set_xlim(0, 1.15 * max([1.0, *(x for *_, ratios in groups for x in ratios.values())]))
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=1)
    axes.set_title("Speed of a training step relative to tuned PyTorch (= 1)", fontsize=11)
    axes.set_xlabel("\n".join(dict.fromkeys(run["machine"] for run in runs)), fontsize=8, color="dimgray")
    if len(groups) > 1:
        figure.legend(fontsize=8, loc="outside lower center", ncols=2)  # not over the bars or the names of the machines
    axes.spines[["top", "right"]].set_visible(False)
    return figure


@running("python -m benchmarks.report.chart", (FileError,))
def main(argv: Sequence[str] | None = None) -> None:
    parser = OneLineParser("python -m benchmarks.report.chart", description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", metavar="results.json", help="from `python -m benchmarks --out DIR`")
    parser.add_argument("picture", type=Path, metavar="out.png", help="where to write the chart")
    arguments = parser.parse_args(argv)
    runs = []
    for path in arguments.results:
        try:
            runs.append(json.loads(read(path, MOST_BYTES, follow=True)))
            usable = bool(speeds(runs[-1]) and runs[-1]["machine"])
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):  # another program's file
            usable = False
        if not usable:
            parser.error(f"{path} is no results.json with training steps of tuned PyTorch")
    write_atomically(arguments.picture, png(chart(runs), dpi=150))


if __name__ == "__main__":
    main()
