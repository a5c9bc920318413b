"""Synthetic faces: cartoon portraits whose features are known, a data set in colour that needs no download."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from gans.data.drawn.canvas import WHITE, Canvas, Points, above, arc, below, check, colours, curve, draw_all, ellipse, mixed

INK, TONGUE, MOUTH, LIPS, BLUSH, NOSE = colours("2c2228 e26068 6e202c d7505a f05a5a 782828")

# What a feature can be, and how often it is, relative to the others. Skin goes from light to dark; the last hair is dyed.
CHOICES: dict[str, dict[Any, float]] = {
    "skin": dict.fromkeys(colours("ffe3d3 fbd0b0 efb98f d99f6c b97f50 9a653f 7c4f30 5f3b26"), 1),
    "hair": {
        "bald": 6, "buzz": 8, "short": 12, "swept": 12, "curly": 10, "afro": 8,
        "long": 12, "bob": 10, "bun": 8, "pigtails": 7, "mohawk": 4,
    },
    "hair_colour": dict.fromkeys(colours("2b2326 4a3029 7a4a2b a8622d c8472b e8b84f f3dd9a b9b6b8 f2efec"), 1)
    | dict.fromkeys(colours("e0689a 4a7fd0 4fae9a 8a5fc0"), 0.5),
    "beard": {"none": 70, "moustache": 10, "goatee": 8, "full": 12},
    "glasses": {"none": 74, "round": 13, "square": 13},
    "hat": {"none": 84, "beanie": 8, "cap": 8},
    "hat_colour": dict.fromkeys(colours("d9413f f2a23a 3f8f5f 3b6fb5 6b4fa0 3a3f4a"), 1),
    "nose": {"button": 1, "line": 1, "round": 1},
    "eye_colour": dict.fromkeys(colours("6b4023 3a2a20 3f7fc4 4f9a57 8a6a2c 6f7f8c"), 1),
    "background": dict.fromkeys(colours("f7c948 8fd3c7 9cc9f0 f4a6a0 c3b1e6 b8d98a f6d6a8 7fa8c9 e98f6a cfd6dc"), 1),
    "shirt": dict.fromkeys(colours("d9413f f2a23a 3f8f5f 3b6fb5 6b4fa0 3a3f4a f4f1ea e57fa5 4fb3bf"), 1),
}  # fmt: skip

# From where to where the others go: evenly, but for more smiles than frowns. Of the last two, what is below 0 is 0.
RANGES = {
    "smile": (-1.0, 1.0), "brow": (-1.0, 1.0), "gaze": (-1.0, 1.0),  # from a frown; from angry to worried; from left to right
    "eye_size": (0.85, 1.2), "eye_spacing": (0.9, 1.12), "width": (0.9, 1.1), "jaw": (0.0, 1.0),  # from round to square
    "tilt": (-0.16, 0.16), "shift_x": (-0.08, 0.08), "shift_y": (-0.06, 0.06),  # of the head
    "mouth_open": (-1.0, 1.0), "lid": (-0.3, 0.3),  # the share of the eye that the upper lid covers
}  # fmt: skip

VALUES: dict[str, list[Any]] = {name: list(choices) for name, choices in CHOICES.items()}
FACE = np.dtype([(name, "u1") for name in CHOICES] + [(name, "f4") for name in RANGES])


def synthetic_faces(count: int = 10_000, seed: int = 0, image_size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Draws cartoon faces.

    Returns images (count, 3, image_size, image_size) uint8 and their features (count,) of type FACE. Face i depends only
    on the seed and on i: a smaller count gives the beginning of a larger one, and another size the same faces.
    """
    check(seed, count, image_size)
    features = random_features(count, seed)
    return draw_all("faces", lambda face: draw_face(face, image_size), features, (3, image_size, image_size)), features


