"""L1, PSNR and SSIM against their definitions, histogram matching, and images in few colours."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gans.measures.similarity import histogram_match, l1, nearest_colours, psnr, ssim

seeds = st.integers(0, 2**32 - 1)


def noise(seed: int, *shape: int, low: int = 0, high: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape or (2, 3, 16, 16), dtype=np.uint8)


def flat(value: int) -> np.ndarray:
    return np.full((2, 3, 16, 16), value, np.uint8)


def ssim_as_defined(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of one image, as the paper defines it: weighted moments in each window, then equation 13."""
    weight = {}
    for i in range(-5, 6):
        for j in range(-5, 6):
            weight[i, j] = math.exp(-(i * i + j * j) / (2 * 1.5**2))
    total = sum(weight.values())
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for x, y in zip(a.astype(float), b.astype(float), strict=True):
        for row in range(5, x.shape[0] - 5):
            for column in range(5, x.shape[1] - 5):
                window = [(w / total, x[row + i, column + j], y[row + i, column + j]) for (i, j), w in weight.items()]
                mean_x = sum(w * p for w, p, _ in window)
                mean_y = sum(w * q for w, _, q in window)
                var_x = sum(w * (p - mean_x) ** 2 for w, p, _ in window)
                var_y = sum(w * (q - mean_y) ** 2 for w, _, q in window)
                cov = sum(w * (p - mean_x) * (q - mean_y) for w, p, q in window)
                top = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
                values.append(top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)))
    return sum(values) / len(values)


# --- measures


@pytest.mark.parametrize("difference", [1, 10, 255])
def test_a_constant_difference_has_a_known_psnr_and_l1(difference: int) -> None:
    a, b = flat(0), flat(difference)
    np.testing.assert_allclose(psnr(a, b), [20 * math.log10(255 / difference)] * 2, atol=1e-12)
    np.testing.assert_allclose(l1(a, b), [difference] * 2)


def test_psnr_is_48_13_if_every_pixel_is_off_by_one() -> None:
    a = noise(0, high=255)
    np.testing.assert_allclose(psnr(a, a + np.uint8(1)), 48.1308, atol=1e-4)


def test_uint8_differences_do_not_overflow() -> None:
    np.testing.assert_array_equal(l1(flat(1), flat(3)), l1(flat(3), flat(1)))
    np.testing.assert_array_equal(psnr(flat(1), flat(3)), psnr(flat(3), flat(1)))


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_psnr_and_l1_equal_their_formulas(seed: int) -> None:
    a, b = noise(seed), noise(seed + 1)
    for i in range(2):
        differences = [int(x) - int(y) for x, y in zip(a[i].ravel(), b[i].ravel(), strict=True)]
        squared = sum(d * d for d in differences) / len(differences)
        assert psnr(a, b)[i] == pytest.approx(10 * math.log10(255**2 / squared))
        assert l1(a, b)[i] == pytest.approx(sum(map(abs, differences)) / len(differences))


@pytest.mark.parametrize("shape", [(3, 11, 11), (1, 13, 17), (3, 16, 12)])
def test_ssim_equals_its_definition(shape: tuple[int, ...]) -> None:
    a = noise(1, 2, *shape)
    b = np.stack([noise(2, *shape), (a[1] * 0.7 + noise(3, *shape) * 0.3).astype(np.uint8)])
    np.testing.assert_allclose(ssim(a, b), [ssim_as_defined(*pair) for pair in zip(a, b, strict=True)], atol=1e-10)


