"""Which taps of the kernel see which pixels, for `implicit_gemm`: planned once for each `Geometry` and number of images.

A convolution reads a source image and writes a target image. Each target pixel is a sum over the
taps that see a source pixel: all of them inside the image, fewer at its borders. In a transposed
convolution with a stride, neighbouring targets have different taps. Targets with the same taps form
a class; they lie on a grid. With positions and pixels counted along one axis:

    conv2d            target i, tap t: source pixel i stride - padding + t dilation
    conv_transpose2d  target y, tap t: source pixel (y + padding - t dilation) / stride, if that is an integer
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
    """Targets along one axis that have the same taps."""

    first: int
    size: int
    taps: tuple[tuple[int, int], ...]  # of the first target: (tap, source pixel); pixel 0 is the first of the margin


class Axis(NamedTuple):
    """All targets along one axis."""

    margin: int  # of zeros on both sides of the source
    stretches: list[Stretch]


_FIELDS = "first down across target_down target_across source_down source_across run runs length"
CLASS = np.dtype([(name, np.int64) for name in _FIELDS.split()])


class Plan(NamedTuple):
    """Which sums a convolution consists of. Distances count pixels, row by row, in the source including its margins.

    A class has the fields of CLASS: its `first` target, the number of targets `down` and `across`,
    the distances between targets (`target_*`) and between the pixels they see (`source_*`), the
    number of its first `run`, its number of `runs`, and the pixels in each run (`length`). A run is
    a pixel and a tap, for the first target of the class; the next taps of the run see the next
    pixels.
    """

    margins: tuple[int, int]  # rows and columns of zeros to put around the source
    classes: Array  # of dtype CLASS
    runs: Array  # int64 (runs, 2): pixel, tap


@lru_cache(maxsize=1024)
def plan(geometry: Geometry, transposed: bool, n: int) -> Plan:
    """The plan with the least work for n images.

    With margins of zeros, every tap sees a pixel everywhere, and there are few classes. That is
    faster for few small images, where the classes at the borders would not fill a tile. (A weight
    that is not finite times the margin's zeros is NaN; without margins, taps outside the source are
    skipped.)
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
    """How far beyond the source the taps reach, along the height and the width."""

    def margin(axis: int) -> int:
        targets, pixels = _sizes(geometry, axis, transposed)
        seen = [x for target in range(targets) for _, x in _seen(geometry, axis, transposed, target)]
        return max(0, -min(seen, default=0), max(seen, default=0) - pixels + 1)

    return margin(0), margin(1)


def _sizes(geometry: Geometry, axis: int, transposed: bool) -> tuple[int, int]:
    """The number of targets and of source pixels along an axis."""
    positions, image = geometry.positions[axis], geometry.image[axis]
    return (image, positions) if transposed else (positions, image)


def _axis(geometry: Geometry, axis: int, transposed: bool, margin: int) -> Axis:
    """The targets along one axis.

    In a transposed convolution, each remainder modulo the stride is a grid of its own.
    """
    targets, pixels = _sizes(geometry, axis, transposed)
    step = geometry.stride[axis] if transposed else 1
    stretches: list[Stretch] = []
    for grid in range(min(step, targets)):
        before: list[int] | None = None
        for target in range(grid, targets, step):
            seen = [(t, x + margin) for t, x in _seen(geometry, axis, transposed, target) if -margin <= x < pixels + margin]
            numbers = [t for t, _ in seen]
            if numbers == before:
                stretches[-1] = stretches[-1]._replace(size=stretches[-1].size + 1)
            else:
                stretches.append(Stretch(target, 1, tuple(seen)))
            before = numbers
    return Axis(margin, stretches)


def _seen(geometry: Geometry, axis: int, transposed: bool, target: int) -> list[tuple[int, int]]:
    """The taps of a target, and the source pixel that each sees, which may be outside the source."""
    stride, padding, dilation = geometry.stride[axis], geometry.padding[axis], geometry.dilation[axis]
    taps = range(geometry.kernel[axis])
    if not transposed:
        return [(t, target * stride - padding + t * dilation) for t in taps]
    numerators = [(t, target + padding - t * dilation) for t in taps]
    return [(t, x // stride) for t, x in numerators if x % stride == 0]