def random_features(count: int, seed: int) -> np.ndarray:
    """The features of the faces, (count,) of type FACE.

    A field of CHOICES holds an index into VALUES, so that 0 is "none" for beard, glasses and hat.
    """
    features, names = np.empty(count, FACE), (*CHOICES, *RANGES)
    for name, uniform in zip(names, np.random.default_rng(seed).random((count, len(names))).T, strict=True):
        if name in CHOICES:
            edges = np.cumsum(list(CHOICES[name].values()))
            features[name] = np.searchsorted(edges, uniform * edges[-1], side="right")
        else:
            low, high = RANGES[name]
            features[name] = low + (high - low) * (np.sqrt(uniform) if name == "smile" else uniform)
    for name in ("mouth_open", "lid"):
        features[name] = np.maximum(features[name], 0)
    beardless = [VALUES["hair"].index(style) for style in ("bob", "bun", "pigtails")]
    features["beard"][np.isin(features["hair"], beardless)] = 0
    return features


def draw_face(face: np.void, size: int) -> np.ndarray:
    """The face with these features, of type FACE, as an image uint8 (3, size, size)."""
    values = dict(zip(FACE.names or (), face.item(), strict=True))
    look = {name: VALUES[name][value] if name in CHOICES else value for name, value in values.items()}
    return _Portrait(SimpleNamespace(**look), size).image()


