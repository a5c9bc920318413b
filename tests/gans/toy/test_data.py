import numpy as np
import pytest

from gans.toy.data import DISTRIBUTIONS, grid, ring


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_density_has_the_integral_one(name):
    d = DISTRIBUTIONS[name]()
    reach = np.abs(d.centres).max() + 6 * d.sigma
    step = d.sigma / 2
    line = np.arange(-reach, reach, step)
    if d.dimensions == 1:
        total = d.density(line[:, None]).sum() * step
    else:  # each coordinate's own density, from samples on a fine grid around one centre, would be the same for all
        total = sum(d.density(np.stack([line, np.full_like(line, y)], axis=1)).sum() for y in line[:: max(1, len(line) // 400)])
        total *= step * step * max(1, len(line) // 400)
    assert total == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_samples_follow_the_density(name):
    """The mean of a smooth function over samples is its integral with the density, here known for mixtures of Gaussians."""
    d = DISTRIBUTIONS[name]()
    points = d.sample(200_000, np.random.default_rng(0))
    size = np.sqrt((d.centres**2).mean())
    exact = np.exp(-(d.sigma**2) / (2 * size**2)) * np.exp(1j * d.centres / size).mean(axis=0)
    assert np.exp(1j * points / size).mean(axis=0) == pytest.approx(exact, abs=0.01)


def test_the_ring_has_eight_different_modes_and_the_grid_25():
    assert len(np.unique(ring().centres.round(6), axis=0)) == 8
    assert np.linalg.norm(ring().centres, axis=1) == pytest.approx(1)
    assert len(np.unique(grid().centres, axis=0)) == 25 and grid().centres.max() == 4


def test_the_same_generator_gives_the_same_points():
    a, b = (ring().sample(50, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(a, b)
