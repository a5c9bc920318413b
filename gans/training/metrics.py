"""metrics.csv: the metrics of a run, one row every few steps."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from gans.training.config import is_plain
from minigrad.io import files
from minigrad.io.files import FileError

ROW_EVERY = 10  # steps per row; a row contains the means over its steps
MOST_BYTES = 2**26  # of the file, which are rows of some ten million steps
MOST_METRICS = 1000
LARGEST = 3.5e38  # float32 has no larger numbers


class MetricsFile:
    """The table at `path`: a column "step" and one column per metric. FileError if it cannot be written or read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row."""
        files.append(self.path, _lines([_row(step, values.values())]), heading=_lines([["step", *values]]))

    def read(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The steps, and the values of each metric at these steps. A last line that a crash cut short is ignored.

        FileError unless every row has one number per column, and the steps increase.
        """
        content = files.read(self.path, MOST_BYTES) if files.exists(self.path) else b""
        heading, _, rows = content[: content.rfind(b"\n") + 1].partition(b"\n")
        if not heading:
            return np.zeros(0), {}
        try:
            step, *names = next(csv.reader([heading.decode()]))
            table = np.zeros((0, 1 + len(names)))
            if rows.strip():
                table = np.loadtxt(io.BytesIO(rows), delimiter=",", comments=None, ndmin=2)
            good = step == "step" and len({*names}) == len(names) == table.shape[1] - 1 <= MOST_METRICS
            good = good and all(map(is_plain, names)) and bool((np.abs(table) <= LARGEST).all())
            steps = table[:, 0]
            good = good and bool((steps == np.floor(steps)).all() and (np.diff(steps, prepend=0) > 0).all())
        except (ValueError, csv.Error):
            good = False
        if not good:
            raise FileError(f"{self.path} is damaged: delete it to continue without the old curves")
        return steps, dict(zip(names, table.T[1:], strict=True))

    def cut(self, step: int) -> None:
        """Delete the rows after a step, which a resumed run will write again, and partial rows."""
        steps, metrics = self.read()
        if not metrics:
            files.remove(self.path)
            return
        kept = (steps <= step) & (steps % ROW_EVERY == 0)
        rows = zip(*(values[kept].tolist() for values in metrics.values()), strict=True)
        lines = [["step", *metrics], *(_row(int(at), row) for at, row in zip(steps[kept], rows, strict=True))]
        files.write_atomically(self.path, _lines(lines))


def _row(step: int, values: Iterable[float]) -> list[str]:
    return [str(step), *(f"{value:.6g}" for value in values)]


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
