"""Nearest images, and nearly equal ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gans.measures import nearest as module
from gans.measures.nearest import NEARLY_EQUAL, nearest, share_nearly_equal


def noise(seed: int, n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *(shape or (1, 8, 8))), dtype=np.uint8)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 40), st.integers(1, 6), st.integers(1, 50))
def test_the_nearest_are_those_of_a_full_search_whatever_the_block(seed: int, n: int, count: int, block: int) -> None:
    images, queries = noise(seed, n + count), noise(seed + 1, 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        positions, distances = nearest(queries, images, count)
    differences = queries[:, None].astype(float) - images
    expected = np.sqrt((differences**2).mean((2, 3, 4)))
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :count], rtol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(expected, positions, 1), distances, rtol=1e-4)


def test_an_image_of_the_set_finds_itself_unless_its_position_is_given() -> None:
    images = noise(0, 1500)
    own = np.array([3, 1400])
    positions, distances = nearest(images[own], images)
    assert positions[:, 0].tolist() == own.tolist()
    assert distances.max() < 1
    positions, distances = nearest(images[own], images, own=own)
    assert not (positions[:, 0] == own).any()
    assert distances.min() > 50


def test_images_are_nearly_equal_up_to_a_root_mean_square_difference() -> None:
    image = np.full((1, 3, 16, 16), 100, np.uint8)
    assert share_nearly_equal(image, image) == 1
    assert share_nearly_equal(image + np.uint8(NEARLY_EQUAL - 1), image) == 1
    assert share_nearly_equal(image + np.uint8(NEARLY_EQUAL + 1), image) == 0
    assert share_nearly_equal(np.concatenate([image, image + np.uint8(50)]), image) == 0.5


def test_large_images_are_compared_as_averages_of_squares_of_pixels() -> None:
    image = noise(0, 1, 3, 32, 32)
    large = image.repeat(3, 2).repeat(3, 3)
    swapped = large.copy()
    swapped[:, :, ::3], swapped[:, :, 1::3] = large[:, :, 1::3], large[:, :, ::3]  # within a square
    assert nearest(swapped, large)[1][0, 0] < 1
    assert nearest(np.ascontiguousarray(large[..., ::-1]), large)[1][0, 0] > 50
