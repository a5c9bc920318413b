"""Distorted batches: positions that an image's pixels come from, and the values there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from gans.data import distorted
from gans.data.batches import Batches
from gans.data.distorted import DistortedBatches, affine_positions, bilinear, elastic_shifts

LIMITS = ("TURN", "SCALE", "SHEAR", "SHIFT", "STRENGTH")


def batches(seed: int = 0, count: int = 6, **more: int) -> DistortedBatches:
    images = np.random.default_rng(5).integers(0, 256, (count, 2, 9, 7), dtype=np.uint8)
    return DistortedBatches(images, batch_size=3, seed=seed, **more)


def only(monkeypatch: pytest.MonkeyPatch, **limits: float) -> None:
    """Set these limits of the distortions, and the others to 0."""
    for name in LIMITS:
        monkeypatch.setattr(distorted, name, limits.get(name, 0))


@given(st.integers(1, 4), st.integers(1, 8), st.integers(1, 8), st.integers(1, 3), st.integers(0, 2**32))
def test_values_between_pixels_are_those_of_scipys_linear_interpolation(n: int, h: int, w: int, c: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, h, w, c), dtype=np.uint8)
    positions = rng.uniform(-3, 3 + max(h, w), (n, 2, 4, 5))  # some of them outside
    got = bilinear(images, positions)
    for i, k in np.ndindex(n, c):
        expected = ndimage.map_coordinates(images[i, :, :, k].astype(float), positions[i], order=1, mode="nearest")
        np.testing.assert_allclose(got[i, :, :, k], expected, atol=1e-9)


def test_limits_of_zero_leave_every_image_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)
    stream = batches()
    plain = Batches(stream.images, 3, 0)
    for step in range(4):
        np.testing.assert_allclose(stream[step][0].numpy(), plain[step][0].numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "limit", "farthest"),
    [("SHIFT", 2, 2 * 2**0.5), ("TURN", 15, 5 * 2 * np.sin(np.deg2rad(7.5))), ("SHEAR", 0.25, 0.25 * 4), ("SCALE", 0.2, 5 / 4)],
)
def test_each_limit_bounds_how_far_a_pixel_moves(
    name: str, limit: float, farthest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an image of 9 x 7 pixels, whose corners are 5 pixels from the centre."""
    only(monkeypatch, **{name: limit})
    positions = affine_positions(np.random.default_rng(0), 2000, 9, 7)
    moved = np.linalg.norm(positions - np.indices((9, 7)), axis=1)
    assert 0.95 * farthest < moved.max() <= farthest + 1e-9
    if name != "SHIFT":
        assert moved[:, 4, 3].max() < 1e-9  # the centre stays


def test_a_turn_keeps_distances_from_the_centre(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, TURN=90)
    positions = affine_positions(np.random.default_rng(0), 50, 9, 7)
    centre = np.array([4.0, 3.0])[:, None, None]
    before, after = (np.linalg.norm(p - centre, axis=-3) for p in (np.indices((9, 7)), positions))
    np.testing.assert_allclose(after, np.broadcast_to(before, after.shape), atol=1e-9)


def test_elastic_shifts_are_smooth_and_of_about_a_pixel() -> None:
    shifts = elastic_shifts(np.random.default_rng(0), 200, 28, 28)
    inside = shifts[:, :, 8:20, 8:20]  # at the border fewer numbers are averaged
    assert abs(shifts.mean()) < 0.05
    noise = distorted.STRENGTH / 3**0.5
    assert inside.std() == pytest.approx(noise / (2 * np.pi**0.5 * distorted.SMOOTH), rel=0.1)
    assert np.diff(inside, axis=2).std() < 0.3 * inside.std()


def test_a_batch_depends_on_the_seed_and_the_step_alone() -> None:
    stream = batches()
    forward = [stream[step][0].numpy() for step in range(4)]
    backward = [stream[step][0].numpy() for step in (3, 2, 1, 0)][::-1]
    np.testing.assert_array_equal(forward, backward)
    assert not np.array_equal(batches(seed=1)[0][0].numpy(), forward[0])


def test_an_image_is_distorted_in_another_way_each_time() -> None:
    stream = batches(count=3)
    first, second = (np.sort(stream[step][0].numpy().reshape(3, -1).sum(1)) for step in (0, 1))
    assert np.abs(first - second).min() > 1e-3


def test_values_stay_in_range_in_the_dtype_that_was_asked_for() -> None:
    (batch,) = DistortedBatches(batches().images, 3, 0, "numpy", np.float64)[0]
    assert batch.dtype == np.float64 and batch.shape == (3, 2, 9, 7)
    assert -1 <= batch.numpy().min() < batch.numpy().max() <= 1
