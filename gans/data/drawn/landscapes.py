"""Landscapes by day and by night: two kinds of images to translate into each other, with the truth known.

The training images of the two kinds show different scenes, as CycleGAN is meant for; the held-out ones show the same scenes.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np

from gans.data.drawn.canvas import WHITE, Bytes, Canvas, Colour, Points, between, box, check, colours, draw_all, ellipse, mixed

TEST_COUNT = 100  # scenes that are held out

DARK, GLASS, TRUNK, HULL, IRON, GLOBE = colours("1a1834 465c7c 684a38 784230 4a4e5c d6dee2")
LIT, WARM, FIREFLY, SNOW = colours("ffde82 ffa648 d6ff8c f6f9ff")
WALLS = colours("f4ead7 f2d2a2 e8b79a d7e3ea c9604f f7f7f2")
ROOFS = colours("b5432f 7a4a3a 4a5568 a8623a 3f6b7a")
SAILS = colours("fbf7ee e4572e f2b632 d7e8f2")

SEASONS = (  # how far down mountains are white, how white roofs are; mountains, far and near hills, meadow; leaves; flowers
    (0.30, 0.0, "7d93b8 86b06a 8cc152 6fae45", "4f9a45 6fb04a 3f7f4f f2a9c4", "ffffff f6d84a f29ac0"),  # spring
    (0.15, 0.0, "8a8fb0 a9b35a e3c65b b9b04a", "3f7f3f 5f9440 2f6b4a", "e5482f f7f2e0 5f7fd0"),  # summer
    (0.25, 0.0, "8c86a6 b98a55 c9a04f a8863f", "e07a2f d9a52f b8452f 6b7f3a", "d9622f f2c94a 8f3f2f"),  # autumn
    (0.20, 0.0, "7f86b5 8f9f74 a583c4 8a6bb0", "3f7358 5a8a5f 7a9a5a", "d9b3f2 f2e6ff e58ad0"),  # summer on a heath
    (0.60, 0.8, "8fa3c4 c9d8e8 e9f0f7 f7fafc", "3f6b68 557f7a c4d3de", ""),  # winter
)


class Light(NamedTuple):
    """The light of one time of day, under one kind of sky."""

    night: bool
    tint: tuple[float, float, float]  # the share of each channel that the land keeps
    zenith: Colour  # the sky, from its top
    middle: Colour
    horizon: Colour  # to its bottom, and the haze in front of what is far away
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
    "clear": Light(False, (1, 1, 1), *colours("3d8be0 7fbcf2 d3ecfb fff3b0 fffbe6 ffffff e3eef8 3f93cf")),
    "fresh": Light(False, (1, 1, 1), *colours("2fa3b8 7fd0cf e2f6dc fff0a0 fdffec fbfffb d8efe6 2f9fa8")),
    "hazy": Light(False, (1, 1, 1), *colours("6f9fd6 b5c9e6 ffe3bd ffe08a ffedc0 fff7ea f3dcc6 6fa0c4")),
    "rosy": Light(False, (1, 1, 1), *colours("7f8fdd c3b5ea ffd3cb ffe9b8 ffdcc8 fff4f4 eccfdc 7d93d0")),
}
NIGHT = {
    "clear": Light(True, (0.32, 0.38, 0.56), *colours("0a1030 172658 3d5c9a f6f1d8 6f8fd0 1c2a58 4f6aa8 0f2148")),
    "fresh": Light(True, (0.27, 0.42, 0.50), *colours("041a2c 0b3a4c 2f8286 eef7dc 4fa8a8 0d3346 3a8590 07303f")),
    "hazy": Light(True, (0.40, 0.33, 0.50), *colours("171030 3a2456 a3566e ffe2b8 b06a90 2c1c48 8a5078 21183f")),
    "rosy": Light(True, (0.36, 0.32, 0.58), *colours("150c38 34206e 7d5fc0 f3e8ff 8a70d8 23184f 6a55b0 1c1650")),
}

# Half a house's width, the height of its wall and roof, the share of the roof's width that its ridge has, and its windows.
COTTAGE = (0.16, 0.17, 0.15, 0.55, ((-0.5, 0.55), (0.5, 0.55)))
TALL = (0.12, 0.32, 0.13, 0.0, ((-0.5, 0.45), (-0.5, 0.78), (0.5, 0.45), (0.5, 0.78)))
TOWER = (0.085, 0.40, 0.17, 0.0, ((0, 0.5), (0, 0.8)))
_X = np.linspace(-1.05, 1.05, 43)  # where the height of a hill is computed
_BOTTOM = np.array([(1.05, 1.5), (-1.05, 1.5)])


def synthetic_landscapes(count: int = 1_000, seed: int = 0, image_size: int = 64) -> Bytes:
    """Draws landscapes.

    Returns images (2 count + 2 TEST_COUNT, 3, image_size, image_size) uint8: first those by day, then those by night,
    then the held-out scenes by day, and again by night. Each image depends only on the seed, its part and its place
    there: a smaller count gives the beginning of a larger one, and another size the same scenes.
    """
    check(seed, count, image_size)
    parts = ((0, False, count), (1, True, count), (2, False, TEST_COUNT), (2, True, TEST_COUNT))  # each has its own scenes
    scenes = [(f"{seed} {part} {i}", night) for part, night, number in parts for i in range(number)]
    shape = (3, image_size, image_size)
    return draw_all("landscapes", lambda scene: draw_landscape(scene[0], scene[1], image_size), scenes, shape)


def draw_landscape(name: str, night: bool, size: int) -> Bytes:
    """One landscape, uint8 (3, size, size). Its name determines the scene; day or night, only the light."""
    return _Landscape(random.Random(name), night, size).image()


class _Landscape(Canvas):
    """A scene that is made up while it is drawn.

    What is drawn may depend on the light, but not how many random numbers that takes: so both lights show the same scene.
    """

    def __init__(self, rng: random.Random, night: bool, size: int) -> None:
        super().__init__(size, WHITE)
        self.between, self.pick, self.several = rng.uniform, rng.choice, rng.randint
        self.light = (NIGHT if night else DAY)[rng.choice(list(DAY))]
        self.night = self.light.night
        self.snow, self.white, *plants = rng.choice(SEASONS)
        self.land, self.leaves, self.flowers = map(colours, plants)
        self.sun = self.between(-0.8, 0.8), self.between(-0.78, -0.35)
        lake = rng.random() < 0.6
        self.level = self.between(0.26, 0.46) if lake else 0.52  # where the village ends
        self.sky()
        for _ in range(self.several(0, 4)):
            self.mountain()
        self.hill(3, self.level - 0.34, 0.5, self.level - 0.2, self.land[1], haze=0.3)
        self.village()
        if lake:
            self.lake()
        else:
            self.meadow()

    def sky(self) -> None:
        light, (x, y) = self.light, self.sun
        self.fade(light.zenith, light.zenith, light.middle, *[light.horizon] * 5)
        self.glow(x, y, 1.0, light.glow, 0.5 if self.night else 0.7)
        for _ in range(26):
            star, size = (self.between(-1, 1), self.between(-1, 0.1)), self.between(0.009, 0.02)
            if self.night:
                self.fill(WHITE, ellipse(*star, size, size), opacity=50 * size)
        self.place(x, y, turn=0.4)
        moon = between(ellipse(0, 0, 0.125, 0.125)[:25], ellipse(0, 0, 0.045, 0.125)[:25])
        self.fill(light.orb, moon if self.night else ellipse(0, 0, 0.135, 0.135))
        self.place()
        for _ in range(self.several(1, 4)):
            self.cloud(self.between(-1, 1), self.between(-0.85, -0.3), self.between(0.14, 0.26), self.between(-0.75, 0.75))

    def cloud(self, x: float, y: float, s: float, lean: float) -> None:
        for share in (0, 0.25, 0.5, 0.75, 1):  # lighter from below to above
            for dx, dy, rx, ry in ((-lean, 0.25, 1.5, 0.42), (0, 0, 0.75, 0.75), (-0.8, 0, 0.45, 0.45), (0.75, 0, 0.5, 0.5)):
                puff = ellipse(x + (lean + dx) * s, y + (dy - 0.25) * s, rx * s, ry * s)
                self.fill(mixed(self.light.rim, self.light.cloud, share), np.minimum(puff, (9, y + 0.3 * (1 - share) * s)))

    def mountain(self) -> None:
        height = self.between(0.35, 0.65)
        half, top = height * self.between(0.9, 1.3), (self.between(-1, 1), self.level - 0.12 - height)
        for down, colour, haze in ((1, self.land[0], 0.35), (self.snow, SNOW, 0.2)):
            for edge, dark in ((-half, 0.0), (0.15 * half, 0.3)):  # the lit side and the other
                face = np.array([(0, 0), (edge, height), (half, height)]) * down + top
                self.fill(self.light.on(mixed(colour, DARK, dark), haze), face)

    def hill(self, crests: int, y: float, half: float, plain: float, colour: Colour, haze: float = 0.0) -> Points:
        """Hills around y, 0.2 lower at a distance of about `half`; light above, dark below. Returns their surface."""
        heights = np.full_like(_X, plain)
        for _ in range(crests):
            x, top, wide = self.between(-1, 1), y + self.between(-0.06, 0.06), half * self.between(0.8, 1.3)
            parabola = top + 0.2 * ((_X - x) / wide) ** 2
            near = np.maximum(0.08 - np.abs(heights - parabola), 0)
            heights = np.minimum(heights, parabola) - 3 * near**2  # a minimum without the kink
        surface = np.stack([_X, heights], axis=1)
        for depth in np.linspace(0, 0.5, 13):
            shade = mixed(colour, WHITE, 0.18 - depth) if depth < 0.18 else mixed(colour, DARK, 0.8 * (depth - 0.18))
            self.fill(self.light.on(shade, haze), np.concatenate([surface + np.array((0, depth)), _BOTTOM]))
        return surface

    def village(self) -> None:
        """Trees, houses and lamps, beside each other."""
        surface = self.hill(2, self.level - 0.12, 0.7, self.level - 0.04, self.land[2], haze=0.06)
        places = [-0.93 + 0.31 * i + self.between(-0.06, 0.06) for i in range(7)]
        parts = [self.tree] * self.several(1, 4) + [self.house] * self.several(1, 3) + [self.lamp] * self.several(0, 2)
        for part in parts[:7]:
            x = places.pop(self.several(0, len(places) - 1))
            part(x, _at(surface, x))

    def tree(self, x: float, foot: float) -> None:
        kind, s, green = self.pick(("pine", "round", "poplar")), self.between(0.28, 0.44), self.pick(self.leaves)
        leaves, dark = self.light.on(green), self.light.on(mixed(green, DARK, 0.35))
        side = 1 if self.sun[0] > x else -1  # from where the light comes
        self.stroke(self.light.on(TRUNK), 0.1 * s, [(x, foot), (x, foot - 0.4 * s)])
        if kind == "pine":
            for bottom, half in ((0.12, 0.33), (0.38, 0.27), (0.64, 0.2)):
                top, y = (x, foot - s * (bottom + 0.42)), foot - s * bottom
                self.fill(dark, np.array([top, (x + half * s, y), (x - half * s, y)]))
                self.fill(leaves, np.array([top, (x + side * half * s, y), (x, y)]))
        else:
            y, rx, ry = (foot - 0.6 * s, 0.36 * s, 0.38 * s) if kind == "round" else (foot - 0.6 * s, 0.19 * s, 0.52 * s)
            self.fill(dark, ellipse(x, y, rx, ry))
            self.fill(leaves, ellipse(x + 0.14 * side * rx, y - 0.08 * ry, 0.86 * rx, 0.9 * ry))
            self.fill(mixed(leaves, WHITE, 0.2), ellipse(x + 0.38 * side * rx, y - 0.42 * ry, 0.36 * rx, 0.36 * ry))

    def lamp(self, x: float, foot: float) -> None:
        self.stroke(self.light.on(IRON), 0.02, [(x, foot), (x, foot - 0.24)])
        self.fill(LIT if self.night else self.light.on(GLOBE), ellipse(x, foot - 0.24, 0.034, 0.034))
        if self.night:
            self.glow(x, foot - 0.24, 0.32, WARM, 0.6)

    def house(self, x: float, foot: float) -> None:
        half, wall, roof, flat, windows = self.pick((COTTAGE, COTTAGE, TALL, TOWER))
        size, plaster, tiles = self.between(0.9, 1.2), self.pick(WALLS), mixed(self.pick(ROOFS), SNOW, self.white)
        half, eaves, top = size * half, foot - size * wall, foot - size * (wall + roof)
        on, over, shade = self.light.on, half + 0.035, x - 0.55 * half * (1 if self.sun[0] > x else -1)
        self.fill(on(mixed(tiles, DARK, 0.3)), box(x + 0.4 * half, top, x + 0.4 * half + 0.055, eaves))  # a chimney
        self.fill(on(plaster), box(x - half, eaves, x + half, foot))
        self.fill(on(mixed(plaster, DARK, 0.22)), box(shade - 0.45 * half, eaves, shade + 0.45 * half, foot))
        self.fill(on(tiles), np.array([(x - flat * over, top), (x + flat * over, top), (x + over, eaves), (x - over, eaves)]))
        self.stroke(on(mixed(tiles, DARK, 0.25)), 0.03, [(x - over, eaves), (x + over, eaves)])
        self.fill(on(mixed(tiles, DARK, 0.35)), box(x - 0.028, foot - 0.09, x + 0.028, foot))  # a door
        if self.night:
            self.glow(x, foot - 0.6 * size * wall, 0.48, WARM, 0.55)
        for column, row in windows:
            wx, wy = x + column * half, foot - row * size * wall
            self.fill(LIT if self.night else GLASS, box(wx - 0.03, wy - 0.035, wx + 0.03, wy + 0.035))

    def lake(self) -> None:
        """With what is above its shore upside down, a boat, and a tree in front of it."""
        shore, light = self.level, self.light
        self.mirror(shore, 1.7)
        for i in range(12):  # deeper and deeper
            self.fill(light.water, box(-1.1, shore + 0.06 * i, 1.1, 1.1), opacity=0.07 if i else 0.45)
        for i, wide in enumerate((0.04, 0.08, 0.05, 0.11, 0.07, 0.13)):  # light of the sun or the moon
            glint = ellipse(self.sun[0] + 0.03 * (-1) ** i, shore + 0.06 + 0.085 * i, wide, 0.012, 0.5)
            self.fill(light.orb if self.night else WHITE, glint, opacity=0.7)
        if self.several(0, 1):
            self.boat(self.between(-0.7, 0.7), self.between(shore + 0.16, 0.78), self.pick(SAILS))
        surface = self.hill(1, 0.9, 0.6, 1.1, self.land[3])
        x, top = surface[surface[:, 1].argmin()]
        self.tree(x, top + 0.05)

    def boat(self, x: float, y: float, sail: Colour) -> None:
        size, light = 0.11 + 0.2 * (y - self.level), self.light
        self.fill(mixed(light.water, DARK, 0.5), ellipse(x, y + 0.16 * size, 0.95 * size, 0.16 * size), opacity=0.7)
        for corners, colour in (
            ([(-0.9, -0.12), (0.9, -0.12), (0.6, 0.2), (-0.6, 0.2)], HULL),
            ([(0.05, -1.7), (0.85, -0.3), (0.05, -0.3)], sail),
            ([(-0.05, -1.4), (-0.05, -0.3), (-0.6, -0.3)], mixed(sail, DARK, 0.15)),
        ):
            self.fill(light.on(colour), np.array(corners) * size + (x, y))
        if self.night:  # a lantern
            self.glow(x - 0.75 * size, y - 0.3 * size, 0.25, WARM, 0.6)

    def meadow(self) -> None:
        """With flowers by day, and fireflies above them by night."""
        surface = self.hill(2, 0.72, 0.6, 0.8, self.land[3])
        for _ in range(18 if self.flowers else 0):
            x, colour = self.between(-1, 1), self.pick(self.flowers)
            flower = ellipse(x, _at(surface, x) + self.between(0.0, 0.25), 0.02, 0.02)
            self.fill(FIREFLY if self.night else colour, flower)
        for _ in range(self.several(0, 3)):
            x = self.between(-1, 1)
            self.tree(x, _at(surface, x))


def _at(surface: Points, x: float) -> float:
    """Where what stands at x has its foot: a little below the surface."""
    return float(np.interp(x, *surface.T)) + 0.05
