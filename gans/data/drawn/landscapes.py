"""Synthetic landscapes by day and by night: two kinds of pictures to translate into each other, with the truth known.

The training pictures of the two kinds show different scenes, as CycleGAN is meant for; the held-out ones show the same.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gans.data.cache import cache_folder, drawn_version
from gans.data.drawn.landscape_parts import draw_landscape
from gans.data.drawn.landscape_scene import Scene, random_scene
from gans.data.errors import DataError
from gans.data.idx import read_idx, write_idx

TEST_COUNT = 100  # scenes that are held out

_COUNT = 1_000
_DAY, _NIGHT, _TEST = range(3)  # each has its own scenes


@dataclass(frozen=True, eq=False)
class Landscapes:
    """Four arrays of images, uint8 (n, 3, size, size); `source`, for the log.

    No scene of `day` is in `night`, and none of either is held out; test_day[i] and test_night[i] are the same scene.
    """

    day: npt.NDArray[np.uint8]
    night: npt.NDArray[np.uint8]
    test_day: npt.NDArray[np.uint8]
    test_night: npt.NDArray[np.uint8]
    source: str


def load_landscapes(image_size: int = 64, count: int = _COUNT, seed: int = 0) -> Landscapes:
    """`count` landscapes by day, as many by night and TEST_COUNT pairs, from the cache if they have been drawn before.

    Where nothing can be cached, a line on stderr says so.
    """
    name = f"{count}-landscapes-of-{image_size}-seed-{seed}-{drawn_version('landscape*.py', 'shapes.py')}-idx4-ubyte"
    path = cache_folder("landscapes") / name
    try:
        images = read_idx(path)
        if images.dtype == np.uint8 and images.shape == (2 * (count + TEST_COUNT), 3, image_size, image_size):
            return _split(images, count, seed)
    except DataError:
        pass  # not there, or damaged
    images = synthetic_landscapes(count, seed, image_size)
    try:
        write_idx(path, images)
    except DataError as error:
        print(f"The synthetic landscapes are not cached: {error}", file=sys.stderr)
    return _split(images, count, seed)


def synthetic_landscapes(count: int = _COUNT, seed: int = 0, image_size: int = 64) -> npt.NDArray[np.uint8]:
    """Draws landscapes.

    Returns images (2 count + 2 TEST_COUNT, 3, image_size, image_size) uint8: first those by day, then those by night,
    then the held-out scenes by day, and again by night. Each picture depends on the seed, on its part and on its place
    there alone, so that a smaller count gives the beginning of a larger one, and another size the same scenes.
    """
    from tqdm import tqdm

    _check(count, seed, image_size)
    parts = ((_DAY, False, count), (_NIGHT, True, count), (_TEST, False, TEST_COUNT), (_TEST, True, TEST_COUNT))
    images = np.empty((2 * (count + TEST_COUNT), 3, image_size, image_size), np.uint8)
    # In one thread: the many small steps of a drawing hold the GIL. No bar for what takes a moment, nor in a log file.
    with tqdm(total=len(images), desc="drawing landscapes", unit="", delay=1, disable=None) as bar:
        place = 0
        for part, night, number in parts:
            for i in range(number):
                images[place] = draw_landscape(scene_of(part, i, seed), night, image_size)
                place += 1
                bar.update()
    return images


def scene_of(part: int, i: int, seed: int) -> Scene:
    """Scene i of those by day (part 0), by night (1) or held out (2)."""
    return random_scene(np.random.default_rng((seed, part, i)))


def _split(images: npt.NDArray[np.uint8], count: int, seed: int) -> Landscapes:
    day, night, test_day, test_night = np.split(images, [count, 2 * count, 2 * count + TEST_COUNT])
    source = f"{count:,} + {count:,} synthetic landscapes by day and by night (seed {seed})"
    return Landscapes(day, night, test_day, test_night, source)


def _check(count: int, seed: int, image_size: int) -> None:
    if not isinstance(count, int | np.integer) or count < 0:
        raise ValueError(f"count must be a whole number of images, 0 or more, but it is {count!r}")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be a whole number, 0 or more, but it is {seed!r}")
    if not isinstance(image_size, int | np.integer) or image_size < 1:
        raise ValueError(f"image_size must be a whole number of pixels, 1 or more, but it is {image_size!r}")
