import math

import numpy as np
import pytest

from gans.toy.data import grid, ring
from gans.toy.modes import FEWEST, coverage


@pytest.mark.parametrize(("real", "modes"), [(ring(), 8), (grid(), 25)])
def test_samples_of_the_data_hit_every_mode(real, modes):
    hit, good, kl = coverage(real, real.sample(2_500, np.random.default_rng(0)))
    assert (
        hit == modes and good == pytest.approx(1 - math.exp(-4.5), abs=0.01) and kl < 0.02
    )  # within 3 sigma in two dimensions


def test_a_generator_of_one_mode_is_found_out():
    assert coverage(ring(), np.repeat(ring().centres[:1], 2_500, axis=0)) == (1, 1.0, pytest.approx(math.log(8)))


def test_noise_hits_nothing():
    hit, good, _ = coverage(ring(), np.random.default_rng(0).standard_normal((2_500, 2)))
    assert hit == 0 and good < 0.02
    assert coverage(ring(), np.zeros((2_500, 2))) == (0, 0.0, math.inf)


def test_too_few_good_samples_do_not_hit_a_mode():
    few = np.concatenate([np.repeat(ring().centres[i : i + 1], n, axis=0) for i, n in ((0, FEWEST - 1), (1, FEWEST))])
    assert coverage(ring(), few).hit == 1
