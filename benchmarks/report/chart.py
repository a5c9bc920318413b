"""`python -m benchmarks.report.chart results.json out.png`: one chart of speed, from the results of
a run.

A bar for each case says how many times as fast as tuned PyTorch's our training step is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report.plots import COLOURS, figure_of, png
from benchmarks.report.tables import Data, by_case, summary

AHEAD, BEHIND = COLOURS["tuned"], "tab:gray"


def speeds(data: Data, variant: str = "tuned") -> dict[str, float]:
    """Case -> that variant's time for a step divided by ours, the median over the rounds."""
    rows = [row for result in by_case(data["results"]) for row in summary(result)]
    return {row["case"]: row["ratio"] for row in rows if row["variant"] == variant}


def chart(data: Data) -> Any:
    """The figure."""
    ratios = speeds(data)
    figure = figure_of(7, 1.2 + 0.36 * len(ratios))
    axes = figure.add_subplot()
    values = list(ratios.values())
    bars = axes.barh(list(ratios), values, color=[AHEAD if value >= 1 else BEHIND for value in values], height=0.7)
    background = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # the line at 1 may be under a label
    axes.bar_label(bars, [f"{value:.2f}\N{MULTIPLICATION SIGN}" for value in values], padding=4, bbox=background)
    axes.set_xlim(0, 1.15 * max([1.0, *values]))
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=1)
    axes.set_title("Speed of a training step relative to tuned PyTorch (= 1)", fontsize=11)
    axes.set_xlabel(data["machine"], fontsize=8, color="dimgray")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.report.chart", description=__doc__)
    parser.add_argument("results", type=Path, metavar="results.json", help="from `python -m benchmarks --out DIR`")
    parser.add_argument("picture", type=Path, metavar="out.png", help="where to write the chart")
    arguments = parser.parse_args(argv)
    data = json.loads(arguments.results.read_text())
    if not data.get("results") or not speeds(data):
        parser.error(f"{arguments.results} has no training steps of tuned PyTorch")
    arguments.picture.write_bytes(png(chart(data), dpi=150))


if __name__ == "__main__":
    main()