@pytest.mark.parametrize(("x", "y"), [(0, 255), (100, 120), (7, 7)])
def test_ssim_of_constant_images_only_compares_their_brightness(x: int, y: int) -> None:
    c1 = (0.01 * 255) ** 2
    np.testing.assert_allclose(ssim(flat(x), flat(y)), (2 * x * y + c1) / (x * x + y * y + c1), atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_ssim_is_symmetric_and_reaches_one_only_for_identical_images(seed: int) -> None:
    a, b = noise(seed), noise(seed + 1)
    np.testing.assert_allclose(ssim(a, a), 1)
    np.testing.assert_allclose(ssim(a, b), ssim(b, a))
    assert (ssim(a, b) < 1).all()


def test_ssim_of_a_negative_is_negative() -> None:
    a = noise(5, 2, 3, 16, 16, low=64, high=192)
    assert (ssim(a, 255 - a) < -0.5).all()


def test_identical_images_have_infinite_psnr_and_zero_l1() -> None:
    a = noise(0)
    assert (psnr(a, a) == np.inf).all() and (l1(a, a) == 0).all()


@pytest.mark.parametrize("measure", [l1, psnr, ssim])
def test_each_image_is_measured_independently(measure: Callable) -> None:
    a, b = noise(0, 3, 3, 12, 12), noise(1, 3, 3, 12, 12)
    batched = measure(a, b)
    assert batched.shape == (3,) and batched.dtype == np.float64
    np.testing.assert_array_equal(batched, np.concatenate([measure(a[i : i + 1], b[i : i + 1]) for i in range(3)]))


@pytest.mark.parametrize("measure", [l1, psnr, ssim])
def test_arrays_that_are_not_comparable_images_are_an_error(measure: Callable) -> None:
    with pytest.raises(ValueError, match=r"different shapes cannot be compared: a is \(2, 3, 16, 16\), b is \(1, 3, 16, 16\)"):
        measure(noise(0), noise(0)[:1])
    with pytest.raises(ValueError, match=r"b must be a batch of images, uint8 .* but it is float64 \(2, 3, 16, 16\)"):
        measure(noise(0), noise(0) / 255)
    with pytest.raises(ValueError, match=r"a must be a batch of images, uint8 .* but it is uint8 \(3, 16, 16\)"):
        measure(noise(0)[0], noise(0)[0])


def test_images_smaller_than_the_window_of_ssim_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"images of shape \(1, 3, 10, 64\) are smaller than its window of 11 x 11 pixels"):
        ssim(noise(0, 1, 3, 10, 64), noise(0, 1, 3, 10, 64))


# --- histogram matching


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_matching_a_domain_to_itself_changes_nothing(seed: int) -> None:
    a = noise(seed)
    np.testing.assert_array_equal(histogram_match(a, a, a), a)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_an_increasing_table_per_channel_is_recovered_from_unpaired_images(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tables = np.sort(np.stack([rng.choice(256, 100, replace=False) for _ in range(3)]), 1).astype(np.uint8)
    a = noise(seed, 4, 3, 16, 16, high=100)
    b = np.stack([tables[c][a[:, c]] for c in range(3)], 1)
    shuffled = rng.permuted(b.reshape(4, 3, -1), axis=2).reshape(b.shape)[::-1]
    np.testing.assert_array_equal(histogram_match(a, a, shuffled), b)


def test_matched_images_have_the_quantiles_of_the_other_domain() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(80, 20, (8, 3, 32, 32)).clip(0, 255).astype(np.uint8)
    b = rng.normal(160, 30, (5, 3, 24, 24)).clip(0, 255).astype(np.uint8)
    matched = histogram_match(a, a, b)
    assert matched.shape == a.shape and matched.dtype == np.uint8
    for percent in (5, 25, 50, 75, 95):
        np.testing.assert_allclose(
            np.percentile(matched, percent, axis=(0, 2, 3)), np.percentile(b, percent, axis=(0, 2, 3)), atol=2
        )


def test_the_table_is_monotonic_even_for_values_outside_the_references() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    matched = histogram_match(ramp, noise(0, 1, 1, 16, 16, low=50, high=90), noise(1, 1, 1, 16, 16, low=120, high=200))
    values = matched.ravel().astype(int)
    assert (np.diff(values) >= 0).all() and 120 <= values[0] < values[-1] < 200


def test_references_with_another_number_of_channels_are_an_error() -> None:
    with pytest.raises(ValueError, match="reference_b has 1 channels but source has 3"):
        histogram_match(noise(0), noise(0), noise(0)[:, :1])
    with pytest.raises(ValueError, match="reference_a must be a batch of images"):
        histogram_match(noise(0), noise(0) / 2, noise(0))


# --- few colours


def test_each_pixel_becomes_the_nearest_of_the_colours() -> None:
    images, colours = noise(0, 2, 3, 5, 7), noise(1, 6, 3, 1, 1)[:, :, 0, 0]
    found = nearest_colours(images, colours)
    for i, y, x in np.ndindex(2, 5, 7):
        distances = [sum((int(a) - int(b)) ** 2 for a, b in zip(images[i, :, y, x], colour, strict=True)) for colour in colours]
        np.testing.assert_array_equal(found[i, :, y, x], colours[int(np.argmin(distances))])


def test_images_in_the_colours_stay_as_they_are() -> None:
    colours = noise(1, 4, 3, 1, 1)[:, :, 0, 0]
    images = colours[np.random.default_rng(0).integers(0, 4, (2, 6, 6))].transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(nearest_colours(images, colours), images)
