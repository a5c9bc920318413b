"""How a landscape is painted, from its sky to the meadow in front, by day or by night."""

from __future__ import annotations

import numpy as np

from gans.data.drawn.landscape_light import DAY, NIGHT, Light
from gans.data.drawn.landscape_scene import Boat, Cloud, House, Peak, Scene, Tree
from gans.data.drawn.landscape_shapes import Ground, box, mirror, polygon, shine
from gans.data.drawn.shapes import Canvas, Colour, Shape, above, below, circle, ellipse, line, mixed

WHITE: Colour = (255, 255, 255)
DARK: Colour = (26, 24, 52)
GLASS: Colour = (70, 92, 124)
TRUNK: Colour = (104, 74, 56)
HULL: Colour = (120, 66, 48)
IRON: Colour = (74, 78, 92)
LIT: Colour = (255, 222, 130)
WARM: Colour = (255, 166, 72)
FIREFLY: Colour = (214, 255, 140)
SNOW: Colour = (246, 249, 255)


def draw_landscape(scene: Scene, night: bool, size: int) -> np.ndarray:
    """The scene by day or by night as a picture, uint8 (3, size, size)."""
    light = (NIGHT if night else DAY)[scene.mood]
    canvas = Canvas(size, light.horizon)
    _sky(canvas, scene, light)
    for peak in scene.peaks:
        _mountain(canvas, peak, scene.season.mountain, scene.season.snow, light)
    _far_hills(canvas, scene, light)
    _village(canvas, scene, light)
    if scene.shore is not None:
        _lake(canvas, scene, scene.shore, light)
    _meadow(canvas, scene, light)
    return canvas.image()


# --- the sky


def _sky(canvas: Canvas, scene: Scene, light: Light) -> None:
    canvas.paint(above(-0.15), light.middle, soft=0.9)
    canvas.paint(above(-0.75), light.zenith, soft=0.9)
    x, y = scene.orb
    shine(canvas, x, y, 1.0, light.glow, 0.5 if light.night else 0.7)
    if light.night:
        for star in scene.stars:
            canvas.paint(circle(star.x, star.y, 0.008 + 0.01 * star.brightness), WHITE, opacity=0.25 + 0.75 * star.brightness)
        _moon(canvas, x, y, light)
    else:
        canvas.paint(circle(x, y, 0.135), light.orb)
    for cloud in scene.clouds:
        _cloud(canvas, cloud, light)


def _moon(canvas: Canvas, x: float, y: float, light: Light) -> None:
    disc = circle(x, y, 0.125)
    canvas.paint(disc, mixed(light.middle, light.glow, 0.35))
    canvas.paint(disc - circle(x + 0.07, y - 0.03, 0.115), light.orb)


def _cloud(canvas: Canvas, cloud: Cloud, light: Light) -> None:
    s = cloud.size
    puffs: Shape = ellipse(cloud.x, cloud.y, 1.5 * s, 0.42 * s)
    for side, radius in ((0.75 * cloud.lean, 0.75), (0.75 * cloud.lean - 0.8, 0.45), (0.75 * cloud.lean + 0.75, 0.5)):
        puffs = puffs | circle(cloud.x + s * side, cloud.y - 0.25 * s, radius * s)
    puffs = puffs & above(cloud.y + 0.3 * s)
    canvas.paint(puffs, light.rim, opacity=0.95)
    canvas.paint(puffs & above(cloud.y + 0.05 * s), light.cloud, opacity=0.95, soft=0.3 * s)


# --- the land


def _mountain(canvas: Canvas, peak: Peak, colour: Colour, snow: float, light: Light) -> None:
    foot = peak.y + peak.height
    mountain = polygon((peak.x, peak.y), (peak.x + peak.half, foot), (peak.x - peak.half, foot))
    canvas.paint(mountain, light.on(colour, 0.35))
    shade = polygon((peak.x, peak.y), (peak.x + peak.half, foot), (peak.x + 0.15 * peak.half, foot))
    canvas.paint(shade, light.on(mixed(colour, DARK, 0.3), 0.35))
    cap = mountain & above(peak.y + snow * peak.height)
    canvas.paint(cap, light.on(SNOW, 0.2))
    canvas.paint(cap & shade, light.on(mixed(SNOW, colour, 0.4), 0.2))


