"""The report's plots, as matplotlib figures."""

from __future__ import annotations

import io
from typing import Any

from benchmarks.report.tables import Data, by_case, summary
from benchmarks.settings import side_name

COLOURS = {"eager": "tab:orange", "tuned": "tab:green", "compiled": "tab:purple", "jax": "tab:blue"}


def figure_of(width: float, height: float) -> Any:
    """An empty figure, in inches."""
    from matplotlib.figure import Figure  # not pyplot, which looks for a screen

    return Figure(figsize=(width, height), layout="constrained")


def png(figure: Any, dpi: int = 100) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def plot_steps(data: Data) -> Any:
    """The other sides' time divided by ours: one bar for each case and variant.

    The line marks equality.
    """
    rows = [row for result in by_case(data["results"]) for row in summary(result) if row["variant"] in COLOURS]
    figure = figure_of(8, 1 + 0.3 * len(rows))
    axes = figure.add_subplot()
    for i, row in enumerate(rows):
        axes.barh(i, row["ratio"], color=COLOURS[row["variant"]])
    axes.set_yticks(range(len(rows)), [f"{row['case']}: {row['side']}" for row in rows])
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("that side's time for a step / minigrad's")
    return figure


def plot_sizes(data: Data) -> Any:
    """Milliseconds of a step against size: one panel for each series."""
    measured = [row for row in data["sizes"] if "missing" not in row]
    titles = list(dict.fromkeys(row["series"] for row in measured))
    figure = figure_of(4 * max(1, len(titles)), 3.4)
    for i, title in enumerate(titles):
        axes = figure.add_subplot(1, len(titles), i + 1)
        rows = [row for row in measured if row["series"] == title]
        for side in ("ours", "tuned"):
            axes.loglog([row["size"] for row in rows], [row[side] * 1e3 for row in rows], marker="o", label=side_name(side))
        axes.set_xticks([row["size"] for row in rows], [str(row["size"]) for row in rows])
        axes.minorticks_off()
        axes.set_title(title, fontsize=10)
        axes.set_ylabel("ms per step")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure
