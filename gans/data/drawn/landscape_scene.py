"""What there is to know about a landscape, and how one is made up: the same scene can then be drawn by day and by night."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from gans.data.drawn.shapes import Colour

T = TypeVar("T")

_STARS = 26
_FLOWERS = 18
_MEADOW = 0.52  # where it begins


def colours(hex_codes: str) -> tuple[Colour, ...]:
    """Those of "ff0000 00ff00", red and green."""
    return tuple((code[0], code[1], code[2]) for code in map(bytes.fromhex, hex_codes.split()))


@dataclass(frozen=True)
class Season:
    """The colours of the land by day."""

    mountain: Colour
    snow: float  # how far down the mountains it reaches, as a share of their height
    far: Colour  # the hills behind
    near: Colour  # the ground of the houses
    front: Colour  # the meadow before it
    leaves: tuple[Colour, ...]
    flowers: tuple[Colour, ...]
    snow_on_roofs: float  # the share of white in them


def _season(land: str, snow: float, leaves: str, flowers: str, snow_on_roofs: float = 0.0) -> Season:
    mountain, far, near, front = colours(land)
    return Season(mountain, snow, far, near, front, colours(leaves), colours(flowers), snow_on_roofs)


SEASONS = {
    "spring": _season("7d93b8 86b06a 8cc152 6fae45", 0.30, "4f9a45 6fb04a 3f7f4f f2a9c4", "ffffff f6d84a f29ac0"),
    "summer": _season("8a8fb0 a9b35a e3c65b b9b04a", 0.15, "3f7f3f 5f9440 2f6b4a", "e5482f f7f2e0 5f7fd0"),
    "autumn": _season("8c86a6 b98a55 c9a04f a8863f", 0.25, "e07a2f d9a52f b8452f 6b7f3a", "d9622f f2c94a 8f3f2f"),
    "heath": _season("7f86b5 8f9f74 a583c4 8a6bb0", 0.20, "3f7358 5a8a5f 7a9a5a", "d9b3f2 f2e6ff e58ad0"),
    "winter": _season("8fa3c4 c9d8e8 e9f0f7 f7fafc", 0.60, "3f6b68 557f7a c4d3de", "", snow_on_roofs=0.8),
}

MOODS = ("clear", "fresh", "hazy", "rosy")  # of the sky
WALLS = colours("f4ead7 f2d2a2 e8b79a d7e3ea c9604f f7f7f2")
ROOFS = colours("b5432f 7a4a3a 4a5568 a8623a 3f6b7a")
SAILS = colours("fbf7ee e4572e f2b632 d7e8f2")


@dataclass(frozen=True)
class Crest:
    """The top of a hill, and at what distance from it the ground is 0.2 lower."""

    x: float
    y: float
    half: float


@dataclass(frozen=True)
class Peak:
    """A mountain: its top, and half of its width where it is `height` lower."""

    x: float
    y: float
    half: float
    height: float


@dataclass(frozen=True)
class Cloud:
    x: float
    y: float
    size: float
    lean: float  # where its highest puff is, from -1, left, to 1


@dataclass(frozen=True)
class House:
    kind: str  # cottage, tall or tower
    x: float
    size: float
    wall: Colour
    roof: Colour


@dataclass(frozen=True)
class Tree:
    kind: str  # pine, round or poplar
    x: float
    size: float
    leaves: Colour


@dataclass(frozen=True)
class Star:
    x: float
    y: float
    brightness: float  # from 0 to 1


@dataclass(frozen=True)
class Boat:
    x: float
    y: float
    size: float
    sail: Colour


@dataclass(frozen=True)
class Flower:
    x: float
    depth: float  # below the top of the meadow
    colour: Colour


@dataclass(frozen=True)
class Scene:
    """One landscape. Lengths are in units of half a picture from its middle, x to the right, y down.

    By day and by night all of it can be seen, but for the stars, and the colours of the flowers.
    """

    mood: str
    season: Season
    orb: tuple[float, float]  # where the sun is by day, and the moon by night
    stars: tuple[Star, ...]
    clouds: tuple[Cloud, ...]
    peaks: tuple[Peak, ...]  # from far to near
    far: tuple[Crest, ...]
    forest: tuple[Tree, ...]  # on the far hills
    near: tuple[Crest, ...]
    houses: tuple[House, ...]  # these and what follows on the near hills
    trees: tuple[Tree, ...]
    lamps: tuple[float, ...]
    shore: float | None  # where a lake begins, or None for a meadow
    boat: Boat | None
    front: tuple[Crest, ...]  # the meadow
    flowers: tuple[Flower, ...]  # where fireflies are at night
    bushes: tuple[Tree, ...]  # what stands on it

    @property
    def level(self) -> float:
        """About where the ground of the houses meets the lake or the meadow."""
        return _MEADOW if self.shore is None else self.shore


def random_scene(rng: np.random.Generator) -> Scene:
    """A landscape, made up."""
    return _Inventor(rng).scene()


class _Inventor:
    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def scene(self) -> Scene:
        season = SEASONS[self.one_of(tuple(SEASONS))]
        shore = self.between(0.26, 0.46) if self.chance(0.6) else None
        level = _MEADOW if shore is None else shore
        houses, trees, lamps = self.village(season)
        front = tuple(self.crest(0.72 if shore is None else 0.9, 0.06, 0.6) for _ in range(1 if shore else 2))
        return Scene(
            mood=self.one_of(MOODS),
            season=season,
            orb=(self.between(-0.8, 0.8), self.between(-0.78, -0.35)),
            stars=tuple(Star(self.between(-1, 1), self.between(-1, 0.1), self.rng.random()) for _ in range(_STARS)),
            clouds=tuple(self.cloud() for _ in range(self.count(1, 4))),
            peaks=tuple(self.peak(level) for _ in range(self.count(0, 4))),
            far=tuple(self.crest(level - 0.34, 0.08, 0.5) for _ in range(3)),
            forest=tuple(self.tree(self.between(-1, 1), 0.17, season) for _ in range(self.count(0, 7))),
            near=tuple(self.crest(level - 0.12, 0.05, 0.7) for _ in range(2)),
            houses=houses,
            trees=trees,
            lamps=lamps,
            shore=shore,
            boat=self.boat(shore) if shore is not None and self.chance(0.6) else None,
            front=front,
            flowers=tuple(self.flower(season) for _ in range(_FLOWERS)) if shore is None and season.flowers else (),
            bushes=tuple(self.bush(front, shore, season) for _ in range(self.count(0, 3))),
        )

    def village(self, season: Season) -> tuple[tuple[House, ...], tuple[Tree, ...], tuple[float, ...]]:
        """Houses, trees and lamps, beside each other."""
        places = [-0.93 + 0.31 * i + self.between(-0.06, 0.06) for i in self.rng.random(7).argsort()]
        houses, lamps, trees = self.count(1, 3), self.count(0, 2), self.count(1, 4)
        return (
            tuple(self.house(x) for x in places[:houses]),
            tuple(self.tree(x, 0.36, season) for x in places[houses + lamps :][:trees]),
            tuple(places[houses : houses + lamps]),
        )

    def house(self, x: float) -> House:
        kind = self.one_of(("cottage", "cottage", "tall", "tower"))
        return House(kind, x, self.between(0.9, 1.2), self.one_of(WALLS), self.one_of(ROOFS))

    def tree(self, x: float, size: float, season: Season) -> Tree:
        return Tree(self.one_of(("pine", "round", "poplar")), x, size * self.between(0.8, 1.25), self.one_of(season.leaves))

    def bush(self, front: tuple[Crest, ...], shore: float | None, season: Season) -> Tree:
        x = self.between(-1, 1) if shore is None else front[0].x + self.between(-0.22, 0.22)
        return self.tree(x, 0.34, season)

    def flower(self, season: Season) -> Flower:
        return Flower(self.between(-1, 1), self.between(0.06, 0.3), self.one_of(season.flowers))

    def cloud(self) -> Cloud:
        return Cloud(self.between(-1, 1), self.between(-0.85, -0.3), self.between(0.14, 0.26), self.between(-1, 1))

    def peak(self, level: float) -> Peak:
        height = self.between(0.35, 0.65)
        return Peak(self.between(-1, 1), level - 0.12 - height, height * self.between(0.9, 1.3), height)

    def crest(self, y: float, around: float, half: float) -> Crest:
        return Crest(self.between(-1, 1), y + self.between(-around, around), half * self.between(0.8, 1.3))

    def boat(self, shore: float) -> Boat:
        y = self.between(shore + 0.16, 0.78)
        return Boat(self.between(-0.7, 0.7), y, 0.11 + 0.2 * (y - shore), self.one_of(SAILS))

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.rng.random()

    def count(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return low + int((high + 1 - low) * self.rng.random())

    def one_of(self, choices: tuple[T, ...]) -> T:
        return choices[int(self.rng.random() * len(choices))]

    def chance(self, share: float) -> bool:
        return self.rng.random() < share
