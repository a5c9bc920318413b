"""The Frechet distance against its formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gans.measures.frechet import frechet_distance, gaussian_distance


def distribution(rng: np.random.Generator, d: int, rank: int) -> tuple[np.ndarray, np.ndarray]:
    factor = rng.standard_normal((d, rank))
    return rng.standard_normal(d), factor @ factor.T


def test_in_one_dimension_it_is_the_distance_of_means_and_of_standard_deviations() -> None:
    d = gaussian_distance(np.array([1.0]), np.array([[4.0]]), np.array([3.5]), np.array([[9.0]]))
    assert d == pytest.approx(2.5**2 + (2 - 3) ** 2)


@pytest.mark.parametrize("variances", [(1, 4, 9), (0, 4, 9), (0, 0, 0)])
def test_for_diagonal_covariances_it_is_the_sum_over_the_dimensions(variances: tuple[float, ...]) -> None:
    a, b = np.array(variances, float), np.array([0.0, 1.0, 16.0])
    d = gaussian_distance(np.zeros(3), np.diag(a), np.array([1.0, 2.0, 2.0]), np.diag(b))
    assert d == pytest.approx(9 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum())


def test_in_two_dimensions_it_equals_the_closed_form_of_the_root() -> None:
    """Of a 2 x 2 matrix M with positive eigenvalues, tr M^(1/2) = sqrt(tr M + 2 sqrt(det M))."""
    rng = np.random.default_rng(0)
    (m, c), (n, d) = distribution(rng, 2, 2), distribution(rng, 2, 2)
    root = np.sqrt(np.trace(c @ d) + 2 * np.sqrt(np.linalg.det(c @ d)))
    assert gaussian_distance(m, c, n, d) == pytest.approx(((m - n) ** 2).sum() + np.trace(c + d) - 2 * root)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(0, 12), st.integers(0, 12))
def test_it_is_zero_for_equal_distributions_and_symmetric_for_singular_covariances_too(
    seed: int, d: int, rank_a: int, rank_b: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b = distribution(rng, d, rank_a), distribution(rng, d, rank_b)
    assert gaussian_distance(*a, *a) == pytest.approx(0, abs=1e-6)
    there, back = gaussian_distance(*a, *b), gaussian_distance(*b, *a)
    assert there == pytest.approx(back, abs=1e-5)
    assert there >= ((a[0] - b[0]) ** 2).sum() - 1e-6


def test_covariances_of_separate_subspaces_have_no_common_part() -> None:
    c, d = np.diag([1.0, 1.0, 0.0, 0.0]), np.diag([0.0, 0.0, 2.0, 2.0])
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))
    c, d = rotation @ c @ rotation.T, rotation @ d @ rotation.T
    assert gaussian_distance(np.zeros(4), c, np.zeros(4), d) == pytest.approx(2 + 4, abs=1e-6)


def test_features_have_the_distance_of_their_means_and_covariances() -> None:
    a = np.random.default_rng(0).standard_normal((500, 6))
    assert frechet_distance(a, a + 2) == pytest.approx(6 * 2**2)
    assert frechet_distance(a, a * 3 - 2 * a.mean(0)) == pytest.approx(np.trace(np.cov(a.T)) * (3 - 1) ** 2)
    few = a[:4]  # fewer than dimensions
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-6)
