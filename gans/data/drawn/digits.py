"""Synthetic handwritten digits, drawn with a jittered pen: a data set like MNIST that needs no download."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from gans.data.drawn.canvas import SCALE, Bytes, check, draw_all

# For each digit, several ways of writing it, and how often each is used. A stroke is a list of points "x,y" that a smooth
# curve runs through, x to the right and y down, about 100 high; "|" lifts the pen, and a point written twice is a corner.
GLYPHS = {
    0: """4: 40,2 12,18 6,68 34,98 64,72 60,20 38,2 30,6; 2: 62,0 48,7 26,8 9,32 6,65 22,94 48,92 66,62 64,28 46,8 28,12;
        2: 45,5 12,25 0,60 25,92 62,85 85,45 72,12 40,4; 2: 30,4 8,34 8,74 30,98 62,84 72,44 56,12 34,10 18,24""",
    1: """8: 30,0 30,50 30,100; 1: 14,24 34,0 34,0 34,50 33,100; 1: 12,22 34,0 34,0 34,50 33,98|4,98 66,98""",
    2: """2: 5,22 25,3 55,8 58,32 35,65 5,95 5,95 35,94 70,92; 2: 8,25 25,5 52,8 58,30 42,62 18,90 6,92 8,78 25,80 45,92 72,90;
        3: 8,22 30,2 54,12 52,40 36,72 14,94 2,86 14,70 38,80 58,96 86,86;
        1: 6,34 18,8 46,4 58,28 46,64 22,94 4,90 8,72 30,70 56,84 84,94; 1: 5,12 30,4 60,8 55,25 30,62 4,96 4,96 40,95 72,94;
        1: 8,30 28,8 50,20 45,55 20,88 20,88 50,86 80,84""",
    3: """3: 8,14 30,2 55,12 52,32 26,46 26,46 56,54 64,76 42,97 8,90; 1: 8,4 60,4 60,4 30,40 30,40 60,55 62,80 38,98 6,90;
        3: 6,12 32,0 54,14 44,38 24,47 50,56 62,76 40,98 4,88; 1: 10,24 24,4 52,4 56,28 24,50 24,50 48,52 56,76 30,98 8,82""",
    4: """3: 14,2 9,30 6,52 6,52 30,52 66,46|56,0 50,50 44,100; 1: 48,2 4,62 4,62 74,60|50,2 48,50 46,100;
        2: 8,2 8,38 28,50 58,40 66,0 66,0 58,50 50,100; 2: 10,4 6,46 6,46 60,46|62,0 58,50 56,100;
        1: 28,0 2,58 2,58 70,50|62,26 48,60 34,100""",
    5: """2: 20,5 14,45 14,45 40,38 62,58 56,86 30,98 4,90|20,5 66,3; 2: 66,4 22,6 22,6 14,44 14,44 42,40 60,62 48,92 6,92;
        2: 62,6 30,6 16,26 34,44 54,62 44,92 6,92; 2: 88,4 36,12 36,12 22,46 22,46 44,46 50,70 30,96 0,88;
        2: 22,8 16,44 16,44 46,40 58,66 38,96 8,92 6,76|22,8 74,2""",
    6: """3: 50,2 22,25 8,62 18,94 44,96 56,76 44,58 22,62 10,80; 2: 30,0 14,35 8,72 22,97 46,93 54,74 38,60 14,74;
        2: 60,2 25,30 6,70 20,96 46,92 52,72 30,66 14,84; 2: 22,0 6,40 10,80 38,98 64,84 56,58 34,60 22,84""",
    7: """3: 4,8 62,4 62,4 45,45 28,100; 2: 4,8 62,4 62,4 45,45 28,100|18,52 64,48; 2: 4,24 8,6 8,6 62,6 62,6 44,50 36,100;
        2: 2,16 22,6 56,6 58,22 40,55 28,100; 2: 2,34 6,12 24,8 60,8 60,8 52,50 46,100""",
    8: """3: 56,12 32,0 12,14 26,38 52,62 54,86 30,98 8,84 18,58 46,36 58,14;
        2: 34,48 12,30 18,6 44,2 56,24 34,48 10,72 18,96 46,96 58,74 36,48;
        2: 66,8 40,2 18,16 30,42 44,66 36,94 14,92 12,70 40,42 64,16;
        2: 54,20 40,2 22,12 30,36 52,64 50,90 28,100 10,86 16,66 40,40 56,16;
        1: 58,16 36,2 10,10 8,34 36,48 50,70 40,96 16,94 14,70 38,48 60,22""",
    9: """3: 54,14 32,2 10,20 14,42 36,46 54,16 54,16 52,60 48,100;
        2: 54,14 32,2 10,20 14,42 36,46 54,16 54,16 54,60 40,92 12,92; 3: 56,10 28,4 8,28 24,46 50,28 58,8 40,60 26,100;
        3: 58,20 40,2 12,10 6,34 26,46 50,34 60,12 60,12 58,58 56,100;
        1: 62,14 36,0 8,14 6,40 34,48 64,14 64,14 60,62 62,100""",
}  # fmt: skip

BOX, SIDE = 20, 28  # MNIST fits a digit into a box of 20 x 20 pixels, and centres it by its mass in an image of 28 x 28
T = np.linspace(0, 1, 7)  # where a curve is computed between two of its points
CATMULL_ROM = 0.5 * np.stack([-T + 2 * T**2 - T**3, 2 - 5 * T**2 + 3 * T**3, T + 4 * T**2 - 3 * T**3, T**3 - T**2], axis=1)


def synthetic_digits(count: int = 60_000, seed: int = 0) -> tuple[Bytes, Bytes]:
    """Draws handwritten-like digits, white ink on black, fitted into the image as MNIST's are.

    Returns images (count, 28, 28) uint8 and labels (count,) uint8 from 0 to 9. Every ten images hold each digit once, in
    random order. Image i depends only on the seed and on i: a smaller count gives the beginning of a larger one.
    """
    check(seed, count)
    order, choice, nature = np.random.default_rng(seed).spawn(3)  # each is read image by image
    labels = order.random((-(-count // 10), 10)).argsort(axis=1).astype(np.uint8).ravel()[:count]
    chances, hands = choice.random(count), nature.standard_normal((count, 46)).clip(-2.2, 2.2)  # more is not legible
    traces: list[Any] = [None] * count
    for digit, text in GLYPHS.items():
        glyphs = [glyph for weighted in text.split(";") for weight, glyph in [weighted.split(":")] for _ in range(int(weight))]
        for k, glyph in enumerate(glyphs):
            which = np.flatnonzero((labels == digit) & (np.floor(chances * len(glyphs)) == k))
            for i, line in zip(which, written(glyph, hands[which]), strict=True):
                traces[i] = line, hands[i]
    return centred(draw_all("digits", lambda trace: ink(*trace), traces, (BOX, BOX))), labels


def written(glyph: str, hands: np.ndarray) -> np.ndarray:
    """The glyph by n hands, as curves (n, 7 spans, 2). The numbers of a hand are its traits, and the jitter of its points."""
    curves, follow = curves_through(glyph)
    slant, turn, width, mess, *rest = hands.T[..., None]
    bend, phase = 0.065 * np.array(rest[2:6]), 3 * np.array(rest[6:10])
    jitter = hands[:, 14:].reshape(-1, 16, 2)[:, : follow.shape[1]]
    x, y = np.moveaxis(curves + 0.045 * np.exp(0.3 * mess[..., None]) * (follow @ jitter), 2, 0)
    u = x + bend[0] * np.sin(4 * y + phase[0]) + bend[1] * np.sin(4 * x + phase[1])
    v = y + bend[2] * np.sin(4 * y + phase[2]) + bend[3] * np.sin(4 * x + phase[3])
    u = (u - (0.15 + 0.25 * slant) * v) * np.exp(0.2 * width)
    cos, sin = np.cos(0.1 * turn), np.sin(0.1 * turn)
    return np.stack([cos * u - sin * v, sin * u + cos * v], axis=2)


def curves_through(glyph: str) -> tuple[np.ndarray, np.ndarray]:
    """Catmull-Rom curves through a glyph's points, (7 spans, 2), and the matrix by which they follow the points' jitter."""
    points: list[str] = []
    spans = []  # each with the numbers of its two points, between the one before and the one after
    for stroke in glyph.split("|"):
        path: list[int] = []
        for point in stroke.split():
            if not path or points[-1] != point:  # else it is a corner
                points.append(point)
            path.append(len(points) - 1)
        path = [path[0], *path, path[-1]]
        spans += [path[k : k + 4] for k in range(len(path) - 3) if path[k + 1] != path[k + 2]]
    n = len(points)
    curves = (CATMULL_ROM @ np.eye(n)[spans]).reshape(-1, n)
    drift = np.tril(0.6 ** np.subtract.outer(range(n), range(n)))  # a point's error moves those after it, less and less
    return curves @ (np.array([point.split(",") for point in points], float) / 100 - (0.35, 0.5)), curves @ drift


def ink(line: np.ndarray, hand: np.ndarray) -> Bytes:
    """The pen's traces along the curves, scaled to fill the box; its pressure grows or falls while it writes."""
    low, high = line.min(axis=0), line.max(axis=0)
    side, thickness, pressure = (high - low).max(), 1.4 * math.exp(0.28 * hand[4]), 0.15 * hand[5]
    radius = min(max(thickness, 0.75), 2.5, 0.12 * BOX * (high - low)[1] / side)  # a thick pen would fill a flat digit's loops
    scaled = SCALE * ((line - 0.5 * (low + high)) * ((BOX - 2 * radius) / side) + BOX / 2)
    large = Image.new("L", (SCALE * BOX, SCALE * BOX))
    draw, spans = ImageDraw.Draw(large), scaled.reshape(-1, 2 * len(T)).tolist()
    for k, span in enumerate(spans):
        r = SCALE * radius * (1 + pressure * (2 * k / len(spans) - 1))
        draw.line(span, fill=255, width=round(2 * r))
        for x, y in (span[:2], span[-2:]):
            draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
    return np.asarray(large.reduce(SCALE))


def centred(boxes: Bytes) -> Bytes:
    """The boxes in black images (n, 28, 28), each with its centre of mass in the middle, to the pixel."""
    images, mass = np.zeros((len(boxes), SIDE, SIDE), np.uint8), boxes.sum(axis=(1, 2))
    corners = [np.rint(SIDE / 2 - boxes.sum(axis=axis) @ np.arange(BOX) / mass).clip(0, SIDE - BOX) for axis in (2, 1)]
    for image, box, top, left in zip(images, boxes, *np.array(corners, int), strict=True):
        image[top : top + BOX, left : left + BOX] = box
    return images
