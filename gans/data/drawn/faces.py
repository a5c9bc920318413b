"""Synthetic faces: cartoon portraits whose features are known, a data set in colour that needs no download."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gans.data.cache import cache_folder, drawn_version
from gans.data.drawn.face_parts import Look, draw_face
from gans.data.errors import DataError
from gans.data.idx import read_idx, write_idx

_COUNT = 10_000


def _colours(hex_codes: str, share: float = 1.0) -> dict[tuple[int, ...], float]:
    return {tuple(bytes.fromhex(code)): share for code in hex_codes.split()}


# What a feature can be, and how often it is, relative to the others. The fields of Look say what the features are.
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

# From where to where the other features go. They are uniform but for the smile; what is below 0 in the second group is 0.
RANGES = {
    "smile": (-1.0, 1.0),
    "brow": (-1.0, 1.0),
    "eye_size": (0.85, 1.2),
    "eye_spacing": (0.9, 1.12),
    "gaze": (-1.0, 1.0),
    "width": (0.9, 1.1),
    "jaw": (0.0, 1.0),
    "tilt": (-0.16, 0.16),
    "shift_x": (-0.08, 0.08),
    "shift_y": (-0.06, 0.06),
    # the second group
    "mouth_open": (-1.0, 1.0),
    "lid": (-0.3, 0.3),
}
_OFTEN_ZERO = ("mouth_open", "lid")
_BEARDLESS = ("bob", "bun", "pigtails")

VALUES: dict[str, list[Any]] = {name: list(choices) for name, choices in CHOICES.items()}
FACE = np.dtype([(name, "u1") for name in CHOICES] + [(name, "f4") for name in RANGES])


@dataclass(frozen=True, eq=False)
class Faces:
    """`images` (n, 3, size, size) uint8; `features` (n,) of type FACE, as `random_features` has them; `source`, for the log."""

    images: npt.NDArray[np.uint8]
    features: np.ndarray
    source: str


def load_faces(image_size: int = 64, count: int = _COUNT, seed: int = 0) -> Faces:
    """The synthetic faces and their features, from the cache if they have been drawn before.

    Where nothing can be cached, a line on stderr says so.
    """
    name = f"{count}-faces-of-{image_size}-seed-{seed}-{drawn_version('face*.py', 'shapes.py')}-idx4-ubyte"
    path = cache_folder("faces") / name
    source = f"{count:,} synthetic faces (seed {seed})"
    try:
        images = read_idx(path)
        if images.dtype == np.uint8 and images.shape == (count, 3, image_size, image_size):
            return Faces(images, random_features(count, seed), source)
    except DataError:
        pass  # not there, or damaged
    images, features = synthetic_faces(count, seed, image_size)
    try:
        write_idx(path, images)
    except DataError as error:
        print(f"The synthetic faces are not cached: {error}", file=sys.stderr)
    return Faces(images, features, source)


def synthetic_faces(count: int = _COUNT, seed: int = 0, image_size: int = 64) -> tuple[npt.NDArray[np.uint8], np.ndarray]:
    """Draws cartoon faces.

    Returns images (count, 3, image_size, image_size) uint8 and their features (count,) of type FACE. Face i depends on
    the seed and on i alone, so that a smaller count gives the beginning of a larger one, and another size the same faces.
    """
    from tqdm import trange

    if not isinstance(image_size, int | np.integer) or image_size < 1:
        raise ValueError(f"image_size must be a whole number of pixels, 1 or more, but it is {image_size!r}")
    features = random_features(count, seed)
    images = np.empty((count, 3, image_size, image_size), np.uint8)
    # In one thread: the many small steps of a drawing hold the GIL. No bar for what takes a moment, nor in a log file.
    for i in trange(count, desc="drawing faces", unit="", delay=1, disable=None):
        images[i] = draw_face(look_of(features[i]), image_size)
    return images, features


def random_features(count: int, seed: int) -> np.ndarray:
    """The features of the faces, (count,) of type FACE.

    A field of CHOICES holds the place of its value in VALUES, so that 0 is "none" for beard, glasses and hat; a field of
    RANGES holds the number itself.
    """
    if not isinstance(count, int | np.integer) or count < 0:
        raise ValueError(f"count must be a whole number of images, 0 or more, but it is {count!r}")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be a whole number, 0 or more, but it is {seed!r}")
    names = (*CHOICES, *RANGES)
    features = np.empty(count, FACE)
    for name, uniform in zip(names, np.random.default_rng(seed).random((count, len(names))).T, strict=True):
        if name in CHOICES:
            edges = np.cumsum(list(CHOICES[name].values()))
            features[name] = np.searchsorted(edges, uniform * edges[-1], side="right")
        else:
            low, high = RANGES[name]
            if name == "smile":
                uniform = np.sqrt(uniform)  # more smiles than frowns: the mean is 1/3
            features[name] = low + (high - low) * uniform
    for name in _OFTEN_ZERO:
        features[name] = np.maximum(features[name], 0)
    features["beard"][np.isin(features["hair"], [VALUES["hair"].index(style) for style in _BEARDLESS])] = 0
    return features


def look_of(face: np.void) -> Look:
    """What one element of the features stands for."""
    values = dict(zip(FACE.fields or (), face.item(), strict=True))
    return Look(**{name: VALUES[name][value] if name in CHOICES else value for name, value in values.items()})
