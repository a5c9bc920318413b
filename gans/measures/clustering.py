"""How well clusters match the classes of images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.integer]


def counts(clusters: Labels, labels: Labels, k: int) -> npt.NDArray[np.int64]:
    """How many images of each cluster, a row, have each label, a column: (k, k)."""
    return np.bincount(k * clusters.astype(np.int64) + labels, minlength=k * k).reshape(k, k)


def best_assignment(table: npt.NDArray[np.int64]) -> list[int]:
    """The column of each row of a square table, all different, such that the sum of these entries is largest.

    By dynamic programming over the sets of columns that the first rows take: 2^k sums for k rows.
    """
    best: dict[int, tuple[int, list[int]]] = {0: (0, [])}  # by the set of columns taken, as bits
    for row in table.tolist():
        extended: dict[int, tuple[int, list[int]]] = {}
        for taken, (total, columns) in best.items():
            for column, value in enumerate(row):
                key = taken | 1 << column
                if key != taken and (key not in extended or total + value > extended[key][0]):
                    extended[key] = total + value, [*columns, column]
        best = extended
    ((_, columns),) = best.values()
    return columns


def clustering_table(clusters: Labels, labels: Labels, classes: Sequence[str]) -> str:
    """The accuracy of the best one-to-one assignment of clusters to classes, and which class goes where, as Markdown."""
    table = counts(clusters, labels, len(classes))
    chosen = best_assignment(table)
    right, sizes = table[np.arange(len(classes)), chosen], table.sum(1)
    shares = 100 * right / np.maximum(1, sizes)
    lines = [
        f"Clustering: {100 * right.sum() / len(labels):.2f} % of {len(labels):,} test images have the category of their class.",
        "",
        f"| category | {' | '.join(map(str, range(len(classes))))} |",
        f"| --- {'| --: ' * len(classes)}|",
        f"| class | {' | '.join(classes[column] for column in chosen)} |",
        f"| images | {' | '.join(map(str, sizes))} |",
        f"| of these in the class, % | {' | '.join(f'{share:.1f}' for share in shares)} |",
    ]
    return "\n".join(lines) + "\n"
