"""Day and night: what they make of a colour."""

from __future__ import annotations

from dataclasses import dataclass

from gans.data.drawn.landscape_scene import colours
from gans.data.drawn.shapes import Colour, mixed


@dataclass(frozen=True)
class Light:
    """The light of one time of day, under one kind of sky."""

    night: bool
    zenith: Colour  # the sky, from its top
    middle: Colour
    horizon: Colour  # to its bottom, and the haze before what is far away
    orb: Colour  # the sun or the moon
    glow: Colour  # around it
    cloud: Colour
    rim: Colour  # the edge of a cloud, towards the sky
    water: Colour
    tint: tuple[float, float, float]  # the share of each channel that the land keeps

    def on(self, colour: Colour, haze: float = 0.0) -> Colour:
        """How a colour of the land looks in this light, behind so much haze (from 0 to 1)."""
        r, g, b = (round(c * share) for c, share in zip(colour, self.tint, strict=True))
        return mixed((r, g, b), self.horizon, haze)


def _light(night: bool, hex_codes: str, tint: tuple[float, float, float]) -> Light:
    zenith, middle, horizon, orb, glow, cloud, rim, water = colours(hex_codes)
    return Light(night, zenith, middle, horizon, orb, glow, cloud, rim, water, tint)


def _day(hex_codes: str) -> Light:
    return _light(False, hex_codes, (1.0, 1.0, 1.0))


def _night(hex_codes: str, tint: tuple[float, float, float]) -> Light:
    return _light(True, hex_codes, tint)


# Of each of MOODS; the colours are in the order of Light's fields.
DAY = {
    "clear": _day("3d8be0 7fbcf2 d3ecfb fff3b0 fffbe6 ffffff e3eef8 3f93cf"),
    "fresh": _day("2fa3b8 7fd0cf e2f6dc fff0a0 fdffec fbfffb d8efe6 2f9fa8"),
    "hazy": _day("6f9fd6 b5c9e6 ffe3bd ffe08a ffedc0 fff7ea f3dcc6 6fa0c4"),
    "rosy": _day("7f8fdd c3b5ea ffd3cb ffe9b8 ffdcc8 fff4f4 eccfdc 7d93d0"),
}

NIGHT = {
    "clear": _night("0a1030 172658 3d5c9a f6f1d8 6f8fd0 1c2a58 4f6aa8 0f2148", (0.32, 0.38, 0.56)),
    "fresh": _night("041a2c 0b3a4c 2f8286 eef7dc 4fa8a8 0d3346 3a8590 07303f", (0.27, 0.42, 0.50)),
    "hazy": _night("171030 3a2456 a3566e ffe2b8 b06a90 2c1c48 8a5078 21183f", (0.40, 0.33, 0.50)),
    "rosy": _night("150c38 34206e 7d5fc0 f3e8ff 8a70d8 23184f 6a55b0 1c1650", (0.36, 0.32, 0.58)),
}