def _hill(canvas: Canvas, ground: Ground, colour: Colour, light: Light, haze: float) -> None:
    """Lighter along its top, darker towards its foot."""
    canvas.paint(ground.below(), light.on(mixed(colour, WHITE, 0.18), haze))
    canvas.paint(ground.below(0.10), light.on(colour, haze), soft=0.16)
    canvas.paint(ground.below(0.34), light.on(mixed(colour, DARK, 0.25), haze), soft=0.4)


def _far_hills(canvas: Canvas, scene: Scene, light: Light) -> None:
    ground = Ground(scene.far, scene.level - 0.2)
    _hill(canvas, ground, scene.season.far, light, 0.3)
    for tree in sorted(scene.forest, key=lambda tree: tree.size):
        _tree(canvas, tree, ground.at(tree.x) + 0.03, scene, light, 0.25)


def _village(canvas: Canvas, scene: Scene, light: Light) -> None:
    ground = Ground(scene.near, scene.level - 0.04)
    _hill(canvas, ground, scene.season.near, light, 0.06)
    for tree in scene.trees:
        _tree(canvas, tree, ground.at(tree.x) + 0.03, scene, light, 0.06)
    for house in scene.houses:
        _house(canvas, house, ground.at(house.x) + 0.05, scene, light)
    for x in scene.lamps:
        _lamp(canvas, x, ground.at(x) + 0.05, light)


def _tree(canvas: Canvas, tree: Tree, foot: float, scene: Scene, light: Light, haze: float) -> None:
    s, x = tree.size, tree.x
    side = 1 if scene.orb[0] > x else -1  # from where the light comes
    leaves, dark = light.on(tree.leaves, haze), light.on(mixed(tree.leaves, DARK, 0.35), haze)
    canvas.paint(line(x, foot, x, foot - 0.4 * s, 0.1 * s), light.on(TRUNK, haze))
    if tree.kind == "pine":
        for i, (bottom, half) in enumerate(((0.12, 0.33), (0.38, 0.27), (0.64, 0.2))):
            top, y = (x, foot - s * (bottom + 0.42)), foot - s * bottom
            left, right = (x - half * s, y), (x + half * s, y)
            canvas.paint(polygon(top, right, left), mixed(dark, leaves, i / 2))
            canvas.paint(polygon(top, right, (x, y)) if side > 0 else polygon(top, (x, y), left), leaves)
        return
    wide, high = (0.19 * s, 0.52 * s) if tree.kind == "poplar" else (0.36 * s, 0.38 * s)
    y = foot - 0.6 * s
    crown = ellipse(x, y, wide, high)
    canvas.paint(crown, dark)
    canvas.paint(crown & ellipse(x + 0.25 * side * wide, y - 0.15 * high, wide, high), leaves)
    if haze < 0.1:  # near enough for details
        bright = light.on(mixed(tree.leaves, (255, 250, 210), 0.22), haze)
        canvas.paint(ellipse(x + 0.38 * side * wide, y - 0.42 * high, 0.36 * wide, 0.36 * high), bright)


def _lamp(canvas: Canvas, x: float, foot: float, light: Light) -> None:
    top = foot - 0.24
    canvas.paint(line(x, foot, x, top, 0.02), light.on(IRON))
    canvas.paint(circle(x, top, 0.034), LIT if light.night else light.on((214, 222, 226)))
    if light.night:
        shine(canvas, x, top, 0.32, WARM, 0.6)


# --- houses

HOUSES = {"cottage": (0.16, 0.17, 0.15), "tall": (0.12, 0.32, 0.13), "tower": (0.085, 0.40, 0.17)}  # half a width, wall, roof


def _house(canvas: Canvas, house: House, foot: float, scene: Scene, light: Light) -> None:
    half, wall, roof = (house.size * length for length in HOUSES[house.kind])
    x, eaves, over = house.x, foot - wall, half + 0.035
    tiles = mixed(house.roof, SNOW, scene.season.snow_on_roofs)
    if house.kind != "tower":
        flue = x + 0.45 * half
        canvas.paint(box(flue, eaves - roof, flue + 0.055, eaves - 0.2 * roof), light.on(mixed(house.roof, DARK, 0.3)))
    canvas.paint(box(x - half, eaves, x + half, foot), light.on(house.wall))
    left, right = (x - half, x - 0.1 * half) if scene.orb[0] > x else (x + 0.1 * half, x + half)
    canvas.paint(box(left, eaves, right, foot), light.on(mixed(house.wall, DARK, 0.22)))
    if house.kind == "cottage":
        cover = polygon((x - 0.55 * over, eaves - roof), (x + 0.55 * over, eaves - roof), (x + over, eaves), (x - over, eaves))
    else:
        cover = polygon((x, eaves - roof), (x + over, eaves), (x - over, eaves))
    canvas.paint(cover, light.on(tiles))
    canvas.paint(cover & below(eaves - 0.25 * roof), light.on(mixed(tiles, DARK, 0.25)))
    _windows(canvas, house, foot, half, wall, light)


