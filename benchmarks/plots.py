"""The report's plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.settings import side_name
from benchmarks.tables import Data, summary


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure  # not pyplot: it looks for a screen

    return Figure(figsize=(width, height), layout="constrained")


def plot_steps(path: Path, data: Data) -> None:
    """PyTorch's time over ours, one bar a variant and case; the line is equality."""
    rows = [row for result in data["results"] for row in summary(result) if row["side"].startswith("PyTorch")]
    figure = _figure(8, 1 + 0.3 * len(rows))
    axes = figure.add_subplot()
    colours = {"eager": "tab:orange", "tuned": "tab:green", "compiled": "tab:purple"}
    for i, row in enumerate(rows):
        variant = row["side"].split()[1].rstrip(",")
        axes.barh(i, row["ratio"], color=colours[variant])
    axes.set_yticks(range(len(rows)), [f"{row['case']}: {row['side']}" for row in rows])
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("PyTorch's time for a step / minigrad's")
    figure.savefig(path, dpi=100)


def plot_sizes(path: Path, data: Data) -> None:
    """Milliseconds a step against size, one panel a series."""
    measured = [row for row in data["sizes"] if "missing" not in row]
    titles = list(dict.fromkeys(row["series"] for row in measured))
    figure = _figure(4 * max(1, len(titles)), 3.4)
    for i, title in enumerate(titles):
        axes = figure.add_subplot(1, len(titles), i + 1)
        rows = [row for row in measured if row["series"] == title]
        for side in ("ours", "tuned"):
            axes.loglog([row["size"] for row in rows], [row[side] * 1e3 for row in rows], marker="o", label=side_name(side))
        axes.set_xticks([row["size"] for row in rows], [str(row["size"]) for row in rows])
        axes.minorticks_off()
        axes.set_title(title, fontsize=10)
        axes.set_ylabel("ms a step")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=100)
