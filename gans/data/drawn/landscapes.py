"""Landscapes by day and by night: two kinds of images to translate into each other, with the truth known.

The training images of the two kinds show different scenes, as CycleGAN is meant for; the held-out ones show the same scenes.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

import numpy as np

from gans.data.drawn.canvas import WHITE, Bytes, Canvas, Colour, Points, arc, box, check, colours, draw_all, ellipse, mixed

TEST_COUNT = 100  # scenes that are held out

_DAY, _NIGHT, _TEST = range(3)  # each has its own scenes

DARK, GLASS, TRUNK, HULL, IRON, GLOBE = colours("1a1834 465c7c 684a38 784230 4a4e5c d6dee2")
LIT, WARM, FIREFLY, SNOW = colours("ffde82 ffa648 d6ff8c f6f9ff")
WALLS = colours("f4ead7 f2d2a2 e8b79a d7e3ea c9604f f7f7f2")
ROOFS = colours("b5432f 7a4a3a 4a5568 a8623a 3f6b7a")
SAILS = colours("fbf7ee e4572e f2b632 d7e8f2")
HOUSES = {"cottage": (0.16, 0.17, 0.15), "tall": (0.12, 0.32, 0.13), "tower": (0.085, 0.40, 0.17)}  # half a width, wall, roof
TREES = ("pine", "round", "poplar")
_X = np.linspace(-1.05, 1.05, 43)  # where the height of a hill is computed
_CORNERS = np.array([(1.05, 1.5), (-1.05, 1.5)])

# --- colours of the land, and what the time of day makes of them


class Season(NamedTuple):
    land: tuple[Colour, ...]  # mountains, far hills, near hills, meadow
    leaves: tuple[Colour, ...]
    flowers: tuple[Colour, ...]
    snow: float  # how far down the mountains it reaches, as a share of their height
    on_roofs: float  # the share of white in them


def _season(hex_codes: str, snow: float, on_roofs: float = 0.0) -> Season:
    land, leaves, flowers = map(colours, hex_codes.split("|"))
    return Season(land, leaves, flowers, snow, on_roofs)


SEASONS = (
    _season("7d93b8 86b06a 8cc152 6fae45 | 4f9a45 6fb04a 3f7f4f f2a9c4 | ffffff f6d84a f29ac0", 0.30),  # spring
    _season("8a8fb0 a9b35a e3c65b b9b04a | 3f7f3f 5f9440 2f6b4a | e5482f f7f2e0 5f7fd0", 0.15),  # summer
    _season("8c86a6 b98a55 c9a04f a8863f | e07a2f d9a52f b8452f 6b7f3a | d9622f f2c94a 8f3f2f", 0.25),  # autumn
    _season("7f86b5 8f9f74 a583c4 8a6bb0 | 3f7358 5a8a5f 7a9a5a | d9b3f2 f2e6ff e58ad0", 0.20),  # summer on a heath
    _season("8fa3c4 c9d8e8 e9f0f7 f7fafc | 3f6b68 557f7a c4d3de |", 0.60, 0.8),  # winter
)


class Light(NamedTuple):
    """The light of one time of day, under one kind of sky."""

    night: bool
    tint: tuple[float, ...]  # the share of each channel that the land keeps
    zenith: Colour  # the sky, from its top
    middle: Colour
    horizon: Colour  # to its bottom, and the haze before what is far away
    orb: Colour  # the sun or the moon
    glow: Colour  # around it
    cloud: Colour
    rim: Colour  # the lower edge of a cloud
    water: Colour

    def on(self, colour: Colour, haze: float = 0.0) -> Colour:
        """How a colour of the land looks in this light, behind this share of haze."""
        r, g, b = (round(c * share) for c, share in zip(colour, self.tint, strict=True))
        return mixed((r, g, b), self.horizon, haze)


DAY = {
    mood: Light(False, (1.0, 1.0, 1.0), *colours(hex_codes))
    for mood, hex_codes in (
        ("clear", "3d8be0 7fbcf2 d3ecfb fff3b0 fffbe6 ffffff e3eef8 3f93cf"),
        ("fresh", "2fa3b8 7fd0cf e2f6dc fff0a0 fdffec fbfffb d8efe6 2f9fa8"),
        ("hazy", "6f9fd6 b5c9e6 ffe3bd ffe08a ffedc0 fff7ea f3dcc6 6fa0c4"),
        ("rosy", "7f8fdd c3b5ea ffd3cb ffe9b8 ffdcc8 fff4f4 eccfdc 7d93d0"),
    )
}
NIGHT = {
    mood: Light(True, tint, *colours(hex_codes))
    for mood, hex_codes, tint in (
        ("clear", "0a1030 172658 3d5c9a f6f1d8 6f8fd0 1c2a58 4f6aa8 0f2148", (0.32, 0.38, 0.56)),
        ("fresh", "041a2c 0b3a4c 2f8286 eef7dc 4fa8a8 0d3346 3a8590 07303f", (0.27, 0.42, 0.50)),
        ("hazy", "171030 3a2456 a3566e ffe2b8 b06a90 2c1c48 8a5078 21183f", (0.40, 0.33, 0.50)),
        ("rosy", "150c38 34206e 7d5fc0 f3e8ff 8a70d8 23184f 6a55b0 1c1650", (0.36, 0.32, 0.58)),
    )
}

# --- the data set


def synthetic_landscapes(count: int = 1_000, seed: int = 0, image_size: int = 64) -> Bytes:
    """Draws landscapes.

    Returns images (2 count + 2 TEST_COUNT, 3, image_size, image_size) uint8: first those by day, then those by night,
    then the held-out scenes by day, and again by night. Each image depends only on the seed, its part and its place
    there: a smaller count gives the beginning of a larger one, and another size the same scenes.
    """
    check(seed, count, image_size)
    parts = ((_DAY, False, count), (_NIGHT, True, count), (_TEST, False, TEST_COUNT), (_TEST, True, TEST_COUNT))
    scenes = [(f"{seed} {part} {i}", night) for part, night, number in parts for i in range(number)]
    shape = (3, image_size, image_size)
    return draw_all("landscapes", lambda scene: draw_landscape(scene[0], scene[1], image_size), scenes, shape)


def draw_landscape(name: str, night: bool, size: int) -> Bytes:
    """One landscape, uint8 (3, size, size). Its name determines the scene; day or night, only the light."""
    return _Painter(random.Random(name), night, size).landscape()


# --- the scene, from the sky to the meadow


class _Painter:
    """Draws one landscape while making it up.

    What it draws may depend on the light, but not how many random numbers it takes: so both lights show the same scene.
    """

    def __init__(self, rng: random.Random, night: bool, size: int) -> None:
        self.rng, self.between, self.pick = rng, rng.uniform, rng.choice
        self.light = (NIGHT if night else DAY)[rng.choice(list(DAY))]
        self.season = rng.choice(SEASONS)
        self.sun = self.between(-0.8, 0.8), self.between(-0.78, -0.35)
        self.shore = self.between(0.26, 0.46) if rng.random() < 0.6 else None  # of a lake
        self.level = 0.52 if self.shore is None else self.shore  # about where the village ends
        self.canvas = Canvas(size, WHITE)
        self.fill = self.canvas.fill

    def landscape(self) -> Bytes:
        self.sky()
        for _ in range(self.rng.randint(0, 4)):
            self.mountain()
        self.far_hills()
        self.village()
        if self.shore is not None:
            self.lake(self.shore)
        self.meadow()
        return self.canvas.image()

    def sky(self) -> None:
        light, (x, y) = self.light, self.sun
        zenith, middle, horizon = light.zenith, light.middle, light.horizon
        self.canvas.fade(zenith, zenith, middle, mixed(middle, horizon, 0.7), horizon, horizon, horizon, horizon)
        self.canvas.glow(x, y, 1.0, light.glow, 0.5 if light.night else 0.7)
        for _ in range(26):
            star, bright = (self.between(-1, 1), self.between(-1, 0.1)), self.rng.random()
            if light.night:
                radius = 0.009 + 0.011 * bright
                self.fill(ellipse(*star, radius, radius), WHITE, 0.25 + 0.75 * bright)
        if light.night:
            self.fill(ellipse(x, y, 0.125, 0.125), mixed(middle, light.glow, 0.35))
            limb = [arc(0, 0, width, 1, -math.pi, 0) for width in (1, 0.35)]
            lean = np.array([(0.92, 0.39), (-0.39, 0.92)])
            self.fill(0.125 * np.concatenate([limb[0], limb[1][::-1]]) @ lean + (x, y), light.orb)
        else:
            self.fill(ellipse(x, y, 0.135, 0.135), light.orb)
        for _ in range(self.rng.randint(1, 4)):
            self.cloud(self.between(-1, 1), self.between(-0.85, -0.3), self.between(0.14, 0.26), self.between(-1, 1))

    def cloud(self, x: float, y: float, s: float, lean: float) -> None:
        top = 0.75 * lean * s
        puffs = [ellipse(x, y, 1.5 * s, 0.42 * s)] + [
            ellipse(x + top + dx * s, y - 0.25 * s, r * s, r * s) for dx, r in ((0, 0.75), (-0.8, 0.45), (0.75, 0.5))
        ]
        for share, base in ((0, 0.3), (0.25, 0.22), (0.5, 0.15), (0.75, 0.08), (1, 0.0)):  # lighter from below to above
            for puff in puffs:
                self.fill(np.minimum(puff, (9, y + base * s)), mixed(self.light.rim, self.light.cloud, share))

    def mountain(self) -> None:
        height = self.between(0.35, 0.65)
        x, half = self.between(-1, 1), height * self.between(0.9, 1.3)
        rock, top = self.season.land[0], np.array((x, self.level - 0.12 - height))
        for share, colour, haze in ((1, rock, 0.35), (self.season.snow, SNOW, 0.2)):  # how far down
            for edge, dark in ((-half, 0.0), (0.15 * half, 0.3)):
                face = np.array([(0, 0), (share * edge, share * height), (share * half, share * height)]) + top
                self.fill(face, self.light.on(mixed(colour, DARK, dark), haze))

    def hill(self, crests: list[tuple[float, float, float]], plain: float, colour: Colour, haze: float) -> Points:
        """Hills with their crests at (x, y), 0.2 lower at a distance `half`; light above, dark below. Returns the surface."""
        y = np.full_like(_X, plain)
        for cx, cy, half in crests:
            parabola = cy + 0.2 * ((_X - cx) / half) ** 2
            near = np.maximum(0.08 - np.abs(y - parabola), 0)
            y = np.minimum(y, parabola) - 3 * near**2  # a minimum without the kink
        surface = np.stack([_X, y], axis=1)
        for depth in np.linspace(0, 0.5, 13):
            shade = mixed(colour, WHITE, 0.18 - depth) if depth < 0.18 else mixed(colour, DARK, 0.8 * (depth - 0.18))
            self.fill(np.concatenate([surface + np.array((0, depth)), _CORNERS]), self.light.on(shade, haze))
        return surface

    def crest(self, y: float, around: float, half: float) -> tuple[float, float, float]:
        return self.between(-1, 1), y + self.between(-around, around), half * self.between(0.8, 1.3)

    def far_hills(self) -> None:
        crests = [self.crest(self.level - 0.34, 0.08, 0.5) for _ in range(3)]
        surface = self.hill(crests, self.level - 0.2, self.season.land[1], 0.3)
        for _ in range(self.rng.randint(0, 7)):
            self.tree(self.between(-1, 1), surface, 0.03, 0.17, 0.25)

    def village(self) -> None:
        """Trees, houses and lamps, beside each other."""
        crests = [self.crest(self.level - 0.12, 0.05, 0.7) for _ in range(2)]
        surface = self.hill(crests, self.level - 0.04, self.season.land[2], 0.06)
        places = [-0.93 + 0.31 * i + self.between(-0.06, 0.06) for i in self.rng.sample(range(7), 7)]
        for _ in range(self.rng.randint(1, 4)):
            self.tree(places.pop(), surface, 0.03, 0.36, 0.06)
        for _ in range(self.rng.randint(1, 3)):
            x = places.pop()
            self.house(x, _at(surface, x) + 0.05)
        for x in places[: self.rng.randint(0, 2)]:
            self.lamp(x, _at(surface, x) + 0.05)

    def tree(self, x: float, surface: Points, sink: float, size: float, haze: float) -> None:
        kind, s, green = self.pick(TREES), size * self.between(0.8, 1.25), self.pick(self.season.leaves)
        foot, side = _at(surface, x) + sink, 1 if self.sun[0] > x else -1  # from where the light comes
        leaves, dark = self.light.on(green, haze), self.light.on(mixed(green, DARK, 0.35), haze)
        self.canvas.stroke(np.array([(x, foot), (x, foot - 0.4 * s)]), 0.1 * s, self.light.on(TRUNK, haze))
        if kind == "pine":
            for i, (bottom, half) in enumerate(((0.12, 0.33), (0.38, 0.27), (0.64, 0.2))):
                top, y = foot - s * (bottom + 0.42), foot - s * bottom
                self.fill(np.array([(x, top), (x + half * s, y), (x - half * s, y)]), mixed(dark, leaves, i / 2))
                self.fill(np.array([(x, top), (x + side * half * s, y), (x, y)]), leaves)
            return
        wide, high = (0.19 * s, 0.52 * s) if kind == "poplar" else (0.36 * s, 0.38 * s)
        y = foot - 0.6 * s
        self.fill(ellipse(x, y, wide, high), dark)
        self.fill(ellipse(x + 0.14 * side * wide, y - 0.08 * high, 0.86 * wide, 0.9 * high), leaves)
        if haze < 0.1:  # near enough for details
            bright = self.light.on(mixed(green, (255, 250, 210), 0.22), haze)
            self.fill(ellipse(x + 0.38 * side * wide, y - 0.42 * high, 0.36 * wide, 0.36 * high), bright)

    def lamp(self, x: float, foot: float) -> None:
        top, night = foot - 0.24, self.light.night
        self.canvas.stroke(np.array([(x, foot), (x, top)]), 0.02, self.light.on(IRON))
        self.fill(ellipse(x, top, 0.034, 0.034), LIT if night else self.light.on(GLOBE))
        if night:
            self.canvas.glow(x, top, 0.32, WARM, 0.6)

    def house(self, x: float, foot: float) -> None:
        kind, size = self.pick(("cottage", "cottage", "tall", "tower")), self.between(0.9, 1.2)
        plaster, tiles = self.pick(WALLS), self.pick(ROOFS)
        half, wall, roof = (size * length for length in HOUSES[kind])
        light, eaves, over = self.light.on, foot - wall, half + 0.035
        if kind != "tower":  # a chimney
            flue = x + 0.45 * half
            self.fill(box(flue, eaves - roof, flue + 0.055, eaves - 0.2 * roof), light(mixed(tiles, DARK, 0.3)))
        self.fill(box(x - half, eaves, x + half, foot), light(plaster))
        left, right = (x - half, x - 0.1 * half) if self.sun[0] > x else (x + 0.1 * half, x + half)
        self.fill(box(left, eaves, right, foot), light(mixed(plaster, DARK, 0.22)))
        ridge = 0.55 * over if kind == "cottage" else 0.0
        snowy, low = mixed(tiles, SNOW, self.season.on_roofs), ridge + 0.75 * (over - ridge)
        for top, above_it, colour in ((roof, ridge, snowy), (0.25 * roof, low, mixed(snowy, DARK, 0.25))):
            corners = [(x - above_it, eaves - top), (x + above_it, eaves - top), (x + over, eaves), (x - over, eaves)]
            self.fill(np.array(corners), light(colour))
        if kind != "cottage":
            self.fill(box(x - 0.028, foot - 0.09, x + 0.028, foot), light(mixed(tiles, DARK, 0.35)))
        columns = (0.0,) if kind == "tower" else (-0.5, 0.5)
        rows = {"cottage": (0.55,), "tall": (0.45, 0.78), "tower": (0.5, 0.8)}[kind]
        windows = [(x + column * half, foot - row * wall) for column in columns for row in rows]
        if self.light.night:
            self.canvas.glow(x, foot - wall * sum(rows) / len(rows), 0.48, WARM, 0.55)
        for wx, wy in windows:
            self.fill(box(wx - 0.03, wy - 0.035, wx + 0.03, wy + 0.035), LIT if self.light.night else GLASS)

    def lake(self, shore: float) -> None:
        light, x = self.light, self.sun[0]
        self.canvas.mirror(shore, 1.7)
        self.fill(box(-1.1, shore, 1.1, 1.1), light.water, 0.4)
        for i in range(12):  # deeper and deeper
            self.fill(box(-1.1, shore + 0.06 * i, 1.1, 1.1), light.water, 0.07)
        self.fill(box(-1.1, shore - 0.012, 1.1, shore + 0.012), light.on(mixed(self.season.land[2], WHITE, 0.5)), 0.5)
        for i, wide in enumerate((0.04, 0.08, 0.05, 0.11, 0.07, 0.13)):
            glint = ellipse(x + 0.03 * (-1) ** i, shore + 0.06 + 0.085 * i, wide, 0.012, 0.5)
            self.fill(glint, light.orb if light.night else WHITE, 0.7)
        y, sail = self.between(shore + 0.16, 0.78), self.pick(SAILS)
        if self.rng.random() < 0.6:
            self.boat(self.between(-0.7, 0.7), y, 0.11 + 0.2 * (y - shore), sail)

    def boat(self, x: float, y: float, s: float, sail: Colour) -> None:
        def shape(*corners: tuple[float, float]) -> Points:
            return np.array(corners) * s + (x, y)

        light = self.light
        self.fill(ellipse(x, y + 0.16 * s, 0.95 * s, 0.16 * s), mixed(light.water, DARK, 0.5), 0.7)
        self.fill(shape((-0.9, -0.12), (0.9, -0.12), (0.6, 0.2), (-0.6, 0.2)), light.on(HULL))
        self.canvas.stroke(shape((0, -0.1), (0, -1.7)), 0.03, light.on(TRUNK))
        self.fill(shape((0.08, -1.6), (0.85, -0.3), (0.08, -0.3)), light.on(sail))
        self.fill(shape((-0.08, -1.3), (-0.08, -0.3), (-0.6, -0.3)), light.on(mixed(sail, DARK, 0.15)))
        if light.night:  # a lantern
            self.canvas.glow(x - 0.75 * s, y - 0.3 * s, 0.25, WARM, 0.6)
            self.fill(ellipse(x - 0.75 * s, y - 0.3 * s, 0.028, 0.028), LIT)

    def meadow(self) -> None:
        """With flowers by day, which draw fireflies by night."""
        dry = self.shore is None
        crests = [self.crest(0.72 if dry else 0.9, 0.06, 0.6) for _ in range(2 if dry else 1)]
        surface = self.hill(crests, 0.8 if dry else 1.1, self.season.land[3], 0.0)
        for _ in range(18 if dry and self.season.flowers else 0):
            x, colour = self.between(-1, 1), self.pick(self.season.flowers)
            y, r = _at(surface, x) + self.between(0.06, 0.3), 0.017 if self.light.night else 0.022
            self.fill(ellipse(x, y - 0.05 * self.light.night, r, r), FIREFLY if self.light.night else colour)
        for _ in range(self.rng.randint(0, 3)):
            x = self.between(-1, 1) if dry else crests[0][0] + self.between(-0.22, 0.22)
            self.tree(x, surface, 0.06, 0.34, 0.0)


def _at(surface: Points, x: float) -> float:
    return float(np.interp(x, surface[:, 0], surface[:, 1]))
