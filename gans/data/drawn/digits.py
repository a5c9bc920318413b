"""Synthetic handwritten digits, drawn with a jittered pen: a data set like MNIST that needs no download."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from gans.data.drawn.canvas import SCALE, Bytes, check, draw_all

# For each digit, several ways of writing it, and how often each is used. A stroke is a list of points "x,y" that a smooth
# curve runs through, x to the right and y down, about 100 high; "|" lifts the pen, and a point written twice is a corner.
GLYPHS = {
    0: """4: 40,2 12,18 6,68 34,98 64,72 60,20 38,2 30,6; 2: 62,0 48,7 26,8 9,32 6,65 22,94 48,92 66,62 64,28 46,8 28,12;
        2: 45,5 12,25 0,60 25,92 62,85 85,45 72,12 40,4; 2: 30,4 8,34 8,74 30,98 62,84 72,44 56,12 34,10 18,24;
        0.5: 40,2 18,12 5,50 18,88 38,98 58,86 68,50 56,12 36,2|60,8 14,90""",
    1: """8: 30,0 30,50 30,100; 1: 14,24 34,0 34,0 34,50 33,100; 1: 12,22 34,0 34,0 34,50 33,98|4,98 66,98""",
    2: """2: 5,22 25,3 55,8 58,32 35,65 5,95 5,95 35,94 70,92;
        2: 8,25 25,5 52,8 58,30 42,62 18,90 6,92 8,78 25,80 45,92 72,90;
        3: 8,22 30,2 54,12 52,40 36,72 14,94 2,86 14,70 38,80 58,96 86,86;
        2: 8,24 30,2 54,14 54,46 38,80 16,96 4,84 18,70 46,80 70,92 92,84;
        1: 6,34 18,8 46,4 58,28 46,64 22,94 4,90 8,72 30,70 56,84 84,94;
        2: 6,26 30,4 58,18 60,52 42,84 14,98 2,88 14,76 42,82 66,98 88,96;
        1: 5,12 30,4 60,8 55,25 30,62 4,96 4,96 40,95 72,94; 1: 8,30 28,8 50,20 45,55 20,88 20,88 50,86 80,84""",
    3: """3: 8,14 30,2 55,12 52,32 26,46 26,46 56,54 64,76 42,97 8,90; 1: 8,4 60,4 60,4 30,40 30,40 60,55 62,80 38,98 6,90;
        3: 6,12 32,0 54,14 44,38 24,47 50,56 62,76 40,98 4,88;
        2: 10,10 34,0 56,12 44,32 26,40 26,40 52,44 60,68 38,94 4,96;
        1: 10,24 24,4 52,4 56,28 24,50 24,50 48,52 56,76 30,98 8,82""",
    4: """3: 14,2 9,30 6,52 6,52 30,52 66,46|56,0 50,50 44,100; 1: 48,2 4,62 4,62 74,60|50,2 48,50 46,100;
        2: 8,2 8,38 28,50 58,40 66,0 66,0 58,50 50,100; 2: 10,4 6,46 6,46 60,46|62,0 58,50 56,100;
        1: 28,0 2,58 2,58 70,50|62,26 48,60 34,100; 0.5: 54,2 6,40 6,40 54,40 54,2 54,2 52,54 50,100""",
    5: """2: 20,5 14,45 14,45 40,38 62,58 56,86 30,98 4,90|20,5 66,3; 2: 66,4 22,6 22,6 14,44 14,44 42,40 60,62 48,92 6,92;
        2: 62,6 30,6 16,26 34,44 54,62 44,92 6,92; 2: 88,4 36,12 36,12 22,46 22,46 44,46 50,70 30,96 0,88;
        1.5: 22,8 16,44 16,44 46,40 58,66 38,96 8,92 6,76|22,8 74,2""",
    6: """3: 50,2 22,25 8,62 18,94 44,96 56,76 44,58 22,62 10,80; 2: 30,0 14,35 8,72 22,97 46,93 54,74 38,60 14,74;
        2: 60,2 25,30 6,70 20,96 46,92 52,72 30,66 14,84; 2: 22,0 6,40 10,80 38,98 64,84 56,58 34,60 22,84""",
    7: """3: 4,8 62,4 62,4 45,45 28,100; 1.5: 4,8 62,4 62,4 45,45 28,100|18,52 64,48;
        1.5: 4,24 8,6 8,6 62,6 62,6 44,50 36,100; 2: 2,16 22,6 56,6 58,22 40,55 28,100;
        2: 2,34 6,12 24,8 60,8 60,8 52,50 46,100""",
    8: """3: 56,12 32,0 12,14 26,38 52,62 54,86 30,98 8,84 18,58 46,36 58,14;
        2: 34,48 12,30 18,6 44,2 56,24 34,48 10,72 18,96 46,96 58,74 36,48;
        2: 66,8 40,2 18,16 30,42 44,66 36,94 14,92 12,70 40,42 64,16;
        2: 70,14 48,2 22,10 22,32 42,52 48,80 30,98 14,82 26,56 50,34 76,10;
        2: 54,20 40,2 22,12 30,36 52,64 50,90 28,100 10,86 16,66 40,40 56,16;
        1: 58,16 36,2 10,10 8,34 36,48 50,70 40,96 16,94 14,70 38,48 60,22""",
    9: """3: 54,14 32,2 10,20 14,42 36,46 54,16 54,16 52,60 48,100;
        2: 54,14 32,2 10,20 14,42 36,46 54,16 54,16 54,60 40,92 12,92; 3: 56,10 28,4 8,28 24,46 50,28 58,8 40,60 26,100;
        3: 58,20 40,2 12,10 6,34 26,46 50,34 60,12 60,12 58,58 56,100;
        2: 60,10 30,2 6,24 14,44 40,40 60,10 60,10 50,60 38,100; 1: 62,14 36,0 8,14 6,40 34,48 64,14 64,14 60,62 62,100""",
}  # fmt: skip

SPAN = np.arange(1, 7)[:, None] / 6  # where a curve is computed between two of its points
BOX, SIDE = 20, 28  # MNIST fits a digit into a box of 20 x 20 pixels, and centres it by its mass in an image of 28 x 28


def synthetic_digits(count: int = 60_000, seed: int = 0) -> tuple[Bytes, Bytes]:
    """Draws handwritten-like digits, white ink on black, fitted into the image as MNIST's are.

    Returns images (count, 28, 28) uint8 and labels (count,) uint8 from 0 to 9. Every ten images hold each digit once, in
    random order. Image i depends only on the seed and on i: a smaller count gives the beginning of a larger one.
    """
    check(seed, count)
    # A generator for each purpose, read image by image, keeps image i independent of the count.
    label_rng, glyph_rng, hand_rng, jitter_rng = np.random.default_rng(seed).spawn(4)
    labels = np.argsort(label_rng.random((-(-count // 10), 10)), axis=1).astype(np.uint8).ravel()[:count]
    choices = glyph_rng.random(count)
    hands = np.clip(hand_rng.standard_normal((count, 15)), -2.2, 2.2)  # an extreme hand is not legible
    jitter = jitter_rng.standard_normal((count, 16, 2), np.float32)
    written: list = [None] * count
    for digit, text in GLYPHS.items():
        weights, glyphs = zip(*(glyph.split(":") for glyph in text.split(";")), strict=True)
        edges = np.cumsum([float(weight) for weight in weights])
        chosen = np.where(labels == digit, np.searchsorted(edges, choices * edges[-1], side="right"), -1)
        for g, glyph in enumerate(glyphs):
            which = np.flatnonzero(chosen == g)
            for i, path, radius in zip(which, *write(glyph, hands[which], jitter[which]), strict=True):
                written[i] = path, radius, 0.15 * hands[i, 5]
    boxes = draw_all("digits", lambda strokes: ink(*strokes), written, (BOX, BOX))
    return centred(boxes), labels


def write(glyph: str, hands: np.ndarray, jitter: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One glyph by n hands, whose traits are normal numbers (n, 15); jitter (n, p, 2) moves its points.

    Returns the curves between its points, (n, spans, 7, 2) in pixels of the large box, and the radius of the pen, (n,).
    """
    hand, mess = hands.T[..., None, None], 0.045 * np.exp(0.3 * hands[:, 14, None])
    drift, used, spans = np.zeros((len(hands), 2)), 0, []
    for stroke in glyph.split("|"):
        points = np.array([point.split(",") for point in stroke.split()], float) / 100
        corner = (points[1:] == points[:-1]).all(axis=1)
        path = []
        for point, same in zip(points, (False, *corner), strict=True):
            if not same:
                drift, used = 0.6 * drift + mess * jitter[:, used], used + 1
            path.append(point + drift)
        for k in np.flatnonzero(~corner):  # Catmull-Rom curves
            before, a, b, after = (path[min(max(j, 0), len(path) - 1)][:, None] for j in range(k - 1, k + 3))
            t = SPAN
            spans.append(np.concatenate([a, 0.5 * (
                2 * a + t * (b - before) + t**2 * (2 * before - 5 * a + 4 * b - after) + t**3 * (3 * a - before - 3 * b + after)
            )], axis=1))  # fmt: skip
    x, y = np.moveaxis(np.stack(spans, axis=1) - (0.35, 0.5), -1, 0)  # each (n, spans, 7), about the middle of a glyph
    bend, phase = 0.065 * hand[6:10], 3 * hand[10:14]
    u = x + bend[0] * np.sin(4 * y + phase[0]) + bend[1] * np.sin(4 * x + phase[1])
    v = y + bend[2] * np.sin(4 * y + phase[2]) + bend[3] * np.sin(4 * x + phase[3])
    u = (u - (0.15 + 0.25 * hand[0]) * v) * np.exp(0.2 * hand[2])  # slanted to the right, and wide or narrow
    cos, sin = np.cos(0.1 * hand[1]), np.sin(0.1 * hand[1])
    return fit(np.stack([cos * u - sin * v, sin * u + cos * v], axis=-1), np.clip(1.4 * np.exp(0.28 * hands[:, 3]), 0.75, 2.5))


