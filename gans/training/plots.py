"""What is drawn beside training: losses.png, the metrics as curves with explanations; gradients.png, norms by layer."""

from __future__ import annotations

import contextlib
import io
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gans.output import new_figure
from minigrad.io.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEW = 50  # fewer values are marked by points: a single one would not show as a line


class Drawings:
    """Draws, but ends no run: of each kind of drawing, the first failure is said."""

    def __init__(self) -> None:
        self.failed: set[str] = set()

    @contextlib.contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Context in which `what` is drawn."""
        try:
            yield
        except Exception as error:
            if what not in self.failed:
                from tqdm import tqdm

                self.failed.add(what)
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                tqdm.write(f"{what} cannot be drawn ({reason}); training goes on.", file=sys.stderr)


def plot_curves(path: Path, steps: np.ndarray, curves: Mapping[str, np.ndarray], captions: Mapping[str, str]) -> None:
    """Draw one panel per metric: its values in a light colour, their running mean in a dark one, the caption below.

    A value is NaN where the metric was not measured.
    """
    curves = {name: values for name, values in curves.items() if not np.isnan(values).all()}
    across = 2
    down = -(-len(curves) // across)
    figure = new_figure(11, 3.4 * down)
    for i, (name, values) in enumerate(curves.items()):
        axes = figure.add_subplot(down, across, i + 1)
        at, values = steps[~np.isnan(values)], values[~np.isnan(values)]
        axes.plot(at, values, color="tab:blue", alpha=0.3, linewidth=0.8)
        axes.plot(at, running_mean(values), color="tab:blue", marker="." if len(at) < FEW else None)
        axes.set_title(name, parse_math=False)
        axes.set_xlabel("step\n" + textwrap.fill(captions.get(name, ""), 80), fontsize=8, parse_math=False)
        axes.grid(alpha=0.3)
    _save(path, figure)


def plot_norms(path: Path, steps: np.ndarray, norms: Mapping[str, np.ndarray]) -> None:
    """Draw one panel per network: the norm of each layer's gradient on a log scale, from dark for the first layer to bright."""
    networks = list(dict.fromkeys(name.partition(".")[0] for name in norms))
    figure = new_figure(11, 3.6 * len(networks))
    for i, network in enumerate(networks):
        axes = figure.add_subplot(len(networks), 1, i + 1)
        layers = {name: values for name, values in norms.items() if name.partition(".")[0] == network}
        for k, (name, values) in enumerate(layers.items()):
            shade = 0.9 * k / max(1, len(layers) - 1)
            positive = np.where(values > 0, values, np.nan)  # a gradient of zero has no place on a log scale
            axes.plot(steps, positive, color=(shade, 0.3 + 0.4 * shade, 0.8 - 0.7 * shade), label=name, linewidth=1)
        axes.set_yscale("log")
        axes.set_title(f"{network}: norm of the gradient, by layer", parse_math=False)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), ncols=1 + len(layers) // 20)
    _save(path, figure)


def _save(path: Path, figure: Figure) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    write_atomically(path, buffer.getvalue())


def running_mean(values: np.ndarray) -> np.ndarray:
    """At each position, the mean of the last values: 2 % of all values, but at least one."""
    window = max(1, len(values) // 50)
    total = np.concatenate([[0.0], np.cumsum(values)])
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    return (total[end] - total[start]) / (end - start)
