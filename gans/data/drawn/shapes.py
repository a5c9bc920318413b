"""Regions of the plane that can be joined, cut and painted: what the synthetic faces are made of.

A region is known by its signed distance: how far a point is outside, negative within. Union is then the minimum of two
distances, intersection the maximum, and a pixel's share of a region follows from the distance of its centre: edges are
smooth at every size of picture. Only +, -, *, / and square roots are used, which every processor rounds alike.

Lengths are in units of half a picture; x runs to the right, y down.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Box = tuple[float, float, float, float]  # left, top, right, bottom
Colour = tuple[int, int, int]

EVERYWHERE = (-9.0, -9.0, 9.0, 9.0)
_TINY = np.float32(1e-6)  # the middle of an ellipse, where all is 0, is well within


@dataclass(frozen=True)
class Shape:
    """A region: a box around it, and the signed distance (h, w) of points x (h, w) and y (h, w), all float32."""

    box: Box
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def __or__(self, other: Shape) -> Shape:
        (a, b, c, d), (e, f, g, h) = self.box, other.box
        box = (min(a, e), min(b, f), max(c, g), max(d, h))
        return Shape(box, lambda x, y: np.minimum(self.distance(x, y), other.distance(x, y)))

    def __and__(self, other: Shape) -> Shape:
        (a, b, c, d), (e, f, g, h) = self.box, other.box
        box = (max(a, e), max(b, f), min(c, g), min(d, h))
        return Shape(box, lambda x, y: np.maximum(self.distance(x, y), other.distance(x, y)))

    def __sub__(self, other: Shape) -> Shape:
        return Shape(self.box, lambda x, y: np.maximum(self.distance(x, y), -other.distance(x, y)))

    def outline(self, width: float) -> Shape:
        """A line of this width along the edge."""
        half, (left, top, right, bottom) = width / 2, self.box
        box = (left - half, top - half, right + half, bottom + half)
        return Shape(box, lambda x, y: np.abs(self.distance(x, y)) - half)


def ellipse(cx: float, cy: float, rx: float, ry: float, square: float = 0.0) -> Shape:
    """The ellipse with this centre and these radii; `square`, below 1, blows it up towards its bounding box.

    The distance is the first-order one, (k - 1) / |grad k|, where k^2 = (1 - q)(u^2 + v^2) + q (u^4 + v^4), and u, v are
    measured in radii: exact for circles.
    """

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = (x - cx) * (1 / rx), (y - cy) * (1 / ry)
        uu, vv = u * u, v * v
        if not square:
            g, slope_u, slope_v = uu + vv, u, v
        else:
            g = (1 - square) * (uu + vv) + square * (uu * uu + vv * vv)
            slope_u, slope_v = u * (1 - square + 2 * square * uu), v * (1 - square + 2 * square * vv)
        k, slope_u, slope_v = np.sqrt(g) + _TINY, slope_u * (1 / rx), slope_v * (1 / ry)
        return (k - 1) * k / (np.sqrt(slope_u * slope_u + slope_v * slope_v) + _TINY)

    return Shape((cx - rx, cy - ry, cx + rx, cy + ry), distance)


def circle(cx: float, cy: float, radius: float) -> Shape:
    return ellipse(cx, cy, radius, radius)


def line(x0: float, y0: float, x1: float, y1: float, width: float) -> Shape:
    """A straight stroke with round ends."""
    dx, dy, r = x1 - x0, y1 - y0, width / 2
    inverse = 1 / (dx * dx + dy * dy)

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        px, py = x - x0, y - y0
        t = np.minimum(np.maximum((px * dx + py * dy) * inverse, 0), 1)
        px, py = px - t * dx, py - t * dy
        return np.sqrt(px * px + py * py) - r

    return Shape((min(x0, x1) - r, min(y0, y1) - r, max(x0, x1) + r, max(y0, y1) + r), distance)


def arc(cx: float, cy: float, half: float, bend: float, width: float, rise: float = 0.0) -> Shape:
    """A stroke along the parabola y = cy + bend (1 - t^2) + rise t, for t from -1 to 1 over x from cx - half to cx + half."""
    r, reach = width / 2, abs(bend) + abs(rise) + width / 2

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        s = (x - cx) * (1 / half)
        t = np.minimum(np.maximum(s, -1), 1)
        slope = (rise - 2 * bend * t) * (1 / half)
        along, across = (s - t) * half, y - cy - bend * (1 - t * t) - rise * t
        return np.sqrt(along * along + across * across / (1 + slope * slope)) - r

    return Shape((cx - half - r, cy - reach, cx + half + r, cy + reach), distance)


def above(cy: float, bend: float = 0.0, half: float = 1.0, rise: float = 0.0, cx: float = 0.0) -> Shape:
    """All that is above the parabola that `arc` describes, which here goes on for ever."""

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        t = (x - cx) * (1 / half)
        slope = (rise - 2 * bend * t) * (1 / half)
        return (y - cy - bend * (1 - t * t) - rise * t) / np.sqrt(1 + slope * slope)

    return Shape(EVERYWHERE, distance)


def below(cy: float, bend: float = 0.0, half: float = 1.0, rise: float = 0.0, cx: float = 0.0) -> Shape:
    upper = above(cy, bend, half, rise, cx)
    return Shape(EVERYWHERE, lambda x, y: -upper.distance(x, y))


def mixed(colour: Colour, other: Colour, share: float) -> Colour:
    """A colour with so large a share of another one in it."""
    r, g, b = (round(c + share * (d - c)) for c, d in zip(colour, other, strict=True))
    return r, g, b


class Canvas:
    """One picture being painted: `pixels` (3, size, size) float32 in 0..255.

    Shapes are in the frame that `place` has set last; at first its origin is the middle of the picture.
    """

    def __init__(self, size: int, colour: Colour) -> None:
        self.size = size
        self.pixels = np.empty((3, size, size), np.float32)
        self.pixels[:] = np.array(colour)[:, None, None]
        self._grid = (np.arange(size, dtype=np.float32) * 2 + 1) / np.float32(size) - 1
        self.place()

    def place(self, x: float = 0.0, y: float = 0.0, turn: float = 0.0) -> None:
        """Puts the origin of what follows to (x, y), and turns it clockwise about that by `turn` radians."""
        self._x, self._y = x, y
        self._cos, self._sin = math.cos(turn), math.sin(turn)
        across, down = self._grid - x, (self._grid - y)[:, None]
        self._xs = self._cos * across + self._sin * down
        self._ys = self._cos * down - self._sin * across

    def paint(self, shape: Shape, colour: Colour, opacity: float = 1.0, soft: float = 0.0) -> None:
        """Paints the shape, with an edge that is one pixel wide, or `soft` if that is more."""
        edge = max(2 / self.size, soft)
        window = self._window(shape.box, edge)
        if window is None:
            return
        share = np.minimum(np.maximum(0.5 - shape.distance(self._xs[window], self._ys[window]) * (1 / edge), 0), opacity)
        region = self.pixels[:, *window]
        region += share * (np.array(colour, np.float32)[:, None, None] - region)

    def image(self) -> np.ndarray:
        """uint8 (3, size, size)."""
        return (self.pixels + 0.5).astype(np.uint8)

    def _window(self, box: Box, margin: float) -> tuple[slice, slice] | None:
        """The rows and columns that the box, turned and with a margin, may touch; None if it is out of the picture."""
        left, top, right, bottom = box
        half_x, half_y = (right - left) / 2 + margin, (bottom - top) / 2 + margin
        if half_x <= margin or half_y <= margin:
            return None
        cx, cy = (left + right) / 2, (top + bottom) / 2
        x = self._cos * cx - self._sin * cy + self._x
        y = self._sin * cx + self._cos * cy + self._y
        reach_x = abs(self._cos) * half_x + abs(self._sin) * half_y
        reach_y = abs(self._sin) * half_x + abs(self._cos) * half_y
        rows, columns = self._range(y, reach_y), self._range(x, reach_x)
        return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None

    def _range(self, centre: float, reach: float) -> slice:
        half = self.size / 2
        return slice(max(0, int((centre - reach + 1) * half)), max(0, min(self.size, int((centre + reach + 1) * half) + 1)))
