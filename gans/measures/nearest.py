"""The nearest images of an image, and how many images are nearly equal to another one. Distances are computed in blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gans.measures.reduce import reduced

Floats = npt.NDArray[np.floating]
Images = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]
Labels = npt.NDArray[np.integer]

SIDE = 32  # large images are reduced to about this many pixels a side before they are compared
NEARLY_EQUAL = 10.0  # of 255: a smaller root mean square difference makes two images nearly equal
BLOCK = 1024  # images at once
QUERIES = 256  # images whose distances to all training images are in memory at once


def squared_distances(a: Floats, b: Floats) -> Floats:
    """Squared Euclidean distances between the rows of a (n, d) and b (m, d): (n, m)."""
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * (a @ b.T)
    return np.maximum(squares, 0, out=squares)  # rounding can make a distance of 0 slightly negative


def nearest(queries: Images, images: Images, count: int = 1, own: Indices | None = None) -> tuple[Indices, Floats]:
    """The positions of the `count` nearest images to each query, nearest first, and their root mean square differences.

    Both arguments are uint8 (n, channels, height, width), both results (queries, count). `own[i]` is the position of
    query i itself among the images, if it is one of them, where it is not looked for.
    """
    vectors = _vectors(queries)
    distances: Floats = np.full((len(queries), count), np.inf, np.float32)
    positions: Indices = np.zeros((len(queries), count), np.int64)
    for start in range(0, len(images), BLOCK):
        block = squared_distances(vectors, _vectors(images[start : start + BLOCK]))
        if own is not None:
            block[own[:, None] - start == np.arange(block.shape[1])] = np.inf
        candidates = np.concatenate([distances, block], axis=1)
        places = np.concatenate([positions, np.broadcast_to(np.arange(start, start + block.shape[1]), block.shape)], axis=1)
        best = np.argpartition(candidates, count - 1, axis=1)[:, :count]
        distances, positions = np.take_along_axis(candidates, best, 1), np.take_along_axis(places, best, 1)
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(positions, order, 1), np.sqrt(np.take_along_axis(distances, order, 1) / vectors.shape[1])


def share_nearly_equal(queries: Images, images: Images, own: Indices | None = None) -> float:
    """The share of the queries that are nearly equal to one of the images (other than themselves, with `own`)."""
    return float((nearest(queries, images, own=own)[1] < NEARLY_EQUAL).mean())


def _vectors(images: Images) -> npt.NDArray[np.float32]:
    """Each image as a row of grey levels."""
    return reduced(images, SIDE).reshape(len(images), -1)


def nearest_class_accuracy(train: Floats, train_labels: Labels, test: Floats, test_labels: Labels) -> float:
    """The share of the rows of `test` (m, d) that have the label of the nearest row of `train` (n, d)."""
    right = 0
    for start in range(0, len(test), QUERIES):
        rows = slice(start, start + QUERIES)
        right += int((train_labels[squared_distances(test[rows], train).argmin(1)] == test_labels[rows]).sum())
    return right / len(test)


def nearest_class_table(features: Mapping[str, Sequence[Floats]], train_labels: Labels, test_labels: Labels) -> str:
    """The accuracies of features of training and test images, as Markdown."""
    lines = [
        f"Share of {len(test_labels):,} test images with the class of the nearest of {len(train_labels):,} training images.",
        "",
        "| nearest by | accuracy |",
        "| --- | --: |",
    ]
    for name, (train, test) in features.items():
        lines.append(f"| {name} | {100 * nearest_class_accuracy(train, train_labels, test, test_labels):.2f} % |")
    return "\n".join(lines) + "\n"
