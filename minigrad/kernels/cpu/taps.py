"""Which taps of a convolution's kernel meet which pixels, found once for each `Geometry` and number of images.

A convolution gathers: each number of its result, the target, is a sum over the taps of the kernel that meet a pixel of its
source. Inside the image these are all of them, at its borders fewer; in a transposed convolution with a stride, neighbours
meet different ones. Targets that the same taps meet are a class here, and lie on a grid:

    conv2d            target i, tap t: source pixel i stride - padding + t dilation
    conv_transpose2d  target y, tap t: source pixel (y + padding - t dilation) / stride, where that is a whole number
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from minigrad.kernels.cpu.vectors import ROWS
from minigrad.kernels.geometry import Geometry

Array = Any


class Stretch(NamedTuple):
    """Targets along one axis that the same taps meet."""

    first: int
    size: int
    taps: tuple[tuple[int, int], ...]  # of the first target: tap, source pixel, counted from the margin's first


class Axis(NamedTuple):
    """All targets along one axis."""

    margin: int  # of zeros on both sides of the source
    stretches: list[Stretch]


_FIELDS = "first down across target_down target_across source_down source_across run runs length"
CLASS = np.dtype([(name, np.int64) for name in _FIELDS.split()])


class Plan(NamedTuple):
    """What a convolution sums. All distances are in pixels, row by row; those in the source count its margins.

    A class: its `first` target; how many there are `down` and `across`; how far apart they are in the target, and how far
    apart what they see in the source; its first `run`, how many `runs` it has, and of how many pixels each (`length`). A run
    begins at a pixel and a tap, and the next taps see the next pixels; the pixel is the first target's, in its image.
    """

    margins: tuple[int, int]  # rows and columns of zeros that the source has around it
    classes: Array  # of dtype CLASS
    runs: Array  # int64 (runs, 2): pixel, tap


@lru_cache(maxsize=1024)
def plan(geometry: Geometry, transposed: bool, n: int) -> Plan:
    """The plan with the least work for n images.

    With zeros around the source, all taps of a grid meet a pixel, and there are few classes: that is better for one small
    image, in which no tile of targets at the border would be full. (Zeros times a weight that is not finite are NaN; else what
    lies outside of the source is left out.)
    """
    most = _margins(geometry, transposed)
    ways = [[_axis(geometry, axis, transposed, margin) for margin in (0, most[axis])] for axis in (0, 1)]
    down, across = min(product(*ways), key=lambda axes: _tiles_and_taps(n, *axes))
    return _plan(geometry, transposed, down, across)


def _tiles_and_taps(n: int, down: Axis, across: Axis) -> int:
    """The work for n images, in tiles times taps."""
    targets = np.outer([s.size for s in down.stretches], [s.size for s in across.stretches]) * n
    taps = np.outer([len(s.taps) for s in down.stretches], [len(s.taps) for s in across.stretches])
    return int((-(-targets // ROWS) * taps).sum())


def _plan(geometry: Geometry, transposed: bool, down: Axis, across: Axis) -> Plan:
    target, source = _sizes(geometry, 1, transposed)
    source += 2 * across.margin
    steps, advances = (geometry.stride, (1, 1)) if transposed else ((1, 1), geometry.stride)
    distances = steps[0] * target, steps[1], advances[0] * source, advances[1]
    in_a_row = not transposed and geometry.dilation[1] == 1
    classes: list[tuple[int, ...]] = []
    runs: list[tuple[int, int]] = []
    for rows, columns in product(down.stretches, across.stretches):
        length = len(columns.taps) if in_a_row else 1
        starts = columns.taps[:: max(1, length)]
        new = [(y * source + x, a * geometry.kernel[1] + b) for a, y in rows.taps for b, x in starts]
        classes.append((rows.first * target + columns.first, rows.size, columns.size, *distances, len(runs), len(new), length))
        runs += new
    return Plan((down.margin, across.margin), np.array(classes, CLASS), np.array(runs, np.int64).reshape(-1, 2))


def _margins(geometry: Geometry, transposed: bool) -> tuple[int, int]:
    """How far outside of the source taps see, along the height and the width."""

    def margin(axis: int) -> int:
        targets, pixels = _sizes(geometry, axis, transposed)
        seen = [x for target in range(targets) for _, x in _met(geometry, axis, transposed, target)]
        return max(0, -min(seen, default=0), max(seen, default=0) - pixels + 1)

    return margin(0), margin(1)


def _sizes(geometry: Geometry, axis: int, transposed: bool) -> tuple[int, int]:
    """How many targets and how many pixels of the source there are along an axis."""
    positions, image = geometry.positions[axis], geometry.image[axis]
    return (image, positions) if transposed else (positions, image)


def _axis(geometry: Geometry, axis: int, transposed: bool, margin: int) -> Axis:
    """The targets along one axis; those that a stride separates are on different grids."""
    targets, pixels = _sizes(geometry, axis, transposed)
    step = geometry.stride[axis] if transposed else 1
    stretches: list[Stretch] = []
    for grid in range(min(step, targets)):
        before: list[int] | None = None
        for target in range(grid, targets, step):
            met = [(t, x + margin) for t, x in _met(geometry, axis, transposed, target) if -margin <= x < pixels + margin]
            numbers = [t for t, _ in met]
            if numbers == before:
                stretches[-1] = stretches[-1]._replace(size=stretches[-1].size + 1)
            else:
                stretches.append(Stretch(target, 1, tuple(met)))
            before = numbers
    return Axis(margin, stretches)


def _met(geometry: Geometry, axis: int, transposed: bool, target: int) -> list[tuple[int, int]]:
    """Each tap that meets a target, and the source pixel it sees, which may lie outside."""
    stride, padding, dilation = geometry.stride[axis], geometry.padding[axis], geometry.dilation[axis]
    taps = range(geometry.kernel[axis])
    if not transposed:
        return [(t, target * stride - padding + t * dilation) for t in taps]
    places = [(t, target + padding - t * dilation) for t in taps]
    return [(t, place // stride) for t, place in places if place % stride == 0]
