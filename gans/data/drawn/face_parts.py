"""How a cartoon face is painted, from its background to its hat; each part from a few shapes.

The head's own frame has its origin between the eyes; the head is about one unit wide (half a picture).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gans.data.drawn.shapes import Canvas, Colour, Shape, above, arc, below, circle, ellipse, line, mixed

Hair = tuple[Shape | None, Shape | None]  # what is behind the head, and what is before it

INK: Colour = (44, 34, 40)
WHITE: Colour = (255, 255, 255)
TONGUE: Colour = (226, 96, 104)
MOUTH: Colour = (110, 32, 44)


@dataclass(frozen=True)
class Look:
    """All there is to know about one face."""

    skin: Colour
    hair: str
    hair_colour: Colour  # of brows and beard too
    beard: str
    glasses: str
    hat: str
    hat_colour: Colour
    nose: str
    eye_colour: Colour
    background: Colour
    shirt: Colour
    smile: float  # from -1, a frown, to 1
    mouth_open: float  # from 0, closed, to 1
    brow: float  # from -1, angry, to 1, worried
    eye_size: float  # relative to the usual, like spacing and width
    eye_spacing: float
    lid: float  # the share of the eye that the upper lid covers
    gaze: float  # from -1, to the left of the picture, to 1
    width: float  # of the head
    jaw: float  # from 0, round, to 1, square
    tilt: float  # of the head, clockwise, in radians
    shift_x: float  # of the head, to the right, in units of half a picture
    shift_y: float  # of the head, down


def draw_face(look: Look, size: int) -> np.ndarray:
    """The face as a picture, uint8 (3, size, size)."""
    canvas = Canvas(size, look.background)
    canvas.paint(circle(0, 0.05, 0.88), mixed(look.background, WHITE, 0.35))
    head = _head(look)
    back, front = HAIR[look.hair](_half_width(look))
    _at_head(canvas, look)
    _back_hair(canvas, look, back)
    _body(canvas, look)
    _at_head(canvas, look)
    _skull(canvas, look, head)
    _beard(canvas, look, head)
    _mouth(canvas, look)
    _nose(canvas, look)
    _eyes(canvas, look)
    _front_hair(canvas, look, front)
    _brows(canvas, look)
    _glasses(canvas, look)
    _hat(canvas, look)
    return canvas.image()


def _at_head(canvas: Canvas, look: Look) -> None:
    canvas.place(look.shift_x, 0.04 + look.shift_y, look.tilt)


def _half_width(look: Look) -> float:
    return 0.50 * look.width


def _head(look: Look) -> Shape:
    w = _half_width(look)
    skull = ellipse(0, -0.10, w, 0.50)
    return skull | ellipse(0, 0.12, w * (0.88 + 0.1 * look.jaw), 0.48, square=0.15 + 0.5 * look.jaw)


# --- hair, for a head that is 2 w wide


def _bald(w: float) -> Hair:
    return None, None


def _buzz(w: float) -> Hair:
    cap = ellipse(0, -0.10, w + 0.015, 0.53)
    return None, cap & above(-0.02, -0.31, 0.5)


def _short(w: float) -> Hair:
    cap = ellipse(0, -0.10, w + 0.05, 0.60, square=0.2)
    return None, (cap & above(-0.22, -0.10, 0.5, rise=0.05)) | _sideburns(w, 0.04)


def _swept(w: float) -> Hair:
    cap = ellipse(0, -0.12, w + 0.07, 0.62)
    lock = ellipse(-0.16, -0.50, 0.46, 0.22)
    return None, (cap & above(-0.26, -0.10, 0.6, rise=-0.2)) | lock | _sideburns(w, 0.0)


def _curly(w: float) -> Hair:
    curls = circle(0, -0.42, 0.16)
    for x, y in ((1.04, -0.02), (1.02, -0.27), (0.72, -0.50), (0.25, -0.60)):
        curls = curls | circle(-x * w, y, 0.155) | circle(x * w, y, 0.155)
    return curls, (curls & above(-0.06)) | (ellipse(0, -0.12, w + 0.03, 0.54) & above(-0.32, -0.06, 0.5))


def _afro(w: float) -> Hair:
    ball = ellipse(0, -0.22, w + 0.32, 0.66)
    return ball, (ball & above(-0.30, -0.12, 0.5)) | _sideburns(w, 0.02)


def _long(w: float) -> Hair:
    back = ellipse(0, 0.12, w + 0.17, 0.86, square=0.5)
    cap = ellipse(0, -0.10, w + 0.08, 0.60)
    face = ellipse(-0.21, 0.06, 0.33, 0.44) | ellipse(0.21, 0.06, 0.33, 0.44) | below(0.16)
    return back, cap - face


def _bob(w: float) -> Hair:
    back = ellipse(0, -0.02, w + 0.18, 0.66, square=0.5)
    cap = ellipse(0, -0.06, w + 0.13, 0.62, square=0.2)
    fringe = cap & above(-0.22, -0.03, 0.5)
    sides = (cap & above(0.32)) - ellipse(0, 0.02, w - 0.03, 0.70)
    return back, fringe | sides


def _bun(w: float) -> Hair:
    cap = ellipse(0, -0.12, w + 0.05, 0.56)
    return circle(0, -0.74, 0.21), (cap & above(-0.20, -0.26, 0.5)) | _sideburns(w, 0.0)


def _pigtails(w: float) -> Hair:
    tails = ellipse(-w - 0.15, 0.18, 0.18, 0.38) | ellipse(w + 0.15, 0.18, 0.18, 0.38)
    cap = ellipse(0, -0.12, w + 0.05, 0.57)
    return tails, (cap & above(-0.10, -0.22, 0.5)) | circle(-w - 0.04, -0.10, 0.09) | circle(w + 0.04, -0.10, 0.09)


def _mohawk(w: float) -> Hair:
    return None, ellipse(0, -0.56, 0.17, 0.36, square=0.3) | circle(0, -0.80, 0.15)


def _sideburns(w: float, bottom: float) -> Shape:
    return line(-w, -0.30, -w, bottom, 0.10) | line(w, -0.30, w, bottom, 0.10)


HAIR = {
    "bald": _bald,
    "buzz": _buzz,
    "short": _short,
    "swept": _swept,
    "curly": _curly,
    "afro": _afro,
    "long": _long,
    "bob": _bob,
    "bun": _bun,
    "pigtails": _pigtails,
    "mohawk": _mohawk,
}


def _back_hair(canvas: Canvas, look: Look, hair: Shape | None) -> None:
    if hair is not None:
        shade = 0.0 if look.hair in ("afro", "curly") else 0.22  # these are one mass with what is before the head
        canvas.paint(_under_hat(look, hair), mixed(look.hair_colour, INK, shade))


def _front_hair(canvas: Canvas, look: Look, hair: Shape | None) -> None:
    if hair is not None:
        hair = _under_hat(look, hair)
        canvas.paint(hair, look.hair_colour)
        shine = arc(-0.02, -0.40, 0.30, -0.10, 0.06, rise=-0.03)
        canvas.paint(hair & shine, mixed(look.hair_colour, WHITE, 0.3))


def _under_hat(look: Look, hair: Shape) -> Shape:
    return hair if look.hat == "none" else hair & below(-0.36, -0.06, 0.5)


# --- the other parts


def _body(canvas: Canvas, look: Look) -> None:
    """Shoulders, collar and neck; they stay upright and follow the head half the way."""
    canvas.place(0.5 * look.shift_x, 0.04 + 0.5 * look.shift_y)
    canvas.paint(ellipse(0, 1.28, 0.80, 0.56, square=0.3), look.shirt)
    canvas.paint(ellipse(0, 0.74, 0.27, 0.15), mixed(look.shirt, INK, 0.22))
    canvas.paint(line(0, 0.4, 0, 0.66, 0.40), mixed(look.skin, INK, 0.16))


def _skull(canvas: Canvas, look: Look, head: Shape) -> None:
    w, shadow = _half_width(look), mixed(look.skin, INK, 0.16)
    for side in (-1, 1):
        canvas.paint(ellipse(side * w, 0.08, 0.10, 0.13), look.skin)
        canvas.paint(ellipse(side * (w + 0.01), 0.08, 0.05, 0.08), shadow)
    canvas.paint(head, look.skin)
    canvas.paint(head - ellipse(-0.08, -0.06, w + 0.03, 0.66), shadow, opacity=0.6)
    blush = mixed(look.skin, (240, 90, 90), 0.3)
    for side in (-1, 1):
        canvas.paint(ellipse(side * 0.31 * look.width, 0.24, 0.11, 0.08), blush, opacity=0.6, soft=0.1)


def _beard(canvas: Canvas, look: Look, head: Shape) -> None:
    colour = mixed(look.hair_colour, INK, 0.12)
    if look.beard == "full":
        canvas.paint(head & below(0.06, 0.22, 0.5), colour)
    if look.beard == "goatee":
        canvas.paint(ellipse(0, 0.54, 0.15, 0.13, square=0.3), colour)
    if look.beard in ("moustache", "full"):
        canvas.paint(arc(-0.10, 0.27, 0.12, -0.03, 0.09, rise=-0.03) | arc(0.10, 0.27, 0.12, -0.03, 0.09, rise=0.03), colour)


def _mouth(canvas: Canvas, look: Look) -> None:
    bend, y = 0.15 * look.smile, 0.38 - 0.07 * look.smile
    half = 0.17 + 0.04 * abs(look.smile)
    if look.mouth_open == 0:
        canvas.paint(arc(0, y + 0.03 + 0.44 * bend, 0.75 * half, 0.56 * bend, 0.09), mixed(look.skin, (215, 80, 90), 0.45))
        canvas.paint(arc(0, y, half, bend, 0.05), mixed(MOUTH, INK, 0.5))
        return
    gape = 0.08 + 0.14 * look.mouth_open
    upper, lower = bend - 0.3 * gape, bend + 0.7 * gape
    inside = ellipse(0, y, half, 0.5) & below(y, upper, half) & above(y, lower, half)
    canvas.paint(inside, MOUTH)
    canvas.paint(inside & ellipse(0, y + lower + 0.02, 0.6 * half, 0.09), TONGUE)
    canvas.paint(inside & above(y + 0.05, upper, half), WHITE)


def _nose(canvas: Canvas, look: Look) -> None:
    colour = mixed(look.skin, (120, 40, 40), 0.32)
    if look.nose == "button":
        canvas.paint(arc(0, 0.20, 0.055, 0.04, 0.045), colour)
    elif look.nose == "round":
        canvas.paint(ellipse(0, 0.18, 0.085, 0.065), mixed(look.skin, (230, 80, 80), 0.3))
    else:
        canvas.paint(line(-0.01, 0.02, 0.045, 0.20, 0.04) | line(0.045, 0.20, -0.03, 0.22, 0.04), colour)


def _eyes(canvas: Canvas, look: Look) -> None:
    rx, ry = 0.13 * look.eye_size, 0.14 * look.eye_size
    for side in (-1, 1):
        x = side * 0.215 * look.eye_spacing
        white = ellipse(x, 0, rx, ry)
        canvas.paint(white, WHITE)
        gaze = x + 0.035 * look.gaze
        canvas.paint(white & circle(gaze, 0.01, 0.62 * rx), look.eye_colour)
        canvas.paint(white & circle(gaze, 0.01, 0.34 * rx), INK)
        canvas.paint(circle(gaze - 0.03, -0.03, 0.026), WHITE)
        lid = -ry + 2 * ry * look.lid
        canvas.paint(ellipse(x, 0, rx + 0.02, ry + 0.02) & above(lid, -0.03, rx), mixed(look.skin, INK, 0.1))
        canvas.paint(arc(x, max(lid, -0.55 * ry) + 0.02, rx, min(lid, -0.5 * ry) * 0.4, 0.04), INK)


def _brows(canvas: Canvas, look: Look) -> None:
    colour = mixed(look.hair_colour, INK, 0.3)
    for side in (-1, 1):
        rise = side * 0.045 * look.brow
        canvas.paint(arc(side * 0.22 * look.eye_spacing, -0.08 - 0.14 * look.eye_size, 0.11, -0.025, 0.055, rise=rise), colour)


def _glasses(canvas: Canvas, look: Look) -> None:
    if look.glasses == "none":
        return
    x = 0.215 * look.eye_spacing
    for side in (-1, 1):
        rim = ellipse(side * x, 0.01, 0.19, 0.175, square=0.0 if look.glasses == "round" else 0.75)
        canvas.paint(rim, WHITE, opacity=0.12)
        canvas.paint(rim.outline(0.045), INK)
        canvas.paint(line(side * (x + 0.19), -0.02, side * (_half_width(look) + 0.02), -0.05, 0.045), INK)
    canvas.paint(arc(0, 0.0, max(0.03, x - 0.19), -0.03, 0.045), INK)


def _hat(canvas: Canvas, look: Look) -> None:
    w, dark = _half_width(look), mixed(look.hat_colour, INK, 0.25)
    dome = ellipse(0, -0.30, w + 0.07, 0.50, square=0.2)
    if look.hat == "beanie":
        canvas.paint(circle(0, -0.82, 0.12), mixed(look.hat_colour, WHITE, 0.6))
        canvas.paint(dome & above(-0.32), look.hat_colour)
        canvas.paint(arc(0, -0.34, w + 0.03, -0.06, 0.15), dark)
    elif look.hat == "cap":
        canvas.paint(dome & above(-0.30, -0.06, w), look.hat_colour)
        canvas.paint(ellipse(0.12, -0.34, w + 0.16, 0.10) & above(-0.28, -0.06, w), dark)
        canvas.paint(circle(0, -0.79, 0.045), dark)
