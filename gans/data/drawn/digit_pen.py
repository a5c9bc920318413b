"""The compiled kernel of the synthetic digits: from jittered control points to a picture fitted as MNIST's are."""

import math

import numpy as np
from numba import njit

CARRY = 0.6  # of the drift at one control point, the share still there at the next
STEPS = 6  # straight segments per span between two control points
BOX = 20  # MNIST fits a digit into a 20 x 20 box ...
SIDE = 28  # ... and centres it by its centre of mass in a 28 x 28 picture


@njit(cache=True, nogil=True)
def trace(points: np.ndarray, starts: np.ndarray, segments: np.ndarray) -> int:
    """Writes the Catmull-Rom curves through points (n, 2) as segments (m, 4) of x0, y0, x1, y1; returns m."""
    n, m = len(points), 0
    for k in range(n - 1):
        before, a, b = points[k if starts[k] else k - 1], points[k], points[k + 1]
        if starts[k + 1] or (a[0] == b[0] and a[1] == b[1]):  # the pen is lifted, or this is the point of a corner
            continue
        after = points[k + 2] if k + 2 < n and not starts[k + 2] else b
        x, y = a[0], a[1]
        for step in range(1, STEPS + 1):
            t = step / STEPS
            w0, w3 = -0.5 * t * (1 - t) ** 2, 0.5 * t * t * (t - 1)
            w1, w2 = 1 + t * t * (1.5 * t - 2.5), t * (0.5 + t * (2 - 1.5 * t))
            segments[m, 0], segments[m, 1] = x, y
            x = w0 * before[0] + w1 * a[0] + w2 * b[0] + w3 * after[0]
            y = w0 * before[1] + w1 * a[1] + w2 * b[1] + w3 * after[1]
            segments[m, 2], segments[m, 3] = x, y
            m += 1
    return m


@njit(cache=True, nogil=True)
def warp(segments: np.ndarray, hand: np.record) -> None:
    """Bends, slants, stretches and turns the segments (m, 4) in place, as this hand writes."""
    cos, sin, bend, phase = math.cos(hand.turn), math.sin(hand.turn), hand.bend, hand.phase
    for s in range(len(segments)):
        for end in (0, 2):
            x, y = segments[s, end] - 0.35, segments[s, end + 1] - 0.5  # about the middle of a glyph
            u = x + bend[0] * math.sin(4 * y + phase[0]) + bend[1] * math.sin(4 * x + phase[1])
            v = y + bend[2] * math.sin(4 * y + phase[2]) + bend[3] * math.sin(4 * x + phase[3])
            u = (u - hand.slant * v) * hand.aspect
            segments[s, end], segments[s, end + 1] = cos * u - sin * v, sin * u + cos * v


@njit(cache=True, nogil=True)
def fit(segments: np.ndarray, radius: float) -> float:
    """Scales and shifts the segments (m, 4) in place so that their ink fills BOX; returns the pen's final radius."""
    left, right = segments[:, 0::2].min(), segments[:, 0::2].max()
    top, bottom = segments[:, 1::2].min(), segments[:, 1::2].max()
    side = max(right - left, bottom - top)
    radius = min(radius, 0.12 * BOX * (bottom - top) / side)  # a thick pen would fill a flat digit's loops
    scale = (BOX - 2 * radius) / side
    for end in (0, 2):
        segments[:, end] = (segments[:, end] - 0.5 * (left + right)) * scale + BOX / 2
        segments[:, end + 1] = (segments[:, end + 1] - 0.5 * (top + bottom)) * scale + BOX / 2
    return radius


@njit(cache=True, nogil=True)
def ink(segments: np.ndarray, radius: float, pressure: float, softness: float, box: np.ndarray) -> None:
    """Draws the segments (m, 4) into box (BOX, BOX) in [0, 1], by each pixel's distance to the nearest segment."""
    box[:] = 0
    for s in range(len(segments)):
        x0, y0, x1, y1 = segments[s]
        dx, dy = x1 - x0, y1 - y0
        inverse = 1 / max(dx * dx + dy * dy, 1e-9)
        r = radius * (1 + pressure * (2 * s / len(segments) - 1))  # the pen's pressure drifts while writing
        reach = r + softness
        for i in range(max(0, int(min(y0, y1) - reach)), min(BOX, int(max(y0, y1) + reach) + 1)):
            for j in range(max(0, int(min(x0, x1) - reach)), min(BOX, int(max(x0, x1) + reach) + 1)):
                px, py = j + 0.5 - x0, i + 0.5 - y0
                t = min(1.0, max(0.0, (px * dx + py * dy) * inverse))
                distance = math.hypot(px - t * dx, py - t * dy)
                box[i, j] = max(box[i, j], min(1.0, 0.5 + 0.5 * (r - distance) / softness))


@njit(cache=True, nogil=True)
def centre(box: np.ndarray, image: np.ndarray) -> None:
    """Copies box (BOX, BOX) into image (SIDE, SIDE) uint8 with its centre of mass in the middle, to the pixel."""
    mass, y, x = 0.0, 0.0, 0.0
    for i in range(BOX):
        for j in range(BOX):
            mass, y, x = mass + box[i, j], y + i * box[i, j], x + j * box[i, j]
    top = min(SIDE - BOX, max(0, round(SIDE / 2 - y / mass)))
    left = min(SIDE - BOX, max(0, round(SIDE / 2 - x / mass)))
    for i in range(BOX):
        for j in range(BOX):
            image[top + i, left + j] = np.uint8(255 * box[i, j] + 0.5)


@njit(cache=True, nogil=True)
def wobble(points: np.ndarray, jitter: np.ndarray, path: np.ndarray) -> None:
    """Writes points (n, 2) moved by a drift that jitter (n, 2) drives into path (n, 2)."""
    drift_x, drift_y = 0.0, 0.0
    for p in range(len(points)):
        if p > 0 and points[p, 0] == points[p - 1, 0] and points[p, 1] == points[p - 1, 1]:
            path[p] = path[p - 1]  # a corner stays a corner
        else:
            drift_x, drift_y = CARRY * drift_x + jitter[p, 0], CARRY * drift_y + jitter[p, 1]
            path[p, 0], path[p, 1] = points[p, 0] + drift_x, points[p, 1] + drift_y


@njit(cache=True, nogil=True)
def draw(
    glyphs: np.ndarray,
    jitter: np.ndarray,
    hands: np.ndarray,
    points: np.ndarray,
    starts: np.ndarray,
    first: np.ndarray,
    images: np.ndarray,
) -> None:
    """Draws picture k, of glyph number glyphs[k], into images[k], black before; images (n, SIDE, SIDE) uint8.

    glyphs (n,) int64; jitter (n, p, 2) float32, one row for each control point; hands (n,), fields as in HAND of
    synthetic_digits; points, starts and first as pack_glyphs returns them.
    """
    path = np.empty((jitter.shape[1], 2), np.float32)
    segments = np.empty((STEPS * jitter.shape[1], 4), np.float32)
    box = np.empty((BOX, BOX), np.float32)
    for k in range(len(glyphs)):
        a, b, hand = first[glyphs[k]], first[glyphs[k] + 1], hands[k]
        wobble(points[a:b], jitter[k], path)
        used = segments[: trace(path[: b - a], starts[a:b], segments)]
        warp(used, hand)
        radius = fit(used, hand.radius)
        ink(used, radius, hand.pressure, hand.softness, box)
        centre(box, images[k])
