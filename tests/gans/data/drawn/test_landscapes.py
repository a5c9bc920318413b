"""The synthetic landscapes: reproducible, unpaired to train on, paired to test with, and no mere change of colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gans.data.drawn import landscapes as module
from gans.data.drawn.landscapes import DAY, FIREFLY, GLASS, LIT, NIGHT, draw_landscape, synthetic_landscapes
from gans.data.unpaired import load_landscapes
from gans.measures.similarity import histogram_match, l1, psnr, ssim

TEST_COUNT = 4


@pytest.fixture(autouse=True)
def _few_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEST_COUNT", TEST_COUNT)


def both(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The same scenes by day and by night."""
    day, night = (np.stack([draw_landscape(str(i), dark, size) for i in range(count)]) for dark in (False, True))
    return day, night


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    return both(40, 32)


# --- the data set


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_landscape_depends_only_on_its_part_its_number_and_the_seed(count: int) -> None:
    few, many = synthetic_landscapes(count, 3, 16), synthetic_landscapes(6, 3, 16)
    assert few.shape == (2 * count + 2 * TEST_COUNT, 3, 16, 16) and few.dtype == np.uint8
    np.testing.assert_array_equal(few[:count], many[:count])
    np.testing.assert_array_equal(few[count : 2 * count], many[6 : 6 + count])
    np.testing.assert_array_equal(few[2 * count :], many[12:])


def test_another_seed_gives_other_landscapes() -> None:
    assert (synthetic_landscapes(4, 1, 16) != synthetic_landscapes(4, 2, 16)).any(axis=(1, 2, 3)).all()


def test_the_held_out_scenes_alone_are_shown_by_day_and_by_night(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path))
    data = load_landscapes(16, 2, seed=5)
    for images, part, night in (
        (data.train_a, 0, False),
        (data.train_b, 1, True),
        (data.test_a, 2, False),
        (data.test_b, 2, True),
    ):
        for i, image in enumerate(images):
            np.testing.assert_array_equal(image, draw_landscape(f"5 {part} {i}", night, 16))
    assert len(data.train_a) == len(data.train_b) == 2 and len(data.test_a) == len(data.test_b) == TEST_COUNT


def test_no_two_landscapes_are_alike(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    for images in pairs:
        pixels = images.reshape(len(images), -1).astype(np.float32)
        apart = ((pixels[:, None] - pixels) ** 2).mean(2) + 1e9 * np.eye(len(pixels))
        assert np.sqrt(apart.min()) > 6, "root mean square difference, of 255"


@pytest.mark.parametrize("size", [1, 8, 65, 128])
@pytest.mark.parametrize("night", [False, True])
def test_every_size_shows_the_same_scene(size: int, night: bool) -> None:
    for name in "abcd":
        image = draw_landscape(name, night, size)
        assert image.shape == (3, size, size)
        if size == 128:
            halved = image.reshape(3, 64, 2, 64, 2).mean((2, 4))
            assert np.abs(halved - draw_landscape(name, night, 64)).mean() < 3


# --- day and night


def test_both_lights_show_the_same_scene_to_the_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    """By night with the colours of the day, only what shines differs: land, water and clouds are bit-identical."""
    monkeypatch.setattr(module, "NIGHT", {mood: light._replace(night=True) for mood, light in DAY.items()})
    monkeypatch.setattr(module.Canvas, "glow", lambda *_: None)
    day, night = both(20, 64)
    changed = (day != night).any(1).mean((1, 2))
    assert (changed > 0.01).all() and (changed < 0.12).all(), "share of the pixels"


def test_the_night_is_darker_everywhere_but_where_a_light_is(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    day, night = (images.astype(int).sum(1) for images in pairs)
    assert (night < day).mean() > 0.97


def test_windows_are_lit_and_fireflies_and_stars_shine_at_night_only() -> None:
    day, night = both(20, 128)
    windows = near(day, GLASS)
    assert (windows & near(night, LIT)).sum() > 20 * 16 and not (windows & near(night, GLASS)).any()
    assert not near(day, FIREFLY).any() and (near(night, FIREFLY).any((1, 2))).sum() > 3
    stars = night[:, :, :60].min(1) > 180
    assert (stars.sum((1, 2)) > 4).all()


def test_the_moon_is_where_the_sun_was(monkeypatch: pytest.MonkeyPatch) -> None:
    pink, middles = (255, 0, 255), []
    for lights in (DAY, NIGHT):
        monkeypatch.setattr(module, "DAY", {mood: light._replace(orb=pink) for mood, light in lights.items()})
        sky = np.stack([draw_landscape(str(i), False, 64)[:, :24] for i in range(20)])
        middles.append([np.argwhere(one).mean(0) if one.sum() > 5 else (np.nan, np.nan) for one in near(sky, pink)])
    apart = np.abs(np.subtract(*middles)).max(1)
    assert np.isfinite(apart).sum() > 8
    assert np.nanmedian(apart) < 3.5, "pixels"


def test_it_takes_more_than_another_colour_for_each_colour(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    """Identity and matched histograms stay far away; even a table of colours that has seen the truth is not enough."""
    day, night = pairs
    for source, target in ((day, night), (night, day)):
        matched = histogram_match(source, source, target)
        assert psnr(source, target).mean() < 9 and l1(source, target).mean() > 80
        assert psnr(matched, target).mean() < 18 and ssim(matched, target).mean() < 0.7
        assert psnr(best_colours(source, target), target).mean() < 24


def near(images: np.ndarray, colour: tuple[int, int, int], tolerance: int = 12) -> np.ndarray:
    return np.abs(images.astype(int) - np.array(colour)[:, None, None]).max(1) <= tolerance


def best_colours(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The mean target colour of each of 4,096 colours, fitted on the very images it is applied to."""
    red, green, blue = (source // 16).astype(int).transpose(1, 0, 2, 3)
    colour = red * 256 + green * 16 + blue
    count = np.maximum(np.bincount(colour.ravel(), minlength=4096), 1)
    means = [np.bincount(colour.ravel(), target[:, c].ravel(), 4096) / count for c in range(3)]
    return np.stack([mean[colour] for mean in means], 1).round().astype(np.uint8)
