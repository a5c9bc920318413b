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

    tr (C D)^(1/2) is computed as tr (C^(1/2) D C^(1/2))^(1/2): these matrices are symmetric, and have the same
    eigenvalues as C D.
    """
    values, vectors = np.linalg.eigh(np.atleast_2d(cov_a))
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T  # rounding can make the eigenvalue 0 slightly negative
    product = np.linalg.eigvalsh(root @ np.atleast_2d(cov_b) @ root)
    difference = mean_a - mean_b
    return float(
        difference @ difference + np.trace(root @ root) + np.trace(np.atleast_2d(cov_b)) - 2 * np.sqrt(product.clip(0)).sum()
    )