def _windows(canvas: Canvas, house: House, foot: float, half: float, wall: float, light: Light) -> None:
    x = house.x
    if house.kind == "cottage":
        places = [(x - 0.5 * half, foot - 0.55 * wall), (x + 0.5 * half, foot - 0.55 * wall)]
    elif house.kind == "tall":
        places = [(x + side * 0.45 * half, foot - level * wall) for level in (0.45, 0.78) for side in (-1, 1)]
    else:
        places = [(x, foot - level * wall) for level in (0.5, 0.8)]
    if house.kind != "cottage":
        canvas.paint(box(x - 0.028, foot - 0.09, x + 0.028, foot), light.on(mixed(house.roof, DARK, 0.35)))
    for wx, wy in places:
        canvas.paint(box(wx - 0.03, wy - 0.035, wx + 0.03, wy + 0.035), LIT if light.night else GLASS)
    if light.night:
        middle = sum(y for _, y in places) / len(places)
        shine(canvas, x, middle, 0.48, WARM, 0.55)
        for wx, wy in places:
            canvas.paint(box(wx - 0.025, wy - 0.03, wx + 0.025, wy + 0.03), LIT)


# --- in front


def _lake(canvas: Canvas, scene: Scene, shore: float, light: Light) -> None:
    mirror(canvas, shore, 1.7)
    canvas.paint(below(shore), light.water, opacity=0.4)
    canvas.paint(below(shore + 0.45), light.water, opacity=0.55, soft=0.9)
    canvas.paint(line(-1.1, shore, 1.1, shore, 0.025), light.on(mixed(scene.season.near, WHITE, 0.5)), opacity=0.5)
    x, gleam = scene.orb[0], light.orb if light.night else WHITE
    for i, wide in enumerate((0.04, 0.08, 0.05, 0.11, 0.07, 0.13)):
        y = shore + 0.06 + 0.085 * i
        shift = 0.03 * (-1) ** i
        canvas.paint(line(x - wide + shift, y, x + wide + shift, y, 0.018), gleam, opacity=0.7)
    if scene.boat is not None:
        _boat(canvas, scene.boat, light)


def _boat(canvas: Canvas, boat: Boat, light: Light) -> None:
    s, x, y = boat.size, boat.x, boat.y
    canvas.paint(ellipse(x, y + 0.16 * s, 0.95 * s, 0.16 * s), mixed(light.water, DARK, 0.5), opacity=0.7)
    rail, keel = y - 0.12 * s, y + 0.2 * s
    hull = polygon((x - 0.9 * s, rail), (x + 0.9 * s, rail), (x + 0.6 * s, keel), (x - 0.6 * s, keel))
    canvas.paint(hull, light.on(HULL))
    canvas.paint(line(x, y - 0.1 * s, x, y - 1.7 * s, 0.03), light.on(TRUNK))
    boom = y - 0.3 * s
    sail = polygon((x + 0.08 * s, y - 1.6 * s), (x + 0.85 * s, boom), (x + 0.08 * s, boom))
    jib = polygon((x - 0.08 * s, y - 1.3 * s), (x - 0.08 * s, boom), (x - 0.6 * s, boom))
    canvas.paint(sail, light.on(boat.sail))
    canvas.paint(jib, light.on(mixed(boat.sail, DARK, 0.15)))
    if light.night:  # a lantern
        shine(canvas, x - 0.75 * s, boom, 0.25, WARM, 0.6)
        canvas.paint(circle(x - 0.75 * s, boom, 0.028), LIT)


def _meadow(canvas: Canvas, scene: Scene, light: Light) -> None:
    ground = Ground(scene.front, 1.1 if scene.shore is not None else 0.8)
    _hill(canvas, ground, scene.season.front, light, 0.0)
    for flower in scene.flowers:
        y = ground.at(flower.x) + flower.depth
        if light.night:
            canvas.paint(circle(flower.x, y - 0.05, 0.017), FIREFLY, opacity=0.9)
        else:
            canvas.paint(circle(flower.x, y, 0.022), flower.colour)
    for bush in scene.bushes:
        _tree(canvas, bush, ground.at(bush.x) + 0.06, scene, light, 0.0)
