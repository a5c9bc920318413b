"""A canvas four times as large as its image, and the shapes that are drawn on it.

A shape is an outline, points (n, 2): x to the right and y down, in units of half an image from its middle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Bytes = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]
Colour = tuple[int, int, int]

SCALE = 4  # an image is drawn this many times larger and then averaged, which smooths every edge
WHITE: Colour = (255, 255, 255)
_ANGLES = np.arange(48) * (2 * np.pi / 48)
_CIRCLE = np.stack([-np.sin(_ANGLES), np.cos(_ANGLES)], axis=1)
_T = np.linspace(-1, 1, 13)


def draw_all(what: str, draw: Callable[[Any], Bytes], items: Sequence[Any] | np.ndarray, shape: tuple[int, ...]) -> Bytes:
    """draw(item) for every item, uint8 (n, *shape), with a progress bar on a terminal if it takes more than a moment."""
    from tqdm import tqdm

    images = np.empty((len(items), *shape), np.uint8)
    for i, item in enumerate(tqdm(items, desc=f"drawing {what}", unit="", delay=1, disable=None)):
        images[i] = draw(item)  # in one thread: Pillow's drawing holds the GIL
    return images


def check(seed: object, count: object, image_size: object = 1) -> None:
    for name, value, least in (("seed", seed, 0), ("count", count, 0), ("image_size", image_size, 1)):
        if not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{name} must be a whole number, {least} or more, but it is {value!r}")


def colours(hex_codes: str) -> tuple[Colour, ...]:
    """The colours of "ff0000 00ff00", here red and green."""
    return tuple((code[0], code[1], code[2]) for code in map(bytes.fromhex, hex_codes.split()))


def mixed(colour: Colour, other: Colour, share: float) -> Colour:
    """`colour` with this share of `other` in it."""
    r, g, b = (round(c + share * (d - c)) for c, d in zip(colour, other, strict=True))
    return r, g, b


def box(left: float, top: float, right: float, bottom: float) -> Points:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def ellipse(x: float, y: float, rx: float, ry: float, square: float = 0.0) -> Points:
    """48 points around (x, y), clockwise from the bottom; `square`, below 1, widens it towards its bounding box."""
    unit = np.sign(_CIRCLE) * np.abs(_CIRCLE) ** (1 - square) if square else _CIRCLE
    return unit * (rx, ry) + (x, y)


def curve(x: float, y: float, half: float, bend: float, rise: float = 0.0) -> Points:
    """13 points of the parabola y + bend (1 - t^2) + rise t, for t from -1 to 1 while x goes from x - half to x + half."""
    return np.stack([x + half * _T, y + bend * (1 - _T**2) + rise * _T], axis=1)


def between(line: Points, other: Points) -> Points:
    """The area between two lines that go the same way."""
    return np.concatenate([line, other[::-1]])


class Canvas:
    """An RGB image in the making. Shapes are in the frame that `place` has set last."""

    def __init__(self, size: int, colour: Colour = WHITE) -> None:
        self.pixels = Image.new("RGB", (SCALE * size, SCALE * size), colour)
        self.unit = SCALE * size / 2  # in pixels of the canvas
        self._draw, self._glaze = ImageDraw.Draw(self.pixels), ImageDraw.Draw(self.pixels, "RGBA")
        self.place()

    def place(self, x: float = 0.0, y: float = 0.0, turn: float = 0.0, width: float = 1.0) -> None:
        """Moves the origin of what follows to (x, y), stretches its width and turns it clockwise by `turn` radians."""
        cos, sin = math.cos(turn), math.sin(turn)
        self._matrix = self.unit * np.array([(width * cos, width * sin), (-sin, cos)])
        self._origin = np.array([x + 1, y + 1]) * self.unit - 0.5

    def fill(self, colour: Colour, *shapes: Points, opacity: float = 1.0) -> None:
        draw, ink = (self._draw, colour) if opacity == 1 else (self._glaze, (*colour, round(255 * opacity)))
        for shape in shapes:
            draw.polygon((shape @ self._matrix + self._origin).ravel().tolist(), fill=ink)

    def stroke(self, colour: Colour, width: float, *lines: Points | list[tuple[float, float]]) -> None:
        """Smooth lines through points, with round ends."""
        diameter = max(1, round(width * self.unit))
        for line in lines:
            points = (np.asarray(line) @ self._matrix + self._origin).tolist()
            self._draw.line([tuple(point) for point in points], fill=colour, width=diameter)
            for x, y in (points[0], points[-1]):
                r = (diameter - 1) / 2
                self._draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def fade(self, *stops: Colour) -> None:
        """Fills the canvas with a vertical gradient through these colours."""
        column = Image.new("RGB", (1, len(stops)))
        column.putdata(stops)
        self.pixels.paste(column.resize(self.pixels.size, Image.Resampling.BICUBIC))

    def glow(self, x: float, y: float, reach: float, colour: Colour, opacity: float) -> None:
        """A light around (x, y): the share of its colour falls smoothly from `opacity` to 0 at the distance `reach`."""
        left, top, side = (round(length * self.unit) for length in (x + 1 - reach, y + 1 - reach, 2 * reach))
        levels = [round(255 * opacity * max(0, 1 - (i / 181) ** 2) ** 2) for i in range(256)]
        mask = Image.radial_gradient("L").point(levels)  # the gradient is 181 in the middle of an edge
        self.pixels.paste(colour, (left, top), mask.resize((side, side), Image.Resampling.BILINEAR))

    def mirror(self, y: float, squeeze: float) -> None:
        """Replaces all below y by the reflection of what is above, which is `squeeze` times as high."""
        width, height = self.pixels.size
        row = round((y + 1) * self.unit)
        seen = self.pixels.crop((0, max(0, row - round(squeeze * (height - row))), width, row))
        upside_down = seen.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        self.pixels.paste(upside_down.resize((width, max(1, height - row)), Image.Resampling.BILINEAR), (0, row))

    def image(self) -> Bytes:
        """uint8 (3, size, size)."""
        return np.asarray(self.pixels.reduce(SCALE)).transpose(2, 0, 1)
