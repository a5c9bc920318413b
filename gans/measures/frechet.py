"""The Frechet distance between two sets of features, as between two normal distributions.

    d^2 = |m - n|^2 + tr(C + D - 2 (C D)^(1/2))

for means m, n and covariances C, D. It is 0 only for equal means and covariances. Samples of one distribution have
a distance above 0, the larger the fewer they are, so compare distances of equally large samples only.

Source: Dowson and Landau, "The Frechet distance between multivariate normal distributions" (1982); as a measure of
GANs, with the features of an Inception network: Heusel et al., "GANs trained by a two time-scale update rule
converge to a local Nash equilibrium", NeurIPS 2017.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def frechet_distance(a: Floats, b: Floats) -> float:
    """The squared distance d^2 between features (n, d) and (m, d), which is what is published as FID for Inception's."""
    return gaussian_distance(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))


def gaussian_distance(mean_a: Floats, cov_a: Floats, mean_b: Floats, cov_b: Floats) -> float:
    """d^2 between normal distributions with means (d,) and covariances (d, d), which may be singular.

    tr (C D)^(1/2) is computed as the sum of the singular values of C^(1/2) D^(1/2): their squares are the eigenvalues of
    C D. (Roots of computed eigenvalues would turn rounding errors of 1e-16 into 1e-8.)
    """
    root_a, root_b = _square_root(cov_a), _square_root(cov_b)
    difference = mean_a - mean_b
    common = np.linalg.svd(root_a @ root_b, compute_uv=False).sum()
    return float(difference @ difference + (root_a**2).sum() + (root_b**2).sum() - 2 * common)


def _square_root(covariance: Floats) -> Floats:
    """The symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T  # rounding can make the eigenvalue 0 slightly negative
