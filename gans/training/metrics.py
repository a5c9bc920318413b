"""metrics.csv: the metrics of a run, one row every few steps, and one row for each evaluation."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from gans.training.config import is_plain
from gans.training.tensorboard import EventFile
from minigrad.io import files
from minigrad.io.files import FileError

ROW_EVERY = 10  # steps per row; a row contains the means over its steps
MOST_BYTES = 2**26  # of the file, which are rows of some ten million steps
MOST_METRICS = 1000
LARGEST = 3.5e38  # float32 has no larger numbers


class MetricsFile:
    """The table at `path`: a column "step" and one column per metric. FileError if it cannot be written or read.

    A row has the metrics that were measured at its step; the cells of the others are empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: list[str] | None = None  # of the file, once they are known; without "step"
        self.events: EventFile | None = None  # which gets the rows too

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row. A new metric gets a new column at the end."""
        if self.columns is None:
            self.columns = list(self.read()[1])
        if new := [name for name in values if name not in self.columns]:
            steps, metrics = self.read()
            self.columns += new
            if metrics:
                self._write(steps, metrics)
        files.append(self.path, _lines([_row(step, values, self.columns)]), heading=_lines([["step", *self.columns]]))
        if self.events:
            self.events.append(step, values)

    def read(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The steps, and the values of each metric at these steps, NaN where the cell is empty.

        A last line that a crash cut short is ignored. FileError unless every row has one cell per column, and the steps do
        not decrease, and increase where a metric was measured.
        """
        content = files.read(self.path, MOST_BYTES) if files.exists(self.path) else b""
        heading, _, rows = content[: content.rfind(b"\n") + 1].partition(b"\n")
        if not heading:
            return np.zeros(0), {}
        try:
            step, *names = next(csv.reader([heading.decode()]))
            table = np.zeros((0, 1 + len(names)))
            if rows.strip():
                filled = re.sub(rb",(?=[,\r\n])", b",nan", rows)
                table = np.loadtxt(io.BytesIO(filled), delimiter=",", comments=None, ndmin=2)
            good = step == "step" and len({*names}) == len(names) == table.shape[1] - 1 <= MOST_METRICS
            good = good and all(map(is_plain, names)) and b"nan" not in rows.lower()
            good = good and bool((np.isnan(table) | (np.abs(table) <= LARGEST)).all())
            steps = table[:, 0]
            good = good and bool((steps == np.floor(steps)).all() and (np.diff(steps, prepend=1) >= 0).all())
            good = good and all((np.diff(steps[~np.isnan(values)]) > 0).all() for values in table.T[1:])
        except (ValueError, csv.Error):
            good = False
        if not good:
            raise FileError(f"{self.path} is damaged: delete it to continue without the old curves")
        return steps, dict(zip(names, table.T[1:], strict=True))

    def cut(self, step: int, means: Collection[str] | None = None) -> None:
        """Delete the rows after a step, which a resumed run will write again, and the row of fewer than ROW_EVERY steps.

        `means` are the metrics that are averaged over steps, by default all. Others are measured at any step.
        """
        steps, metrics = self.read()
        self.columns = list(metrics)
        if not metrics:
            files.remove(self.path)
            return
        has_means = [~np.isnan(values) for name, values in metrics.items() if means is None or name in means]
        short = np.any(has_means, axis=0) & (steps % ROW_EVERY != 0)
        kept = (steps <= step) & ~short
        self._write(steps[kept], {name: values[kept] for name, values in metrics.items()})

    def _write(self, steps: np.ndarray, metrics: Mapping[str, np.ndarray]) -> None:
        assert self.columns is not None
        rows = zip(*(values.tolist() for values in metrics.values()), strict=True)
        named = [dict(zip(metrics, row, strict=True)) for row in rows]
        lines = [_row(int(step), row, self.columns) for step, row in zip(steps, named, strict=True)]
        files.write_atomically(self.path, _lines([["step", *self.columns], *lines]))


def _row(step: int, values: Mapping[str, float], columns: Sequence[str]) -> list[str]:
    cells = [values.get(name, math.nan) for name in columns]
    return [str(step), *("" if math.isnan(value) else f"{value:.6g}" for value in cells)]


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
