"""The synthetic faces: reproducible, varied, and true to their features."""

from __future__ import annotations

import numpy as np
import pytest

from gans.data.drawn.faces import CHOICES, FACE, RANGES, VALUES, draw_face, random_features, synthetic_faces


@pytest.fixture(scope="module")
def faces() -> tuple[np.ndarray, np.ndarray]:
    return synthetic_faces(150, seed=3)


def picture(size: int = 64, **changes: object) -> np.ndarray:
    """A plain face that looks straight ahead, with some features changed to a value of theirs."""
    plain = dict.fromkeys(RANGES, 0.0) | {"eye_size": 1, "eye_spacing": 1, "width": 1} | dict.fromkeys(CHOICES, 0)
    face = np.zeros(1, FACE)
    for name, value in (plain | changes).items():
        face[name] = VALUES[name].index(value) if isinstance(value, str) else value
    return draw_face(face[0], size).astype(int)


@pytest.mark.parametrize("count", [0, 1, 37])
def test_a_face_depends_only_on_its_number_and_the_seed(faces: tuple[np.ndarray, np.ndarray], count: int) -> None:
    images, features = synthetic_faces(count, seed=3)
    assert images.shape == (count, 3, 64, 64) and images.dtype == np.uint8 and features.dtype == FACE
    np.testing.assert_array_equal(images, faces[0][:count])
    np.testing.assert_array_equal(features, faces[1][:count])


def test_another_seed_gives_other_faces(faces: tuple[np.ndarray, np.ndarray]) -> None:
    assert (synthetic_faces(20, seed=4)[0] != faces[0][:20]).any(axis=(1, 2, 3)).all()


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
        assert np.abs(fine.reshape(8, 3, n, 2, n, 2).mean((3, 5)) - coarse).mean() < 4


@pytest.mark.parametrize("value", [-1, 2.5, "10", None])
def test_bad_arguments_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="image_size must be a whole number, 1 or more"):
        synthetic_faces(10, 0, value)  # type: ignore[arg-type]


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
    for smile in (-0.9, -0.6, 0.6, 0.9):
        grey = picture(smile=smile).sum(0)[42:60]
        corners, middle = (grey[:, columns].min(1).argmin() for columns in (slice(26, 28), slice(31, 33)))
        assert (corners < middle) == (smile > 0), smile


def test_a_mouth_that_looks_ahead_is_symmetric() -> None:
    mouth = picture(mouth_open=1, smile=0.5)[:, 40:54, 22:42]
    assert np.abs(mouth - mouth[:, :, ::-1]).mean() < 6  # except for the shadow
