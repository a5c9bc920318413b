"""The synthetic digits: reproducible, balanced, and with the proportions of MNIST."""

from __future__ import annotations

import numpy as np
import pytest

from gans.data.drawn.digits import GLYPHS, synthetic_digits


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    return synthetic_digits(2_000, seed=3)


@pytest.mark.parametrize("count", [0, 1, 137, 1_001])
def test_a_digit_depends_only_on_its_number_and_the_seed(digits: tuple[np.ndarray, np.ndarray], count: int) -> None:
    images, labels = synthetic_digits(count, seed=3)
    assert images.shape == (count, 28, 28) and images.dtype == labels.dtype == np.uint8
    np.testing.assert_array_equal(images, digits[0][:count])
    np.testing.assert_array_equal(labels, digits[1][:count])


def test_another_seed_gives_other_digits(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = synthetic_digits(100, seed=4)
    assert (images != digits[0][:100]).any(axis=(1, 2)).all()
    assert (labels != digits[1][:100]).any()


def test_labels_are_balanced_and_shuffled_and_no_two_images_of_a_digit_are_equal(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    assert (np.bincount(labels) == 200).all()
    assert len({tuple(ten) for ten in labels.reshape(-1, 10)}) > 190
    for digit in range(10):
        assert len(np.unique(images[labels == digit], axis=0)) == 200


def test_digits_fill_a_box_of_twenty_pixels_and_are_centred_by_mass(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images = digits[0].astype(np.float64)
    extents = np.maximum((images > 0).any(axis=2).sum(axis=1), (images > 0).any(axis=1).sum(axis=1))
    assert extents.max() <= 20 and extents.min() >= 19
    for axis in (1, 2):
        centre = (images.sum(axis=3 - axis) * np.arange(28)).sum(axis=1) / images.sum(axis=(1, 2))
        # A digit whose ink lies at one side of its box reaches the border before its centre reaches the middle.
        assert np.mean(np.abs(centre - 14) <= 0.51) > 0.99
        assert np.abs(centre - 14).max() < 2


def test_ink_is_like_mnist(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    ink = np.array([images[labels == digit].mean() for digit in range(10)])
    assert 30 < images.mean() < 40, "MNIST has 33.3"
    assert ink.argmin() == 1
    assert 17 < ink[1] < 24, "MNIST has 19.4"
    assert ink.max() < 48, "MNIST has 44.2, of 0"
    assert 0.77 < np.mean(images == 0) < 0.86, "MNIST has 0.81"
    assert (images.max(axis=(1, 2)) > 200).all()


def test_every_way_of_writing_a_digit_has_room_in_its_jitter() -> None:
    assert list(GLYPHS) == list(range(10))
    for text in GLYPHS.values():
        for glyph in text.split(";"):
            assert sum(len(stroke.split()) for stroke in glyph.split(":")[1].split("|")) <= 16


@pytest.mark.parametrize("value", [-1, 2.5, "10", None])
def test_bad_arguments_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="count must be a whole number, 0 or more"):
        synthetic_digits(value)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seed must be a whole number, 0 or more"):
        synthetic_digits(10, value)  # type: ignore[arg-type]
