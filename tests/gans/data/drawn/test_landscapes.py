"""The synthetic landscapes: reproducible, unpaired to train on, paired to test with, and no mere change of colours."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gans.data.drawn import landscapes as module
from gans.data.drawn.landscape_light import DAY, NIGHT
from gans.data.drawn.landscape_parts import FIREFLY, GLASS, HOUSES, LIT, draw_landscape
from gans.data.drawn.landscape_scene import MOODS, SEASONS, Boat, Crest, Flower, House, Scene, Tree, random_scene
from gans.data.drawn.landscape_shapes import Ground, box, mirror, polygon, shine
from gans.data.drawn.landscapes import load_landscapes, scene_of, synthetic_landscapes
from gans.data.drawn.shapes import Canvas
from gans.data.idx import read_idx, write_idx
from gans.measures.similarity import histogram_match, l1, psnr, ssim

TEST_COUNT = 4
RED, WHITE = (200, 20, 30), (255, 255, 255)


@pytest.fixture(autouse=True)
def _few_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEST_COUNT", TEST_COUNT)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene_of(2, i, 0) for i in range(40)]


@pytest.fixture(scope="module")
def pairs(scenes: list[Scene]) -> tuple[np.ndarray, np.ndarray]:
    day, night = (np.stack([draw_landscape(scene, dark, 32) for scene in scenes]) for dark in (False, True))
    return day, night


@pytest.fixture(scope="module")
def plain(scenes: list[Scene]) -> Scene:
    """A scene of sky, hills and meadow alone."""
    none: dict[str, tuple] = dict.fromkeys(
        ("stars", "clouds", "peaks", "forest", "houses", "trees", "lamps", "flowers", "bushes"), ()
    )
    land = {name: (Crest(0.2, 0.4, 0.7),) for name in ("far", "near")}
    return dataclasses.replace(
        scenes[0], **none, **land, mood="clear", season=SEASONS["spring"], orb=(0.5, -0.6), shore=None, boat=None,
        front=(Crest(0.0, 0.8, 0.7),),
    )  # fmt: skip


def picture(scene: Scene, night: bool, size: int = 64, **changes: object) -> np.ndarray:
    return draw_landscape(dataclasses.replace(scene, **changes), night, size).astype(int)  # type: ignore[arg-type]


def place(scene_length: float, size: int = 64) -> int:
    """The row or column where a scene has this y or x."""
    return int((scene_length + 1) * size / 2)


# --- the data set


def test_shapes_and_types() -> None:
    images = synthetic_landscapes(3, 0, 16)
    assert images.shape == (2 * 3 + 2 * TEST_COUNT, 3, 16, 16)
    assert images.dtype == np.uint8


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_landscape_depends_on_its_part_its_number_and_the_seed_alone(count: int) -> None:
    few, many = synthetic_landscapes(count, 3, 16), synthetic_landscapes(6, 3, 16)
    np.testing.assert_array_equal(few[:count], many[:count])
    np.testing.assert_array_equal(few[count : 2 * count], many[6 : 6 + count])
    np.testing.assert_array_equal(few[2 * count :], many[12:])


def test_another_seed_gives_other_landscapes() -> None:
    assert (synthetic_landscapes(4, 1, 16) != synthetic_landscapes(4, 2, 16)).any(axis=(1, 2, 3)).all()


def test_no_scene_is_shared_between_day_night_and_the_held_out_ones() -> None:
    made = [scene_of(part, i, 0) for part in range(3) for i in range(50)]
    assert len(set(made)) == len(made)


def test_the_parts_are_the_scenes_they_are_said_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path))
    landscapes = load_landscapes(16, 2, seed=5)
    parts = {
        "day": (0, False, 2),
        "night": (1, True, 2),
        "test_day": (2, False, TEST_COUNT),
        "test_night": (2, True, TEST_COUNT),
    }
    for name, (part, night, number) in parts.items():
        images = getattr(landscapes, name)
        assert len(images) == number
        for i, image in enumerate(images):
            np.testing.assert_array_equal(image, draw_landscape(scene_of(part, i, 5), night, 16), err_msg=name)


def test_no_two_landscapes_are_alike(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    for images in pairs:
        pixels = images.reshape(len(images), -1).astype(np.float32)
        apart = ((pixels[:, None] - pixels) ** 2).mean(2) + 1e9 * np.eye(len(pixels))
        assert np.sqrt(apart.min()) > 6, "root mean square difference, of 255"


@pytest.mark.parametrize("size", [1, 8, 65, 128])
@pytest.mark.parametrize("night", [False, True])
def test_every_size_shows_the_same_scene(scenes: list[Scene], size: int, night: bool) -> None:
    for scene in scenes[:4]:
        image, usual = picture(scene, night, size), picture(scene, night)
        assert image.shape == (3, size, size)
        if size == 128:
            assert np.abs(image.reshape(3, 64, 2, 64, 2).mean((2, 4)) - usual).mean() < 3


def test_sixty_landscapes_are_fast() -> None:
    made = [scene_of(0, i, 0) for i in range(30)]
    begin = time.process_time()
    for scene in made:
        draw_landscape(scene, False, 64)
        draw_landscape(scene, True, 64)
    assert time.process_time() - begin < 2, "0.25 s with nothing else on the machine"


@pytest.mark.parametrize("value", [-1, 2.5, "10", None])
def test_bad_arguments_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="count must be a whole number of images, 0 or more"):
        synthetic_landscapes(value)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seed must be a whole number, 0 or more"):
        synthetic_landscapes(10, value)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="image_size must be a whole number of pixels, 1 or more"):
        synthetic_landscapes(10, 0, value)  # type: ignore[arg-type]


# --- scenes


def test_all_that_a_scene_can_have_is_found_among_many() -> None:
    made = [random_scene(np.random.default_rng(i)) for i in range(400)]
    assert {scene.mood for scene in made} == set(MOODS) == set(DAY) == set(NIGHT)
    assert {id(scene.season) for scene in made} == {id(season) for season in SEASONS.values()}
    assert {house.kind for scene in made for house in scene.houses} == set(HOUSES)
    assert {tree.kind for scene in made for tree in scene.trees} == {"pine", "round", "poplar"}
    assert 0.5 < np.mean([scene.shore is not None for scene in made]) < 0.7
    assert all(scene.shore is not None for scene in made if scene.boat)
    for name, fewest, most in (("houses", 1, 3), ("lamps", 0, 2), ("trees", 1, 4), ("clouds", 1, 4), ("peaks", 0, 4)):
        assert {len(getattr(scene, name)) for scene in made} == set(range(fewest, most + 1)), name


def test_houses_trees_and_lamps_stand_beside_each_other() -> None:
    for scene in (random_scene(np.random.default_rng(i)) for i in range(100)):
        places = sorted([*(thing.x for thing in (*scene.houses, *scene.trees)), *scene.lamps])
        assert min(np.diff(places), default=1.0) > 0.18


# --- day and night


def test_the_night_is_darker_everywhere_but_where_a_light_is(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    day, night = (images.astype(int).sum(1) for images in pairs)
    assert (night < day).mean() > 0.97


@pytest.mark.parametrize("kind", HOUSES)
def test_windows_are_lit_at_night_only(plain: Scene, kind: str) -> None:
    changes = {"houses": (House(kind, 0.1, 1.1, WHITE, RED),)}
    day, night = (picture(plain, dark, 128, **changes)[:, 64:] for dark in (False, True))  # below the sun
    assert (near(day, GLASS) & near(night, LIT)).sum() >= 16, "pixels"
    assert near(day, LIT).sum() == 0, "pixels"
    assert (near(day, GLASS) & near(night, GLASS)).sum() == 0, "pixels"


def test_the_moon_is_where_the_sun_was(plain: Scene) -> None:
    for x, y in ((-0.6, -0.5), (0.3, -0.7), (0.7, -0.4)):
        for night, lights in ((False, DAY), (True, NIGHT)):
            rows, columns = np.nonzero(near(picture(plain, night, orb=(x, y)), lights["clear"].orb))
            assert len(rows) >= 10, "pixels"
            assert abs(rows.mean() - place(y)) < 4 and abs(columns.mean() - place(x)) < 4


def test_stars_are_seen_at_night_only_and_not_through_clouds(scenes: list[Scene], plain: Scene) -> None:
    stars = scenes[0].stars
    assert (picture(plain, False, stars=stars) == picture(plain, False)).all()
    changed = (picture(plain, True, stars=stars) != picture(plain, True)).any(0)
    assert len(stars) <= changed.sum() and not changed[42:].any()
    cloud = dataclasses.replace(scenes[0].clouds[0], x=stars[0].x, y=stars[0].y + 0.05, size=0.5)
    behind = picture(plain, True, stars=stars[:1], clouds=(cloud,)) - picture(plain, True, clouds=(cloud,))
    assert np.abs(behind).max() < 30


def test_fireflies_are_over_the_flowers(plain: Scene) -> None:
    flower = {"flowers": (Flower(-0.3, 0.1, RED),)}
    column = place(-0.3, 128)
    for night, colour in ((False, RED), (True, FIREFLY)):
        found = np.nonzero(near(picture(plain, night, 128, **flower), colour, 40))
        assert len(found[1]) and np.abs(found[1] - column).max() <= 2


@pytest.mark.parametrize("night", [False, True])
def test_a_lake_reflects_what_stands_on_its_shore(plain: Scene, night: bool) -> None:
    changes: dict = {"shore": 0.4, "front": (Crest(0.0, 1.5, 0.3),), "orb": (0.9, -0.6)}
    bare = picture(plain, night, **changes)
    house = picture(plain, night, **changes, houses=(House("tall", -0.4, 1.0, WHITE, RED),))
    changed = np.abs(house - bare).sum(0) > 20
    above, below = changed[: place(0.4) - 1], changed[place(0.4) + 1 :]
    assert above.sum() > 60 and below.sum() > 30
    assert abs(np.nonzero(above)[1].mean() - np.nonzero(below)[1].mean()) < 2


def test_a_boat_has_a_lantern_at_night(plain: Scene) -> None:
    changes: dict = {"shore": 0.3, "front": (Crest(0.0, 1.5, 0.3),), "boat": Boat(0.0, 0.65, 0.2, WHITE)}
    assert near(picture(plain, True, 128, **changes), LIT).sum() > 4
    assert near(picture(plain, False, 128, **changes), LIT).sum() == 0


@pytest.mark.parametrize("kind", ["pine", "round", "poplar"])
def test_trees_are_brighter_towards_the_light(plain: Scene, kind: str) -> None:
    trees = (Tree(kind, 0.0, 0.5, (60, 160, 60)),)
    for night in (False, True):
        left, right = (picture(plain, night, 128, trees=trees, orb=(x, -0.6)).sum(0) for x in (-0.7, 0.7))
        crown = (picture(plain, night, 128, trees=trees) != picture(plain, night, 128)).any(0)
        for image, sign in ((left, 1), (right, -1)):
            west, east = image[:, :64][crown[:, :64]].mean(), image[:, 64:][crown[:, 64:]].mean()
            assert sign * (west - east) > (2 if night else 5)


def test_it_takes_more_than_another_colour_for_each_colour(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    """Identity and matched histograms stay far away; even a table of colours that has seen the truth is not enough."""
    day, night = pairs
    for source, target in ((day, night), (night, day)):
        matched = histogram_match(source, source, target)
        assert psnr(source, target).mean() < 9 and l1(source, target).mean() > 80
        assert psnr(matched, target).mean() < 18 and ssim(matched, target).mean() < 0.7
        assert psnr(best_colours(source, target), target).mean() < 24


def test_all_but_the_stars_and_flowers_can_be_known(scenes: list[Scene]) -> None:
    """What a perfect translation to the night reaches is far above the baselines."""
    truth, guess = (
        np.stack([draw_landscape(dataclasses.replace(s, stars=stars(s)), True, 32) for s in scenes[:20]])
        for stars in (lambda scene: scene.stars, lambda _: ())
    )
    assert psnr(guess, truth).mean() > 26


def near(image: np.ndarray, colour: tuple[int, int, int], tolerance: int = 12) -> np.ndarray:
    return np.abs(image - np.array(colour)[:, None, None]).max(0) <= tolerance


def best_colours(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The mean target colour of each of 4,096 colours, fitted on the very images it is applied to."""
    red, green, blue = (source // 16).astype(int).transpose(1, 0, 2, 3)
    colour = red * 256 + green * 16 + blue
    count = np.maximum(np.bincount(colour.ravel(), minlength=4096), 1)
    means = [np.bincount(colour.ravel(), target[:, c].ravel(), 4096) / count for c in range(3)]
    return np.stack([mean[colour] for mean in means], 1).round().astype(np.uint8)


# --- shapes


@settings(max_examples=50, deadline=None)
@given(
    x=st.floats(-0.5, 0.2), y=st.floats(-0.5, 0.2), w=st.floats(0.2, 0.6), h=st.floats(0.2, 0.6), size=st.sampled_from([64, 99])
)
def test_polygons_cover_their_area_wherever_they_lie(x: float, y: float, w: float, h: float, size: int) -> None:
    pixel = 2 / size
    rectangle = box(x, y, x + w, y + h), w * h, 2 * (w + h)
    triangle = polygon((x, y), (x + w, y + h), (x, y + h)), w * h / 2, w + h + math.hypot(w, h)
    for shape, area, perimeter in (rectangle, triangle):
        canvas = Canvas(size, (0, 0, 0))
        canvas.paint(shape, WHITE)
        edge = 0.1 * pixel  # so far may it be from where it should be
        assert canvas.pixels[0].sum() / 255 * pixel**2 == pytest.approx(area, abs=edge * perimeter)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-0.5, 0.5), st.floats(0.3, 0.9)), max_size=4), st.floats(0, 0.8))
