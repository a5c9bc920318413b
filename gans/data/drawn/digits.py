"""Synthetic handwritten digits, drawn with a jittered pen: a data set like MNIST that needs no download."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from gans.data.drawn.digit_strokes import pack_glyphs

THREADS = 2
CHUNK = 2_000  # images that a thread draws in one go

# How one picture is written. The size of a digit is 1 here, but the pen is measured in pixels.
HAND = np.dtype(
    [
        ("slant", "f4"),  # to the right
        ("turn", "f4"),  # clockwise, in radians
        ("aspect", "f4"),  # width over height, relative to the glyph
        ("radius", "f4"),  # of the pen
        ("softness", "f4"),  # half the width of the ink's grey edge
        ("pressure", "f4"),  # how much the radius grows from the first stroke to the last
        ("bend", "f4", 4),  # amplitudes and phases of the four sines that bend the digit
        ("phase", "f4", 4),
    ]
)


def synthetic_digits(count: int = 60_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws handwritten-like digits, white ink on black, fitted into the picture as MNIST's are.

    Returns images (count, 28, 28) uint8 in 0..255 and labels (count,) uint8 in 0..9. Every ten images from the first
    on hold each digit once, in random order. Image i depends on the seed and on i alone, so that a smaller count gives
    the beginning of a larger one.
    """
    if not isinstance(count, int | np.integer) or count < 0:
        raise ValueError(f"count must be a whole number of images, 0 or more, but it is {count!r}")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be a whole number, 0 or more, but it is {seed!r}")
    from gans.data.drawn.digit_pen import draw  # here, because numba takes a second to import

    points, starts, first, edges = pack_glyphs()
    # A generator for each purpose, read one picture after the other, keeps image i independent of count.
    label_rng, glyph_rng, hand_rng, jitter_rng = np.random.default_rng(seed).spawn(4)
    labels = np.argsort(label_rng.random((-(-count // 10), 10)), axis=1).astype(np.uint8).ravel()[:count]
    glyphs = np.searchsorted(edges, labels + glyph_rng.random(count), side="right")
    hands, mess = _hands(hand_rng.standard_normal((count, 15), np.float32))
    jitter = mess[:, None, None] * jitter_rng.standard_normal((count, np.diff(first).max(), 2), np.float32)
    images = np.zeros((count, 28, 28), np.uint8)

    def draw_chunk(begin: int) -> None:
        part = slice(begin, begin + CHUNK)
        draw(glyphs[part], jitter[part], hands[part], points, starts, first, images[part])

    with ThreadPoolExecutor(THREADS) as pool:  # the kernel releases the GIL
        list(pool.map(draw_chunk, range(0, count, CHUNK)))
    return images, labels


def _hands(noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turns normal noise (count, 15) into hands (count,) HAND and the jitter of their points (count,) float32."""
    noise = np.clip(noise, -2.2, 2.2)  # an extreme hand is not legible
    hands = np.empty(len(noise), HAND)
    hands["slant"] = 0.15 + 0.25 * noise[:, 0]
    hands["turn"] = 0.1 * noise[:, 1]
    hands["aspect"] = np.exp(0.2 * noise[:, 2])
    hands["radius"] = np.clip(1.4 * np.exp(0.28 * noise[:, 3]), 0.75, 2.5)
    hands["softness"] = 0.62 + 0.08 * noise[:, 4]
    hands["pressure"] = 0.15 * noise[:, 5]
    hands["bend"] = 0.065 * noise[:, 6:10]
    hands["phase"] = 3 * noise[:, 10:14]
    return hands, 0.045 * np.exp(0.3 * noise[:, 14])
