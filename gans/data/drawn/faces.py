"""Synthetic faces: cartoon portraits whose features are known, a data set in colour that needs no download."""

from __future__ import annotations

import math
from types import SimpleNamespace as Look  # its attributes are the fields of FACE
from typing import Any

import numpy as np

from gans.data.drawn import Bytes, check_numbers, progress
from gans.data.drawn.canvas import WHITE, Canvas, Points, above, arc, below, colours, curve, ellipse, mixed

INK, TONGUE, MOUTH, LIPS, BLUSH, NOSE = colours("2c2228 e26068 6e202c d7505a f05a5a 782828")


def _colours(hex_codes: str, share: float = 1.0) -> dict[tuple[int, int, int], float]:
    return dict.fromkeys(colours(hex_codes), share)


# What a feature can be, and how often it is, relative to the others.
CHOICES: dict[str, dict[Any, float]] = {
    "skin": _colours("ffe3d3 fbd0b0 efb98f d99f6c b97f50 9a653f 7c4f30 5f3b26"),  # from light to dark
    "hair": {
        "bald": 6, "buzz": 8, "short": 12, "swept": 12, "curly": 10, "afro": 8,
        "long": 12, "bob": 10, "bun": 8, "pigtails": 7, "mohawk": 4,
    },
    "hair_colour": _colours("2b2326 4a3029 7a4a2b a8622d c8472b e8b84f f3dd9a b9b6b8 f2efec")
    | _colours("e0689a 4a7fd0 4fae9a 8a5fc0", 0.5),  # the dyed ones
    "beard": {"none": 70, "moustache": 10, "goatee": 8, "full": 12},
    "glasses": {"none": 74, "round": 13, "square": 13},
    "hat": {"none": 84, "beanie": 8, "cap": 8},
    "hat_colour": _colours("d9413f f2a23a 3f8f5f 3b6fb5 6b4fa0 3a3f4a"),
    "nose": {"button": 1, "line": 1, "round": 1},
    "eye_colour": _colours("6b4023 3a2a20 3f7fc4 4f9a57 8a6a2c 6f7f8c"),
    "background": _colours("f7c948 8fd3c7 9cc9f0 f4a6a0 c3b1e6 b8d98a f6d6a8 7fa8c9 e98f6a cfd6dc"),
    "shirt": _colours("d9413f f2a23a 3f8f5f 3b6fb5 6b4fa0 3a3f4a f4f1ea e57fa5 4fb3bf"),
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


def synthetic_faces(count: int = 10_000, seed: int = 0, image_size: int = 64) -> tuple[Bytes, np.ndarray]:
    """Draws cartoon faces.

    Returns images (count, 3, image_size, image_size) uint8 and their features (count,) of type FACE. Face i depends only
    on the seed and on i: a smaller count gives the beginning of a larger one, and another size the same faces.
    """
    check_numbers(seed, count, image_size)
    features = random_features(count, seed)
    images = np.empty((count, 3, image_size, image_size), np.uint8)
    for i, face in enumerate(progress(features, "faces")):
        images[i] = draw_face(face, image_size)
    return images, features


def random_features(count: int, seed: int) -> np.ndarray:
    """The features of the faces, (count,) of type FACE.

    A field of CHOICES holds an index into VALUES, so that 0 is "none" for beard, glasses and hat.
    """
    names = (*CHOICES, *RANGES)
    features = np.empty(count, FACE)
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


def draw_face(face: np.void, size: int) -> Bytes:
    """The face with these features, of type FACE, as an image uint8 (3, size, size)."""
    values = dict(zip(FACE.fields or (), face.item(), strict=True))
    look = Look(**{name: VALUES[name][value] if name in CHOICES else value for name, value in values.items()})
    canvas = Canvas(size, look.background)
    canvas.fill(ellipse(0, 0.05, 0.88, 0.88), mixed(look.background, WHITE, 0.35))
    # In the head's frame the origin is between the eyes. The body stays upright, and follows the head half the way.
    head, body = (look.shift_x, 0.04 + look.shift_y, look.tilt), (0.5 * look.shift_x, 0.04 + 0.5 * look.shift_y)
    for frame, part in ((head, _back_hair), (body, _body), (head, _head), (head, _beard), (head, _mouth), (head, _nose),
                        (head, _eyes), (head, _front_hair), (head, _brows), (head, _glasses), (head, _hat)):  # fmt: skip
        canvas.place(*frame)
        part(canvas, look, 0.5 * look.width)
    return canvas.image()


def _body(canvas: Canvas, look: Look, w: float) -> None:
    canvas.fill(ellipse(0, 1.28, 0.80, 0.56, square=0.2), look.shirt)
    canvas.fill(ellipse(0, 0.74, 0.27, 0.15), mixed(look.shirt, INK, 0.22))
    canvas.stroke(np.array([(0, 0.4), (0, 0.66)]), 0.40, mixed(look.skin, INK, 0.16))


def _head(canvas: Canvas, look: Look, w: float) -> None:
    shadow, skull = mixed(look.skin, INK, 0.16), _skull(look, w)
    for x in (-w, w):
        canvas.fill(ellipse(x, 0.08, 0.10, 0.13), look.skin)
        canvas.fill(ellipse(1.02 * x, 0.08, 0.05, 0.08), shadow)
    for shape in skull:
        canvas.fill(shape, mixed(look.skin, INK, 0.1))
    for shape in skull:  # all but a shadow along its right side
        lit = -0.08 + (w + 0.03) * np.sqrt(1 - ((shape[:, 1] + 0.06) / 0.70) ** 2)
        canvas.fill(np.stack([np.minimum(shape[:, 0], lit), shape[:, 1]], axis=1), look.skin)
    for x in (-0.62 * w, 0.62 * w):
        for rx, ry in ((0.15, 0.11), (0.12, 0.09), (0.09, 0.06)):
            canvas.fill(ellipse(x, 0.24, rx, ry), mixed(look.skin, BLUSH, 0.3), 0.22)


def _skull(look: Look, w: float) -> tuple[Points, Points]:
    return ellipse(0, -0.10, w, 0.50), ellipse(0, 0.12, w * (0.88 + 0.1 * look.jaw), 0.48, square=0.1 + 0.3 * look.jaw)


def _hair(style: str, w: float) -> tuple[list[Points], list[Points]]:
    """What is behind a head that is 2 w wide, and what is in front of it."""
    sides = [ellipse(x, -0.15, 0.05, 0.20, 0.2) for x in (-w, w)]  # sideburns

    def cap(y: float, rx: float, ry: float, bottom: float, bend: float, half: float = 0.5, rise: float = 0.0) -> Points:
        return above(ellipse(0, y, w + rx, ry), bottom, bend, half, rise)

    match style:
        case "buzz":
            return [], [cap(-0.10, 0.015, 0.53, -0.02, -0.31)]
        case "short":
            return [], [cap(-0.10, 0.06, 0.60, -0.22, -0.10, rise=0.05), *sides]
        case "swept":
            return [], [cap(-0.12, 0.07, 0.62, -0.26, -0.10, 0.6, -0.2), ellipse(-0.16, -0.50, 0.46, 0.22), *sides]
        case "curly":
            places = [(x * w, y) for r, y in ((1.04, -0.02), (1.02, -0.27), (0.72, -0.5), (0.25, -0.6)) for x in (-r, r)]
            curls = [ellipse(x, y, 0.155, 0.155) for x, y in (*places, (0, -0.42))]
            return curls, [above(curl, -0.06) for curl in curls] + [cap(-0.12, 0.03, 0.54, -0.32, -0.06)]
        case "afro":
            return [ellipse(0, -0.22, w + 0.32, 0.66)], [cap(-0.22, 0.32, 0.66, -0.30, -0.12), *sides]
        case "long":  # parted in the middle
            lock = np.concatenate([arc(0, -0.10, w + 0.08, 0.60, 0, 2.0), arc(0.21, 0.06, 0.33, 0.44, math.pi / 2, -0.69)])
            return [ellipse(0, 0.12, w + 0.17, 0.86, 0.3)], [lock, lock * (-1, 1)]
        case "bob":
            lock = np.concatenate([arc(0, -0.06, w + 0.13, 0.62, 0.8, 2.2), arc(0, 0.02, w - 0.03, 0.70, 2.0, 0.8)])
            return [ellipse(0, -0.02, w + 0.18, 0.66, 0.3)], [cap(-0.06, 0.14, 0.62, -0.22, -0.03), lock, lock * (-1, 1)]
        case "bun":
            return [ellipse(0, -0.74, 0.21, 0.21)], [cap(-0.12, 0.05, 0.56, -0.20, -0.26), *sides]
        case "pigtails":
            tails, bobbles = ([ellipse(x, y, rx, ry) for x in (-w - dx, w + dx)] for dx, y, rx, ry in
                              ((0.15, 0.18, 0.18, 0.38), (0.04, -0.10, 0.09, 0.09)))  # fmt: skip
            return tails, [cap(-0.12, 0.05, 0.57, -0.10, -0.22), *bobbles]
        case "mohawk":
            return [], [ellipse(0, -0.56, 0.17, 0.36, 0.2), ellipse(0, -0.80, 0.15, 0.15)]
    return [], []


def _back_hair(canvas: Canvas, look: Look, w: float) -> None:
    for shape in _hair(look.hair, w)[0]:
        shade = 0.0 if look.hair in ("afro", "curly") else 0.22  # these are one mass with what is in front
        canvas.fill(_under_hat(look, shape), mixed(look.hair_colour, INK, shade))


def _front_hair(canvas: Canvas, look: Look, w: float) -> None:
    front = _hair(look.hair, w)[1]
    for shape in front:
        canvas.fill(_under_hat(look, shape), look.hair_colour)
    if front and look.hat == "none":
        half = 0.09 if look.hair == "mohawk" else 0.30
        canvas.stroke(curve(-0.02, -0.40, half, -0.10, -0.1 * half), 0.06, mixed(look.hair_colour, WHITE, 0.3))


def _under_hat(look: Look, shape: Points) -> Points:
    return shape if look.hat == "none" else below(shape, -0.36, -0.06, 0.5)


def _beard(canvas: Canvas, look: Look, w: float) -> None:
    colour = mixed(look.hair_colour, INK, 0.12)
    if look.beard == "full":
        canvas.fill(below(_skull(look, w)[1], 0.06, 0.22, 0.5), colour)
    elif look.beard == "goatee":
        canvas.fill(ellipse(0, 0.54, 0.15, 0.13, square=0.2), colour)
    if look.beard in ("moustache", "full"):
        for side in (-1, 1):
            canvas.stroke(curve(0.10 * side, 0.27, 0.12, -0.03, rise=0.03 * side), 0.09, colour)


def _mouth(canvas: Canvas, look: Look, w: float) -> None:
    bend, y, half = 0.15 * look.smile, 0.38 - 0.07 * look.smile, 0.17 + 0.04 * abs(look.smile)
    if look.mouth_open == 0:
        canvas.stroke(curve(0, y + 0.03 + 0.44 * bend, 0.75 * half, 0.56 * bend), 0.09, mixed(look.skin, LIPS, 0.45))
        canvas.stroke(curve(0, y, half, bend), 0.05, mixed(MOUTH, INK, 0.5))
        return
    gape = 0.08 + 0.14 * look.mouth_open
    upper, lower = bend - 0.3 * gape, bend + 0.7 * gape
    canvas.fill(np.concatenate([curve(0, y, half, upper), curve(0, y, half, lower)[::-1]]), MOUTH)
    tongue = above(ellipse(0, y + lower + 0.02, 0.6 * half, 0.09), y, lower, half)
    canvas.fill(below(tongue, y, upper, half), TONGUE)
    teeth = above(curve(0, y + 0.05, half, upper), y, lower, half)
    canvas.fill(np.concatenate([curve(0, y, half, upper), teeth[::-1]]), WHITE)


def _nose(canvas: Canvas, look: Look, w: float) -> None:
    if look.nose == "round":
        canvas.fill(ellipse(0, 0.18, 0.085, 0.065), mixed(look.skin, BLUSH, 0.3))
        return
    line = curve(0, 0.20, 0.055, 0.04) if look.nose == "button" else np.array([(-0.01, 0.02), (0.045, 0.20), (-0.03, 0.22)])
    canvas.stroke(line, 0.042, mixed(look.skin, NOSE, 0.32))


def _eyes(canvas: Canvas, look: Look, w: float) -> None:
    rx, ry = 0.13 * look.eye_size, 0.14 * look.eye_size
    for x in (-0.215 * look.eye_spacing, 0.215 * look.eye_spacing):
        canvas.fill(ellipse(x, 0, rx, ry), WHITE)
        gaze, lid = x + 0.035 * look.gaze, -ry + 2 * ry * look.lid
        for radius, colour in ((0.62 * rx, look.eye_colour), (0.34 * rx, INK)):
            canvas.fill(ellipse(gaze, 0.01, radius, radius), colour)
        canvas.fill(ellipse(gaze - 0.03, -0.03, 0.026, 0.026), WHITE)
        canvas.fill(above(ellipse(0, 0, rx + 0.02, ry + 0.02), lid, -0.03, rx) + (x, 0), mixed(look.skin, INK, 0.1))
        canvas.stroke(curve(x, max(lid, -0.55 * ry) + 0.02, rx, 0.4 * min(lid, -0.5 * ry)), 0.04, INK)


def _brows(canvas: Canvas, look: Look, w: float) -> None:
    for side in (-1, 1):
        brow = curve(0.22 * side * look.eye_spacing, -0.08 - 0.14 * look.eye_size, 0.11, -0.025, 0.045 * side * look.brow)
        canvas.stroke(brow, 0.055, mixed(look.hair_colour, INK, 0.3))


def _glasses(canvas: Canvas, look: Look, w: float) -> None:
    if look.glasses == "none":
        return
    x = 0.215 * look.eye_spacing
    for side in (-1, 1):
        rim = ellipse(side * x, 0.01, 0.19, 0.175, square=0.0 if look.glasses == "round" else 0.5)
        canvas.fill(rim, WHITE, 0.12)
        canvas.stroke(np.concatenate([rim, rim[:1]]), 0.045, INK)
        canvas.stroke(np.array([(x + 0.19, -0.02), (w + 0.02, -0.05)]) * (side, 1), 0.045, INK)
    canvas.stroke(curve(0, 0.0, max(0.03, x - 0.19), -0.03), 0.045, INK)


def _hat(canvas: Canvas, look: Look, w: float) -> None:
    dark = mixed(look.hat_colour, INK, 0.25)
    dome = ellipse(0, -0.30, w + 0.07, 0.50, square=0.1)
    if look.hat == "beanie":
        canvas.fill(ellipse(0, -0.82, 0.12, 0.12), mixed(look.hat_colour, WHITE, 0.6))
        canvas.fill(above(dome, -0.32), look.hat_colour)
        canvas.stroke(curve(0, -0.34, w + 0.03, -0.06), 0.15, dark)
    elif look.hat == "cap":
        canvas.fill(above(dome, -0.30, -0.06, w), look.hat_colour)
        canvas.fill(above(ellipse(0.12, -0.34, w + 0.16, 0.10), -0.28, -0.06, w), dark)
        canvas.fill(ellipse(0, -0.79, 0.045, 0.045), dark)
