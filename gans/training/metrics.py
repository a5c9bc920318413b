"""metrics.csv: the metrics of a run, one row every few steps."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from minigrad.io.files import FileError, read, write_atomically

ROW_EVERY = 10  # steps per row; a row contains the means over its steps


class MetricsFile:
    """The table at `path`: a column "step" and one column per metric. FileError if it cannot be written or read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row."""
        row = [str(step), *(f"{value:.6g}" for value in values.values())]
        try:
            with self.path.open("a", newline="") as file:
                writer = csv.writer(file)
                if file.tell() == 0:
                    writer.writerow(["step", *values])
                writer.writerow(row)
        except OSError as error:
            raise FileError(f"cannot write {self.path}: {error.strerror or error}") from error

    def read(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The steps, and the values of each metric at these steps."""
        rows = self._rows()
        if len(rows) < 2:
            return np.zeros(0), {}
        table = np.array([[float(value) for value in row] for row in rows[1:]])
        return table[:, 0], {name: table[:, 1 + i] for i, name in enumerate(rows[0][1:])}

    def cut(self, step: int) -> None:
        """Delete the rows after a step, which a resumed run will write again, and partial rows."""
        rows = self._rows()
        if rows:
            kept = [row for row in rows[1:] if int(row[0]) <= step and int(row[0]) % ROW_EVERY == 0]
            text = io.StringIO(newline="")
            csv.writer(text).writerows([rows[0], *kept])
            write_atomically(self.path, text.getvalue().encode())
        else:
            self.path.unlink(missing_ok=True)

    def _rows(self) -> list[list[str]]:
        """The header and all complete rows. The last line is ignored if a crash cut it short."""
        if not self.path.exists():
            return []
        try:
            lines = read(self.path).decode().split("\n")[:-1]
            rows = list(csv.reader(lines))
            for row in rows[1:]:
                int(row[0])
                if len(row) != len(rows[0]):
                    raise ValueError(f"a row has {len(row)} fields, the header {len(rows[0])}")
                [float(value) for value in row]
        except (ValueError, IndexError, csv.Error) as error:
            raise FileError(f"{self.path} is damaged ({error}); delete it to continue without the old curves") from error
        return rows
