"""The synthetic faces: reproducible, varied, true to their features, and kept in the cache."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gans.data.drawn import faces as module
from gans.data.drawn.face_parts import HAIR, draw_face
from gans.data.drawn.faces import CHOICES, FACE, RANGES, VALUES, load_faces, look_of, random_features, synthetic_faces
from gans.data.drawn.shapes import Canvas, above, arc, below, circle, ellipse, line
from gans.data.idx import read_idx, write_idx


@pytest.fixture(scope="module")
def faces() -> tuple[np.ndarray, np.ndarray]:
    return synthetic_faces(150, seed=3)


def picture(size: int = 64, **changes: object) -> np.ndarray:
    """A plain face that looks straight ahead, with some features changed to a value of theirs."""
    plain = dict.fromkeys(RANGES, 0.0) | {"eye_size": 1, "eye_spacing": 1, "width": 1} | dict.fromkeys(CHOICES, 0)
    face = np.zeros(1, FACE)
    for name, value in (plain | changes).items():
        face[name] = VALUES[name].index(value) if isinstance(value, str) else value
    return draw_face(look_of(face[0]), size).astype(int)


# --- the data set


def test_shapes_and_types(faces: tuple[np.ndarray, np.ndarray]) -> None:
    images, features = faces
    assert images.shape == (150, 3, 64, 64)
    assert images.dtype == np.uint8
    assert features.shape == (150,)
    assert features.dtype == FACE


@pytest.mark.parametrize("count", [0, 1, 37])
def test_a_face_depends_on_its_number_and_the_seed_alone(faces: tuple[np.ndarray, np.ndarray], count: int) -> None:
    images, features = synthetic_faces(count, seed=3)
    np.testing.assert_array_equal(images, faces[0][:count])
    np.testing.assert_array_equal(features, faces[1][:count])


def test_another_seed_gives_other_faces(faces: tuple[np.ndarray, np.ndarray]) -> None:
    images, _ = synthetic_faces(20, seed=4)
    assert (images != faces[0][:20]).any(axis=(1, 2, 3)).all()


def test_no_two_faces_are_alike(faces: tuple[np.ndarray, np.ndarray]) -> None:
    pixels = faces[0].reshape(len(faces[0]), -1).astype(np.float32)
    squares = (pixels**2).sum(1)
    apart = squares[:, None] + squares - 2 * pixels @ pixels.T + 1e12 * np.eye(len(pixels))
    assert np.sqrt(apart.min() / pixels.shape[1]) > 10, "root mean square difference, of 255"


@pytest.mark.parametrize("size", [1, 8, 32, 65, 128])
def test_every_size_shows_the_same_faces(faces: tuple[np.ndarray, np.ndarray], size: int) -> None:
    images, features = synthetic_faces(8, seed=3, image_size=size)
    assert images.shape == (8, 3, size, size)
    np.testing.assert_array_equal(features, faces[1][:8])
    if size in (32, 128):
        fine, coarse = (images, faces[0][:8]) if size == 128 else (faces[0][:8], images)
        n = coarse.shape[-1]
        averaged = fine.reshape(8, 3, n, 2, n, 2).mean((3, 5))
        assert np.abs(averaged - coarse).mean() < 4


@pytest.mark.clock
def test_a_hundred_faces_are_fast() -> None:
    synthetic_faces(1)
    begin = time.perf_counter()
    synthetic_faces(100)
    assert time.perf_counter() - begin < 2, "0.15 s on a quiet machine"


@pytest.mark.parametrize("value", [-1, 2.5, "10", None])
def test_bad_arguments_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="count must be a whole number of images, 0 or more"):
        synthetic_faces(value)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seed must be a whole number, 0 or more"):
        synthetic_faces(10, value)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="image_size must be a whole number of pixels, 1 or more"):
        synthetic_faces(10, 0, value)  # type: ignore[arg-type]


# --- the features


def test_features_are_as_frequent_as_declared_and_in_range() -> None:
    features = random_features(20_000, seed=1)
    beardless = np.isin(features["hair"], [VALUES["hair"].index(style) for style in ("bob", "bun", "pigtails")])
    assert (features["beard"][beardless] == 0).all()
    for name, choices in CHOICES.items():
        declared = np.array(list(choices.values())) / sum(choices.values())
        chosen = features[name][~beardless] if name == "beard" else features[name]
        found = np.bincount(chosen, minlength=len(choices))
        assert (np.abs(found - declared * len(chosen)) < 4.5 * np.sqrt(declared * len(chosen))).all(), name
    for name, (low, high) in RANGES.items():
        low = max(low, 0) if name in ("mouth_open", "lid") else low
        assert low <= features[name].min() < low + 0.05 * (high - low), name
        assert high - 0.05 * (high - low) < features[name].max() <= high, name
    assert abs(features["smile"].mean() - 1 / 3) < 0.02
    assert abs((features["mouth_open"] == 0).mean() - 0.5) < 0.02


def test_every_hair_style_can_be_drawn_and_no_other_is_named() -> None:
    assert list(HAIR) == VALUES["hair"]


@pytest.mark.parametrize("name", ["hair", "beard", "glasses", "hat", "nose"])
def test_each_word_of_a_feature_gives_another_picture(name: str) -> None:
    pictures = [picture(**{name: word}) for word in VALUES[name]]
    for i, one in enumerate(pictures):
        assert all((one != other).any(0).sum() > 8 for other in pictures[:i]), VALUES[name][i]


@pytest.mark.parametrize("name", [name for name in CHOICES if isinstance(VALUES[name][0], tuple)])
def test_each_colour_is_seen_in_the_picture(name: str) -> None:
    for i, colour in enumerate(VALUES[name]):
        found = picture(128, hat="cap" if name == "hat_colour" else "none", hair="short", **{name: i})
        assert (np.abs(found - np.array(colour)[:, None, None]).max(0) <= 1).sum() >= 5, colour


@pytest.mark.parametrize("name", RANGES)
def test_each_number_changes_the_picture_gradually(name: str) -> None:
    low, high = RANGES[name]
    ends = [picture(**{name: value}) for value in (max(low, 0) if name == "lid" else low, high)]
    nearly = picture(**{name: high - 0.02 * (high - low)})
    assert np.abs(ends[1] - nearly).mean() < 0.3 * np.abs(ends[1] - ends[0]).mean()


def test_the_corners_of_a_smiling_mouth_are_above_its_middle() -> None:
    def height(image: np.ndarray, columns: slice) -> float:
        """Of the darkest spot below the nose."""
        grey = image.sum(0)[42:60, columns]
        return grey.min(1).argmin()

    for smile in (-0.9, -0.6, 0.6, 0.9):
        image = picture(smile=smile)
        corners, middle = height(image, slice(26, 28)), height(image, slice(31, 33))
        assert (corners < middle) == (smile > 0), smile


def test_a_face_that_looks_ahead_is_symmetric_around_the_mouth() -> None:
    mouth = picture(mouth_open=1, smile=0.5)[:, 40:54, 22:42]
    assert np.abs(mouth - mouth[:, :, ::-1]).mean() < 6  # but for the shadow


# --- shapes


@settings(max_examples=100, deadline=None)
@given(
    x=st.floats(-0.5, 0.5), y=st.floats(-0.5, 0.5), rx=st.floats(0.1, 0.4), ry=st.floats(0.1, 0.4),
    turn=st.floats(-3, 3), size=st.sampled_from([64, 99, 128]),
)  # fmt: skip
def test_an_ellipse_covers_its_area_wherever_it_lies(x: float, y: float, rx: float, ry: float, turn: float, size: int) -> None:
    canvas = Canvas(size, (0, 0, 0))
    canvas.place(x, y, turn)
    canvas.paint(ellipse(0, 0, rx, ry), (255, 255, 255))
    assert canvas.pixels[0].sum() / 255 * (2 / size) ** 2 == pytest.approx(np.pi * rx * ry, rel=0.03)


SHAPES = {
    "circle": circle(0.1, -0.2, 0.4),
    "box": ellipse(0.3, 0.2, 0.5, 0.2, square=0.7),
    "ring": circle(0.1, -0.2, 0.4).outline(0.1),
    "line": line(-0.5, 0.4, 0.7, -0.1, 0.1),
    "arc": arc(0.2, 0.3, 0.4, -0.3, 0.08, rise=0.1),
    "both": circle(0.1, -0.2, 0.4) | line(-0.5, 0.4, 0.7, -0.1, 0.1),
    "common": circle(0.1, -0.2, 0.4) & ellipse(0.3, 0.2, 0.5, 0.4),
    "upper": circle(0.1, -0.2, 0.4) & above(-0.2, 0.1, 0.5, rise=0.1),
    "lower": circle(0.1, -0.2, 0.4) & below(-0.2, 0.1, 0.5, rise=0.1),
    "bitten": circle(0.1, -0.2, 0.4) - circle(0.4, -0.2, 0.3),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_box_of_a_shape_holds_all_of_it(name: str) -> None:
    shape = SHAPES[name]
    grid = np.linspace(-1.5, 1.5, 601, dtype=np.float32)
    inside = shape.distance(grid, grid[:, None]) < 0
    left, top, right, bottom = shape.box
    assert inside.any()
    assert left - 1e-3 <= grid[inside.any(0)].min() and grid[inside.any(0)].max() <= right + 1e-3
    assert top - 1e-3 <= grid[inside.any(1)].min() and grid[inside.any(1)].max() <= bottom + 1e-3


@pytest.mark.parametrize("name", SHAPES)
def test_the_distance_to_an_edge_is_true_near_it(name: str) -> None:
    """Its slope is 1, which makes edges one pixel wide."""
    grid = np.linspace(-1.5, 1.5, 601)
    distance = SHAPES[name].distance(grid, grid[:, None])
    down, across = np.gradient(distance, grid[1] - grid[0])
    near = np.hypot(down, across)[np.abs(distance) < 0.01]
    assert np.median(np.abs(near - 1)) < 0.05


def test_two_halves_make_a_whole() -> None:
    whole = circle(0.1, -0.2, 0.4)
    cut = {"cy": -0.2, "bend": 0.1, "half": 0.5, "rise": 0.1}
    canvases = [Canvas(64, (0, 0, 0)) for _ in range(3)]
    for canvas, shape in zip(canvases, (whole, whole & above(**cut), whole & below(**cut)), strict=True):
        canvas.paint(shape, (200, 100, 50))
    assert canvases[0].pixels.sum() == pytest.approx(canvases[1].pixels.sum() + canvases[2].pixels.sum(), rel=0.01)


def test_what_is_out_of_the_picture_leaves_it_alone() -> None:
    canvas = Canvas(16, (1, 2, 3))
    for x, y in ((5, 0), (-5, 0), (0, 5), (0, -5)):
        canvas.paint(circle(x, y, 0.5), (255, 255, 255))
    canvas.paint(circle(-0.5, 0, 0.2) & circle(0.5, 0, 0.2), (255, 255, 255))
    assert (canvas.image() == np.array([1, 2, 3])[:, None, None]).all()


# --- the cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "faces"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """The calls of the generator."""
    calls = []

    def counted(count: int, seed: int, image_size: int) -> tuple[np.ndarray, np.ndarray]:
        calls.append((count, seed, image_size))
        return synthetic_faces(count, seed, image_size)

    monkeypatch.setattr(module, "synthetic_faces", counted)
    return calls


def test_faces_come_from_the_cache_the_second_time(cache: Path, drawn: list, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = load_faces(16, 5, seed=2), load_faces(16, 5, seed=2)
    assert drawn == [(5, 2, 16)]
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.features, second.features)
    assert first.source == second.source == "5 synthetic faces (seed 2)"
    assert capsys.readouterr().err == ""
    assert len(list(cache.iterdir())) == 1


def test_each_size_count_and_seed_has_its_own_place_in_the_cache(cache: Path, drawn: list) -> None:
    asked = [(16, 5, 2), (8, 5, 2), (16, 4, 2), (16, 5, 3)]
    for _ in range(2):
        for size, count, seed in asked:
            assert load_faces(size, count, seed).images.shape == (count, 3, size, size)
    assert len(drawn) == len(list(cache.iterdir())) == 4


@pytest.mark.parametrize("content", [b"", b"rubbish", "short", "float"])
def test_a_damaged_cache_is_silently_drawn_again(
    cache: Path, drawn: list, content: object, capsys: pytest.CaptureFixture[str]
) -> None:
    images = load_faces(16, 5).images
    (path,) = cache.iterdir()
    match content:
        case "short":
            write_idx(path, read_idx(path)[:-1])
        case "float":
            write_idx(path, read_idx(path).astype(np.float32))
        case bytes():
            path.write_bytes(content)
    np.testing.assert_array_equal(load_faces(16, 5).images, images)
    np.testing.assert_array_equal(read_idx(path), images)
    assert len(drawn) == 2
    assert capsys.readouterr().err == ""


def test_faces_of_an_older_generator_are_not_taken(cache: Path, drawn: list, monkeypatch: pytest.MonkeyPatch) -> None:
    load_faces(16, 5)
    monkeypatch.setattr(module, "drawn_version", lambda *_: "newer")
    load_faces(16, 5)
    assert len(drawn) == 2


def test_an_unwritable_cache_does_not_prevent_faces(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache.parent.touch()  # a file where a folder should be
    assert len(load_faces(16, 5).images) == 5
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("The synthetic faces are not cached: ") and str(cache) in line
