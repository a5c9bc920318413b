"""MS-SSIM against its formula, SSIM against scikit-image's, and the distance of colours."""

from __future__ import annotations

import numpy as np
import pytest

from gans.measures.diversity import colour_distance, mean_similarity, multi_scale_ssim
from gans.measures.similarity import ssim, ssim_terms


def scenes(seed: int, n: int, side: int) -> np.ndarray:
    """Smooth images, which differ less and less at coarser scales."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 3, side // 8, side // 8), dtype=np.uint8)
    return coarse.repeat(8, 2).repeat(8, 3)


def noisy(images: np.ndarray, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 20, images.shape)
    return (images + noise).clip(0, 255).astype(np.uint8)


def test_ssim_equals_that_of_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="needs scikit-image")
    a = scenes(0, 3, 40)
    b = noisy(a)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255, "channel_axis": 0}
    expected = [metrics.structural_similarity(x, y, **settings) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(ssim(a, b), expected, atol=1e-6)


def test_with_room_for_one_scale_it_is_ssim_of_each_channel() -> None:
    a = scenes(0, 3, 16)
    np.testing.assert_allclose(multi_scale_ssim(a, noisy(a)), ssim(a, noisy(a)))


def test_with_two_scales_it_is_the_product_of_weighted_terms() -> None:
    a = scenes(0, 1, 32)[:, :1]
    b = noisy(a)
    half_a, half_b = (x[0].reshape(1, 16, 2, 16, 2).mean((2, 4)) for x in (a, b))
    fine, coarse = 0.0448 / (0.0448 + 0.2856), 0.2856 / (0.0448 + 0.2856)
    _, structure = ssim_terms(a[0].astype(float), b[0].astype(float))
    expected = structure.mean() ** fine * np.multiply(*ssim_terms(half_a, half_b)).mean() ** coarse
    assert multi_scale_ssim(a, b)[0] == pytest.approx(expected)


def test_with_176_pixels_all_five_scales_are_used_with_the_papers_weights() -> None:
    a = scenes(0, 1, 176)
    assert 0 < multi_scale_ssim(a, noisy(a))[0] < 1
    assert multi_scale_ssim(a, a)[0] == 1
    assert multi_scale_ssim(a, noisy(a))[0] > ssim(a, noisy(a))[0], "noise of single pixels vanishes at coarse scales"


def test_opposite_images_have_no_similarity_and_no_nan() -> None:
    a = scenes(0, 2, 64)
    assert multi_scale_ssim(a, 255 - a).tolist() == [0, 0]


def test_equal_images_are_similar_and_different_ones_are_not() -> None:
    assert mean_similarity(np.repeat(scenes(0, 1, 64), 5, axis=0), 20, seed=0) == pytest.approx(1)
    assert mean_similarity(scenes(0, 40, 64), 20, seed=0) < 0.3


def test_pairs_never_join_an_image_with_itself() -> None:
    assert mean_similarity(np.stack([scenes(0, 1, 64)[0], 255 - scenes(0, 1, 64)[0]]), 50, seed=0) == 0


def test_a_shift_of_all_levels_is_the_distance_of_colours() -> None:
    a = np.random.default_rng(0).integers(0, 200, (5, 3, 8, 8), dtype=np.uint8)
    assert colour_distance(a, a) == 0
    assert colour_distance(a, a + np.uint8(30)) == pytest.approx(30)
    one_channel = a.copy()
    one_channel[:, 1] += 30
    assert colour_distance(a, one_channel) == pytest.approx(10)
    assert colour_distance(a, a[::-1]) == 0, "which image has the colours does not matter"
