"""The synthetic digits: reproducible, balanced, and with the proportions of MNIST."""

import gzip
import time
from pathlib import Path

import numpy as np
import pytest

from gans.data.drawn.digit_strokes import GLYPHS, pack_glyphs
from gans.data.drawn.digits import synthetic_digits


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    return synthetic_digits(5_000, seed=3)


def test_shapes_and_types(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    assert images.shape == (5_000, 28, 28)
    assert images.dtype == np.uint8
    assert labels.shape == (5_000,)
    assert labels.dtype == np.uint8
    assert (images.max(axis=(1, 2)) > 200).all(), "every picture has bright ink"


def test_same_seed_same_digits(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = synthetic_digits(5_000, seed=3)
    np.testing.assert_array_equal(images, digits[0])
    np.testing.assert_array_equal(labels, digits[1])


def test_other_seed_other_digits(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = synthetic_digits(100, seed=4)
    assert (images != digits[0][:100]).any(axis=(1, 2)).all()
    assert (labels != digits[1][:100]).any()


@pytest.mark.parametrize("count", [1, 9, 137, 2_001])
def test_an_image_does_not_depend_on_count(digits: tuple[np.ndarray, np.ndarray], count: int) -> None:
    images, labels = synthetic_digits(count, seed=3)
    np.testing.assert_array_equal(images, digits[0][:count])
    np.testing.assert_array_equal(labels, digits[1][:count])


@pytest.mark.parametrize(("threads", "chunk"), [(1, 10_000), (3, 77)])
def test_an_image_does_not_depend_on_threads(
    digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch, threads: int, chunk: int
) -> None:
    monkeypatch.setattr("gans.data.drawn.digits.THREADS", threads)
    monkeypatch.setattr("gans.data.drawn.digits.CHUNK", chunk)
    np.testing.assert_array_equal(synthetic_digits(5_000, seed=3)[0], digits[0])


def test_labels_are_balanced_and_shuffled(digits: tuple[np.ndarray, np.ndarray]) -> None:
    labels = digits[1]
    assert (np.bincount(labels) == 500).all()
    assert len({tuple(ten) for ten in labels.reshape(-1, 10)}) > 490
    counts = np.bincount(synthetic_digits(1_003)[1])
    assert counts.max() - counts.min() <= 1


def test_two_images_of_a_class_differ(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    for digit in range(10):
        assert len(np.unique(images[labels == digit], axis=0)) == 500


def test_every_digit_fills_a_box_of_twenty_pixels(digits: tuple[np.ndarray, np.ndarray]) -> None:
    inked = digits[0] > 0
    heights = inked.any(axis=2).sum(axis=1)
    widths = inked.any(axis=1).sum(axis=1)
    assert np.maximum(heights, widths).max() <= 20
    assert np.maximum(heights, widths).min() >= 19


def test_centre_of_mass_is_the_middle(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images = digits[0].astype(np.float64)
    mass = images.sum(axis=(1, 2))
    for axis in (1, 2):
        centre = (images.sum(axis=3 - axis) * np.arange(28)).sum(axis=1) / mass
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


def test_ink_is_like_the_real_mnist(digits: tuple[np.ndarray, np.ndarray]) -> None:
    folder = Path(__file__).parents[5] / "shared/data/mnist"
    if not folder.is_dir():
        pytest.skip("no real MNIST here")
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as file:
        real = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    # The mean pictures of both sets agree, and so does the spread of the ink from picture to picture.
    assert np.corrcoef(real.mean(axis=0).ravel(), digits[0].mean(axis=0).ravel())[0, 1] > 0.95
    assert abs(real.mean(axis=(1, 2)).std() / digits[0].mean(axis=(1, 2)).std() - 1) < 0.25


@pytest.mark.clock
def test_a_thousand_images_are_fast(digits: tuple[np.ndarray, np.ndarray]) -> None:
    begin = time.perf_counter()  # compiled already, for the fixture
    synthetic_digits(1_000)
    assert time.perf_counter() - begin < 2


def test_no_images() -> None:
    images, labels = synthetic_digits(0)
    assert images.shape == (0, 28, 28)
    assert images.dtype == np.uint8
    assert labels.shape == (0,)
    assert labels.dtype == np.uint8


@pytest.mark.parametrize("count", [-1, 2.5, "10", None])
def test_a_bad_count_is_refused(count: object) -> None:
    with pytest.raises(ValueError, match="count must be a whole number of images, 0 or more"):
        synthetic_digits(count)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_a_bad_seed_is_refused(seed: object) -> None:
    with pytest.raises(ValueError, match="seed must be a whole number, 0 or more"):
        synthetic_digits(10, seed)  # type: ignore[arg-type]


def test_glyphs_are_packed_in_the_order_of_the_digits() -> None:
    points, starts, first, edges = pack_glyphs()
    assert list(GLYPHS) == list(range(10))
    assert points.shape == (first[-1], 2)
    assert starts.shape == (first[-1],)
    assert starts[first[:-1]].all()
    assert len(edges) == len(first) - 1
    assert (np.diff(edges) > 0).all()
    glyph_counts = np.cumsum([len(glyphs) for glyphs in GLYPHS.values()])
    np.testing.assert_allclose(edges[glyph_counts - 1], np.arange(1, 11))