class _Portrait:
    """One face. In the head's frame, the origin is between the eyes and the head is about one unit wide."""

    def __init__(self, look: SimpleNamespace, size: int) -> None:
        self.look, self.w = look, 0.5 * look.width  # half the width of the head
        self.canvas = Canvas(size, look.background)
        self.fill, self.stroke = self.canvas.fill, self.canvas.stroke
        self.shadow, self.hair_shadow = mixed(look.skin, INK, 0.16), mixed(look.hair_colour, INK, 0.22)
        jaw = ellipse(0, 0.12, self.w * (0.88 + 0.1 * look.jaw), 0.48, square=0.1 + 0.3 * look.jaw)
        self.skull = ellipse(0, -0.10, self.w, 0.50), jaw

    def image(self) -> np.ndarray:
        look, (behind, before) = self.look, self.hair()
        self.fill(ellipse(0, 0.05, 0.88, 0.88), mixed(look.background, WHITE, 0.35))
        head = look.shift_x, 0.04 + look.shift_y, look.tilt
        self.canvas.place(*head)
        self.paint_hair(behind, look.hair_colour if look.hair in ("afro", "curly") else self.hair_shadow)
        self.canvas.place(head[0] / 2, head[1] - look.shift_y / 2)  # the body stays upright and follows the head half the way
        self.body()
        self.canvas.place(*head)
        for part in (self.head, self.beard, self.mouth, self.nose, self.eyes):
            part()
        self.paint_hair(before, look.hair_colour)
        if before and look.hat == "none":
            half = 0.09 if look.hair == "mohawk" else 0.30
            self.stroke(curve(-0.02, -0.40, half, -0.10, -0.1 * half), 0.06, mixed(look.hair_colour, WHITE, 0.3))
        for part in (self.brows, self.glasses, self.hat):
            part()
        return self.canvas.image()

    def body(self) -> None:
        self.fill(ellipse(0, 1.28, 0.80, 0.56, 0.2), self.look.shirt)
        self.fill(ellipse(0, 0.74, 0.27, 0.15), mixed(self.look.shirt, INK, 0.22))
        self.stroke(np.array([(0, 0.4), (0, 0.66)]), 0.40, self.shadow)

    def head(self) -> None:
        skin = self.look.skin
        for x in (-self.w, self.w):
            self.fill(ellipse(x, 0.08, 0.10, 0.13), skin)
            self.fill(ellipse(1.02 * x, 0.08, 0.05, 0.08), self.shadow)
        for shape in self.skull:
            self.fill(shape, mixed(skin, INK, 0.1))
        for shape in self.skull:  # all but a shadow along its right side
            lit = -0.08 + (self.w + 0.03) * np.sqrt(1 - ((shape[:, 1] + 0.06) / 0.70) ** 2)
            self.fill(np.stack([np.minimum(shape[:, 0], lit), shape[:, 1]], axis=1), skin)
        for x in (-0.62 * self.w, 0.62 * self.w):
            for rx, ry in ((0.15, 0.11), (0.12, 0.09), (0.09, 0.06)):
                self.fill(ellipse(x, 0.24, rx, ry), mixed(skin, BLUSH, 0.3), 0.22)

    def paint_hair(self, shapes: list[Points], colour: tuple[int, int, int]) -> None:
        for shape in shapes:
            self.fill(shape if self.look.hat == "none" else below(shape, -0.36, -0.06, 0.5), colour)

    def hair(self) -> tuple[list[Points], list[Points]]:
        """What is behind the head, and what is in front of it."""
        w = self.w

        def cap(y: float, rx: float, ry: float, bottom: float, bend: float, half: float = 0.5, rise: float = 0.0) -> Points:
            return above(ellipse(0, y, w + rx, ry), bottom, bend, half, rise)

        sideburns = [ellipse(x, -0.15, 0.05, 0.20, 0.2) for x in (-w, w)]
        match self.look.hair:
            case "buzz":
                return [], [cap(-0.10, 0.015, 0.53, -0.02, -0.31)]
            case "short":
                return [], [cap(-0.10, 0.06, 0.60, -0.22, -0.10, rise=0.05), *sideburns]
            case "swept":
                return [], [cap(-0.12, 0.07, 0.62, -0.26, -0.10, 0.6, -0.2), ellipse(-0.16, -0.50, 0.46, 0.22), *sideburns]
            case "curly":
                places = [(x * w, y) for r, y in ((1.04, -0.02), (1.02, -0.27), (0.72, -0.5), (0.25, -0.6)) for x in (-r, r)]
                curls = [ellipse(x, y, 0.155, 0.155) for x, y in (*places, (0, -0.42))]
                return curls, [*(above(curl, -0.06) for curl in curls), cap(-0.12, 0.03, 0.54, -0.32, -0.06)]
            case "afro":
                return [ellipse(0, -0.22, w + 0.32, 0.66)], [cap(-0.22, 0.32, 0.66, -0.30, -0.12), *sideburns]
            case "long":  # parted in the middle
                lock = np.concatenate([arc(0, -0.10, w + 0.08, 0.60, 0, 2.0), arc(0.21, 0.06, 0.33, 0.44, 1.57, -0.69)])
                return [ellipse(0, 0.12, w + 0.17, 0.86, 0.3)], [lock, lock * (-1, 1)]
            case "bob":
                lock = np.concatenate([arc(0, -0.06, w + 0.13, 0.62, 0.8, 2.2), arc(0, 0.02, w - 0.03, 0.70, 2.0, 0.8)])
                return [ellipse(0, -0.02, w + 0.18, 0.66, 0.3)], [cap(-0.06, 0.14, 0.62, -0.22, -0.03), lock, lock * (-1, 1)]
            case "bun":
                return [ellipse(0, -0.74, 0.21, 0.21)], [cap(-0.12, 0.05, 0.56, -0.20, -0.26), *sideburns]
            case "pigtails":
                bobbles = [ellipse(x, -0.10, 0.09, 0.09) for x in (-w - 0.04, w + 0.04)]
                tails = [ellipse(x, 0.18, 0.18, 0.38) for x in (-w - 0.15, w + 0.15)]
                return tails, [cap(-0.12, 0.05, 0.57, -0.10, -0.22), *bobbles]
            case "mohawk":
                return [], [ellipse(0, -0.56, 0.17, 0.36, 0.2), ellipse(0, -0.80, 0.15, 0.15)]
        return [], []

    def beard(self) -> None:
        colour = mixed(self.look.hair_colour, INK, 0.12)
        if self.look.beard == "full":
            self.fill(below(self.skull[1], 0.06, 0.22, 0.5), colour)
        elif self.look.beard == "goatee":
            self.fill(ellipse(0, 0.54, 0.15, 0.13, 0.2), colour)
        if self.look.beard in ("moustache", "full"):
            for side in (-1, 1):
                self.stroke(curve(0.10 * side, 0.27, 0.12, -0.03, rise=0.03 * side), 0.09, colour)

    def mouth(self) -> None:
        look = self.look
        bend, y, half = 0.15 * look.smile, 0.38 - 0.07 * look.smile, 0.17 + 0.04 * abs(look.smile)
        if look.mouth_open == 0:
            self.stroke(curve(0, y + 0.03 + 0.44 * bend, 0.75 * half, 0.56 * bend), 0.09, mixed(look.skin, LIPS, 0.45))
            self.stroke(curve(0, y, half, bend), 0.05, mixed(MOUTH, INK, 0.5))
            return
        gape = 0.08 + 0.14 * look.mouth_open
        upper, lower = bend - 0.3 * gape, bend + 0.7 * gape
        self.fill(np.concatenate([curve(0, y, half, upper), curve(0, y, half, lower)[::-1]]), MOUTH)
        tongue = above(ellipse(0, y + lower + 0.02, 0.6 * half, 0.09), y, lower, half)
        self.fill(below(tongue, y, upper, half), TONGUE)
        teeth = above(curve(0, y + 0.05, half, upper), y, lower, half)
        self.fill(np.concatenate([curve(0, y, half, upper), teeth[::-1]]), WHITE)

    def nose(self) -> None:
        kind, colour = self.look.nose, mixed(self.look.skin, NOSE, 0.32)
        if kind == "round":
            self.fill(ellipse(0, 0.18, 0.085, 0.065), mixed(self.look.skin, BLUSH, 0.3))
        else:
            line = curve(0, 0.20, 0.055, 0.04) if kind == "button" else np.array([(-0.01, 0.02), (0.045, 0.20), (-0.03, 0.22)])
            self.stroke(line, 0.042, colour)

    def eyes(self) -> None:
        look, rx, ry = self.look, 0.13 * self.look.eye_size, 0.14 * self.look.eye_size
        lid = -ry + 2 * ry * look.lid
        for x in (-0.215 * look.eye_spacing, 0.215 * look.eye_spacing):
            gaze = x + 0.035 * look.gaze
            self.fill(ellipse(x, 0, rx, ry), WHITE)
            self.fill(ellipse(gaze, 0.01, 0.62 * rx, 0.62 * rx), look.eye_colour)
            self.fill(ellipse(gaze, 0.01, 0.34 * rx, 0.34 * rx), INK)
            self.fill(ellipse(gaze - 0.03, -0.03, 0.026, 0.026), WHITE)
            self.fill(above(ellipse(0, 0, rx + 0.02, ry + 0.02), lid, -0.03, rx) + np.array((x, 0)), mixed(look.skin, INK, 0.1))
            self.stroke(curve(x, max(lid, -0.55 * ry) + 0.02, rx, 0.4 * min(lid, -0.5 * ry)), 0.04, INK)

    def brows(self) -> None:
        look = self.look
        for side in (-1, 1):
            brow = curve(0.22 * side * look.eye_spacing, -0.08 - 0.14 * look.eye_size, 0.11, -0.025, 0.045 * side * look.brow)
            self.stroke(brow, 0.055, mixed(look.hair_colour, INK, 0.3))

    def glasses(self) -> None:
        if self.look.glasses == "none":
            return
        x = 0.215 * self.look.eye_spacing
        for side in (-1, 1):
            rim = ellipse(side * x, 0.01, 0.19, 0.175, square=0.0 if self.look.glasses == "round" else 0.5)
            self.fill(rim, WHITE, 0.12)
            self.stroke(np.concatenate([rim, rim[:1]]), 0.045, INK)
            self.stroke(np.array([(side * (x + 0.19), -0.02), (side * (self.w + 0.02), -0.05)]), 0.045, INK)
        self.stroke(curve(0, 0.0, max(0.03, x - 0.19), -0.03), 0.045, INK)

    def hat(self) -> None:
        w, colour, dark = self.w, self.look.hat_colour, mixed(self.look.hat_colour, INK, 0.25)
        dome = ellipse(0, -0.30, w + 0.07, 0.50, square=0.1)
        if self.look.hat == "beanie":
            self.fill(ellipse(0, -0.82, 0.12, 0.12), mixed(colour, WHITE, 0.6))
            self.fill(above(dome, -0.32), colour)
            self.stroke(curve(0, -0.34, w + 0.03, -0.06), 0.15, dark)
        elif self.look.hat == "cap":
            self.fill(above(dome, -0.30, -0.06, w), colour)
            self.fill(above(ellipse(0.12, -0.34, w + 0.16, 0.10), -0.28, -0.06, w), dark)
            self.fill(ellipse(0, -0.79, 0.045, 0.045), dark)
