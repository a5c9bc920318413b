"""Synthetic faces: cartoon portraits whose features are known, a data set in colour that needs no download."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from gans.data.drawn.canvas import WHITE, Bytes, Canvas, Points, between, check, colours, curve, draw_all, ellipse, mixed

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


# --- parts of a head, which is one unit wide around the middle between its eyes


def above(shape: Points, y: float, bend: float = 0.0, rise: float = 0.0) -> Points:
    """The part of a convex shape above a parabola, which goes from y - rise through y + bend to y + rise across the head."""
    t = 2 * shape[:, 0]
    return np.stack([shape[:, 0], np.minimum(shape[:, 1], y + bend * (1 - t * t) + rise * t)], axis=1)


def below(shape: Points, y: float, bend: float) -> Points:
    return above(shape * (1, -1), -y, -bend) * (1, -1)


def both(left: Points) -> list[Points]:
    return [left, left * (-1, 1)]


def cap(y: float, rx: float, ry: float, *hairline: float) -> Points:
    return above(ellipse(0, y, rx, ry), *hairline)


SKULL, DOME = ellipse(0, -0.10, 0.5, 0.50), ellipse(0, -0.30, 0.57, 0.50, square=0.1)
SIDEBURNS = both(ellipse(-0.5, -0.15, 0.05, 0.20, 0.2))
CURLS = [ellipse(x, y, 0.155, 0.155) for x, y in ((0.52, -0.02), (0.51, -0.27), (0.36, -0.5), (0.12, -0.6), (0, -0.42))]
CURLS += [curl * (-1, 1) for curl in CURLS]
PARTED = between(ellipse(0, -0.10, 0.58, 0.60)[24:40], ellipse(0.21, 0.06, 0.33, 0.44)[19:37])
FRAMING = between(ellipse(0, -0.06, 0.63, 0.62)[30:42], ellipse(0, 0.02, 0.47, 0.70)[30:40])
HAIR: dict[str, tuple[list[Points], list[Points]]] = {  # what is behind the head, and what is in front of it
    "bald": ([], []),
    "buzz": ([], [cap(-0.10, 0.515, 0.53, -0.02, -0.31)]),
    "short": ([], [cap(-0.10, 0.56, 0.60, -0.22, -0.10, 0.05), *SIDEBURNS]),
    "swept": ([], [cap(-0.12, 0.57, 0.62, -0.26, -0.10, -0.17), ellipse(-0.16, -0.50, 0.46, 0.22), *SIDEBURNS]),
    "curly": (CURLS, [cap(-0.12, 0.53, 0.54, -0.32, -0.06), *(above(curl, -0.06) for curl in CURLS)]),
    "afro": ([ellipse(0, -0.22, 0.82, 0.66)], [cap(-0.22, 0.6, 0.60, -0.30, -0.12), *SIDEBURNS]),
    "long": ([ellipse(0, 0.12, 0.67, 0.86, 0.3)], both(PARTED)),
    "bob": ([ellipse(0, -0.02, 0.68, 0.66, 0.3)], [cap(-0.06, 0.64, 0.62, -0.22, -0.03), *both(FRAMING)]),
    "bun": ([ellipse(0, -0.74, 0.21, 0.21)], [cap(-0.12, 0.55, 0.56, -0.20, -0.26), *SIDEBURNS]),
    "pigtails": (both(ellipse(0.65, 0.18, 0.18, 0.38)), [cap(-0.12, 0.55, 0.57, -0.10, -0.22)]),
    "mohawk": ([], [ellipse(0, -0.56, 0.17, 0.36, 0.2), ellipse(0, -0.80, 0.15, 0.15)]),
}
NOSES = {  # the width of a line, and the line
    "button": (0.042, curve(0, 0.20, 0.055, 0.04)),
    "line": (0.042, np.array([(-0.01, 0.02), (0.045, 0.20), (-0.03, 0.22)])),
    "round": (0.130, curve(0, 0.18, 0.025, 0.0)),
}
HATS: dict[str, tuple[list[Points], list[Points]]] = {  # what has the hat's colour, and what is darker
    "none": ([], []),
    "beanie": ([ellipse(0, -0.82, 0.12, 0.12), above(DOME, -0.32)], [ellipse(0, -0.36, 0.58, 0.08, 0.5)]),
    "cap": ([above(DOME, -0.30, -0.06)], [above(ellipse(0.12, -0.34, 0.66, 0.10), -0.28, -0.06)]),
}

# --- the portrait


def draw_face(face: np.void, size: int) -> Bytes:
    """The face with these features, of type FACE, as an image uint8 (3, size, size)."""
    values = zip(FACE.names or (), face.item(), strict=True)
    look = SimpleNamespace(**{name: VALUES[name][value] if name in CHOICES else value for name, value in values})
    return _Portrait(look, size).image()


class _Portrait(Canvas):
    def __init__(self, look: SimpleNamespace, size: int) -> None:
        super().__init__(size, look.background)
        self.look, self.jaw = look, ellipse(0, 0.12, 0.44 + 0.05 * look.jaw, 0.48, square=0.1 + 0.3 * look.jaw)
        self.shade = mixed(look.skin, INK, 0.1)
        self.fill(mixed(look.background, WHITE, 0.35), ellipse(0, 0.05, 0.88, 0.88))
        head = look.shift_x, 0.04 + look.shift_y, look.tilt, look.width
        behind, before = HAIR[look.hair]
        if look.hat != "none":
            behind, before = ([below(shape, -0.36, -0.06) for shape in shapes] for shapes in (behind, before))
        self.place(*head)
        self.fill(mixed(look.hair_colour, INK, 0.0 if look.hair in ("curly", "afro") else 0.22), *behind)
        self.place(look.shift_x / 2, 0.04 + look.shift_y / 2)  # the body is upright and follows the head half the way
        self.body()
        self.place(*head)
        self.head()
        self.beard()
        self.mouth()
        width, nose = NOSES[look.nose]
        self.stroke(mixed(look.skin, NOSE, 0.32), width, nose)
        self.fill(look.hair_colour, *before)
        self.eyes()
        if look.glasses != "none":
            self.glasses()
        main, dark = HATS[look.hat]
        self.fill(look.hat_colour, *main)
        self.fill(mixed(look.hat_colour, INK, 0.25), *dark)

    def body(self) -> None:
        self.fill(self.look.shirt, ellipse(0, 1.28, 0.80, 0.56, 0.2))
        self.fill(mixed(self.look.shirt, INK, 0.22), ellipse(0, 0.74, 0.27, 0.15))  # the collar
        self.stroke(mixed(self.look.skin, INK, 0.16), 0.40, [(0, 0.4), (0, 0.66)])

    def head(self) -> None:
        lit = [shape * (0.95, 1) - (0.025, 0) for shape in (SKULL, self.jaw)]  # all but a shadow along the right side
        self.fill(self.shade, *both(ellipse(0.5, 0.08, 0.10, 0.13)), SKULL, self.jaw)
        self.fill(self.look.skin, *lit)
        self.fill(mixed(self.look.skin, BLUSH, 0.18), *both(ellipse(0.31, 0.24, 0.12, 0.09)))

    def beard(self) -> None:
        kind, colour = self.look.beard, mixed(self.look.hair_colour, INK, 0.12)
        if kind == "full":
            self.fill(colour, below(self.jaw, 0.06, 0.22))
        if kind == "goatee":
            self.fill(colour, ellipse(0, 0.54, 0.15, 0.13, 0.2))
        if kind in ("moustache", "full"):
            self.stroke(colour, 0.09, *both(curve(0.10, 0.27, 0.12, -0.03, rise=0.03)))

    def mouth(self) -> None:
        smile, gape = self.look.smile, 0.08 + 0.14 * self.look.mouth_open
        bend, y, half = 0.15 * smile, 0.38 - 0.07 * smile, 0.17 + 0.04 * abs(smile)
        if self.look.mouth_open == 0:
            self.stroke(mixed(self.look.skin, LIPS, 0.45), 0.09, curve(0, y + 0.03 + 0.44 * bend, 0.75 * half, 0.56 * bend))
            self.stroke(mixed(MOUTH, INK, 0.5), 0.05, curve(0, y, half, bend))
            return
        upper, lower = curve(0, y, half, bend - 0.3 * gape), curve(0, y, half, bend + 0.7 * gape)
        self.fill(MOUTH, between(upper, lower))
        self.fill(TONGUE, between(curve(0, lower[3, 1], half / 2, lower[6, 1] - lower[3, 1] - 0.4 * gape), lower[3:-3]))
        self.fill(WHITE, between(upper, np.minimum(upper + np.array((0, 0.05)), lower)))

    def eyes(self) -> None:
        look, rx, ry = self.look, 0.13 * self.look.eye_size, 0.14 * self.look.eye_size
        lid = -ry + 2 * ry * look.lid
        for x in (-0.215 * look.eye_spacing, 0.215 * look.eye_spacing):
            gaze = x + 0.035 * look.gaze
            self.fill(WHITE, ellipse(x, 0, rx, ry))
            self.fill(look.eye_colour, ellipse(gaze, 0.01, 0.62 * rx, 0.62 * rx))
            self.fill(INK, ellipse(gaze, 0.01, 0.34 * rx, 0.34 * rx))
            self.fill(WHITE, ellipse(gaze - 0.03, -0.03, 0.026, 0.026))
            self.fill(self.shade, above(ellipse(x, 0, rx + 0.02, ry + 0.02), lid))
            self.stroke(INK, 0.04, curve(x, max(lid, -0.55 * ry) + 0.02, rx, 0.4 * min(lid, -0.5 * ry)))
        brow = curve(0.22 * look.eye_spacing, -0.08 - ry, 0.11, -0.025, 0.045 * look.brow)
        self.stroke(mixed(look.hair_colour, INK, 0.3), 0.055, *both(brow))

    def glasses(self) -> None:
        x = 0.215 * self.look.eye_spacing
        rim = ellipse(-x, 0.01, 0.19, 0.175, square=0.0 if self.look.glasses == "round" else 0.5)[np.arange(49) % 48]
        temple, bridge = np.array([(-x - 0.19, -0.02), (-0.52, -0.05)]), curve(0, 0.0, max(0.03, x - 0.19), -0.03)
        self.stroke(INK, 0.045, *both(rim), *both(temple), bridge)
