"""More regions of the plane, those that landscapes are made of, and a mirror."""

from __future__ import annotations

import math

import numpy as np

from gans.data.drawn.landscape_scene import Crest
from gans.data.drawn.shapes import Canvas, Colour, Shape

Point = tuple[float, float]

_DROP = 0.2  # how much lower the ground is at a crest's `half`
_STEP = 0.01  # over which a slope is measured


def polygon(*corners: Point) -> Shape:
    """A convex polygon, its corners clockwise on the picture."""
    xs, ys = zip(*corners, strict=True)
    edges = []
    for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True):
        length = math.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2)
        edges.append((x0, y0, (y1 - y0) / length, (x0 - x1) / length))  # a point of the edge, and the way out

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        (x0, y0, out_x, out_y), *others = edges
        result = (x - x0) * out_x + (y - y0) * out_y
        for x0, y0, out_x, out_y in others:
            result = np.maximum(result, (x - x0) * out_x + (y - y0) * out_y)
        return result

    return Shape((min(xs), min(ys), max(xs), max(ys)), distance)


def box(left: float, top: float, right: float, bottom: float) -> Shape:
    return polygon((left, top), (right, top), (right, bottom), (left, bottom))


class Ground:
    """Hills: the height of the ground at every x, where the parabolas of the crests and a plain run into each other."""

    def __init__(self, crests: tuple[Crest, ...], plain: float, blend: float = 0.08) -> None:
        self.crests, self.plain, self.blend = crests, plain, blend

    def height(self, x: np.ndarray) -> np.ndarray:
        """y at x; like y, it is less where the ground is higher."""
        y = np.full_like(x, self.plain)
        for crest in self.crests:
            t = (x - crest.x) * (1 / crest.half)
            parabola = crest.y + _DROP * t * t
            near = np.maximum(self.blend - np.abs(y - parabola), 0)
            y = np.minimum(y, parabola) - near * near * (0.25 / self.blend)  # a minimum without the kink
        return y

    def at(self, x: float) -> float:
        return float(self.height(np.array([x], np.float32))[0])

    def below(self, depth: float = 0.0) -> Shape:
        """All that is so far below the surface; in a frame that is not turned, so that x differs by columns only."""

        def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            left, here, right = self.height(x[0] + np.array([[-_STEP], [0], [_STEP]], np.float32))
            slope = (right - left) * (0.5 / _STEP)
            return (here + depth - y) / np.sqrt(1 + slope * slope)

        top = min([self.plain, *(crest.y for crest in self.crests)]) - self.blend + depth
        return Shape((-9.0, top, 9.0, 9.0), distance)


def shine(canvas: Canvas, x: float, y: float, reach: float, colour: Colour, opacity: float) -> None:
    """A glow around (x, y): the share of its colour falls smoothly from `opacity` to 0 at the distance `reach`."""

    def distance(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        across, down = (xs - x) * (1 / reach), (ys - y) * (1 / reach)
        fall = np.maximum(1 - across * across - down * down, 0)
        return reach * (0.5 - opacity * fall * fall)  # of which `paint` makes this share, with an edge as wide as `reach`

    canvas.paint(Shape((x - reach, y - reach, x + reach, y + reach), distance), colour, opacity, soft=reach)


def mirror(canvas: Canvas, shore: float, squeeze: float) -> None:
    """Turns all below the line y = shore into the reflection of what is above it, which is `squeeze` times as high."""
    size = canvas.size
    y = (np.arange(size, dtype=np.float32) * 2 + 1) / np.float32(size) - 1
    rows = slice(int(np.searchsorted(y, shore - 1 / size)), size)
    seen = np.maximum(shore - np.maximum(y[rows] - shore, 0) * squeeze, -1)
    place = np.maximum((seen + 1) * (size / 2) - 0.5, 0)  # between two rows
    upper = place.astype(int)
    share = (place - upper)[:, None]
    above, below = canvas.pixels[:, upper], canvas.pixels[:, np.minimum(upper + 1, size - 1)]
    cover = np.minimum(np.maximum(0.5 + (y[rows] - shore) * (size / 2), 0), 1)[:, None]  # of the row that the line crosses
    canvas.pixels[:, rows] += cover * (above + share * (below - above) - canvas.pixels[:, rows])