def fit(curves: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scales the curves so that their ink fills the box."""
    low, high = curves.min(axis=(1, 2)), curves.max(axis=(1, 2))
    side = (high - low).max(axis=1)
    radius = np.minimum(radius, 0.12 * BOX * (high - low)[:, 1] / side)  # a thick pen would fill a flat digit's loops
    middle, scale = 0.5 * (low + high)[:, None, None], ((BOX - 2 * radius) / side)[:, None, None, None]
    return SCALE * ((curves - middle) * scale + BOX / 2), SCALE * radius


def ink(curves: np.ndarray, radius: float, pressure: float) -> np.ndarray:
    """The pen's traces along the curves, (BOX, BOX) uint8; its pressure grows or falls while it writes."""
    large = Image.new("L", (SCALE * BOX, SCALE * BOX))
    draw = ImageDraw.Draw(large)
    for k, span in enumerate(curves.tolist()):
        r = radius * (1 + pressure * (2 * k / len(curves) - 1))
        draw.line([tuple(point) for point in span], fill=255, width=round(2 * r))
        for x, y in (span[0], span[-1]):
            draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
    return np.asarray(large.reduce(SCALE))


def centred(boxes: np.ndarray) -> np.ndarray:
    """The boxes in black images (n, SIDE, SIDE), each with its centre of mass in the middle, to the pixel."""
    images = np.zeros((len(boxes), SIDE, SIDE), np.uint8)
    mass, step = boxes.sum(axis=(1, 2)), np.arange(BOX)
    corners = [SIDE / 2 - (boxes.sum(axis=axis) * step).sum(axis=1) / mass for axis in (2, 1)]
    for image, box, top, left in zip(images, boxes, *np.clip(np.rint(corners), 0, SIDE - BOX).astype(int), strict=True):
        image[top : top + BOX, left : left + BOX] = box
    return images