def test_the_ground_is_as_high_as_its_highest_hill_or_a_little_higher(crests: list, plain: float) -> None:
    ground = Ground(tuple(Crest(*crest) for crest in crests), plain, blend=0.1)
    x = np.linspace(-1, 1, 101, dtype=np.float32)
    highest = np.min([np.full_like(x, plain), *(y + 0.2 * ((x - cx) / half) ** 2 for cx, y, half in crests)], axis=0)
    assert (ground.height(x) <= highest + 1e-5).all()
    assert (ground.height(x) >= highest - 0.025 * max(len(crests), 1) - 1e-5).all()
    assert ground.at(0.5) == pytest.approx(float(ground.height(np.array([0.5], np.float32))[0]))


def test_the_ground_is_painted_up_to_its_height() -> None:
    ground = Ground((Crest(-0.3, 0.1, 0.6), Crest(0.5, -0.2, 0.4)), 0.6)
    canvas = Canvas(128, (0, 0, 0))
    canvas.paint(ground.below(0.1), WHITE)
    x = (np.arange(128, dtype=np.float32) * 2 + 1) / 128 - 1
    np.testing.assert_allclose(1 - canvas.pixels[0].sum(0) / 255 * 2 / 128, ground.height(x) + 0.1, atol=0.01)


@pytest.mark.parametrize("size", [32, 64, 99])
def test_a_mirror_turns_the_picture_upside_down(size: int) -> None:
    canvas = Canvas(size, (0, 0, 0))
    canvas.paint(box(-0.5, -0.4, 0.5, -0.2), WHITE)
    before = canvas.pixels.copy()
    mirror(canvas, 0.1, 1.5)  # from 0.5 to 0.3 above the line becomes from 0.2 to 0.333 below it
    shown = canvas.pixels[0, :, size // 2] / 255
    lower = shown[int(0.55 * size) + 2 :]
    np.testing.assert_array_equal(canvas.pixels[:, : int(0.55 * size)], before[:, : int(0.55 * size)])
    assert lower.sum() * 2 / size == pytest.approx(0.2 / 1.5, abs=0.02)
    y = (np.arange(size) * 2 + 1) / size - 1
    middle = (shown * y)[y > 0.15].sum() / shown[y > 0.15].sum()
    assert middle == pytest.approx(0.1 + 0.4 / 1.5, abs=0.02)


def test_a_glow_fades_from_its_middle_to_nothing() -> None:
    canvas = Canvas(101, (0, 0, 0))
    shine(canvas, 0.0, 0.0, 0.5, WHITE, 0.6)
    right = canvas.pixels[0, 50, 50:] / 255
    assert right[0] == pytest.approx(0.6, abs=0.01)
    assert (np.diff(right) <= 0).all() and (right[26:] == 0).all()


# --- the cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "landscapes"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """The calls of the generator."""
    calls = []

    def counted(count: int, seed: int, image_size: int) -> np.ndarray:
        calls.append((count, seed, image_size))
        return synthetic_landscapes(count, seed, image_size)

    monkeypatch.setattr(module, "synthetic_landscapes", counted)
    return calls


def test_landscapes_come_from_the_cache_the_second_time(cache: Path, drawn: list, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = load_landscapes(8, 2, seed=2), load_landscapes(8, 2, seed=2)
    assert drawn == [(2, 2, 8)]
    for name in ("day", "night", "test_day", "test_night"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.source == second.source == "2 + 2 synthetic landscapes by day and by night (seed 2)"
    assert capsys.readouterr().err == ""
    assert len(list(cache.iterdir())) == 1


def test_each_size_count_and_seed_has_its_own_place_in_the_cache(cache: Path, drawn: list) -> None:
    asked = [(8, 2, 2), (4, 2, 2), (8, 1, 2), (8, 2, 3)]
    for _ in range(2):
        for size, count, seed in asked:
            assert load_landscapes(size, count, seed).night.shape == (count, 3, size, size)
    assert len(drawn) == len(list(cache.iterdir())) == 4


@pytest.mark.parametrize("content", [b"", b"rubbish", "short", "float"])
def test_a_damaged_cache_is_silently_drawn_again(
    cache: Path, drawn: list, content: object, capsys: pytest.CaptureFixture[str]
) -> None:
    night = load_landscapes(8, 2).night
    (path,) = cache.iterdir()
    whole = read_idx(path)
    match content:
        case "short":
            write_idx(path, whole[:-1])
        case "float":
            write_idx(path, whole.astype(np.float32))
        case bytes():
            path.write_bytes(content)
    np.testing.assert_array_equal(load_landscapes(8, 2).night, night)
    np.testing.assert_array_equal(read_idx(path), whole)
    assert len(drawn) == 2
    assert capsys.readouterr().err == ""


def test_landscapes_of_an_older_generator_are_not_taken(cache: Path, drawn: list, monkeypatch: pytest.MonkeyPatch) -> None:
    load_landscapes(8, 2)
    monkeypatch.setattr(module, "drawn_version", lambda *_: "newer")
    load_landscapes(8, 2)
    assert len(drawn) == 2


def test_an_unwritable_cache_does_not_prevent_landscapes(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache.parent.touch()  # a file where a folder should be
    assert len(load_landscapes(8, 2).day) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("The synthetic landscapes are not cached: ") and str(cache) in line
