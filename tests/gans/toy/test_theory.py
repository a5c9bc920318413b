"""The exact values against closed forms, and one trained optimum of each kind against its exact value.

`python -m gans.toy --theory` does them all.
"""

import math
import re

import numpy as np
import pytest

import gans.toy
from gans.toy import theory
from gans.toy.losses import LOSSES
from gans.toy.theory import BUMPS, DX, apart, optimum, value
from minigrad import nn


@pytest.fixture(autouse=True)
def fewer_steps(monkeypatch):
    """Enough for normal distributions."""
    monkeypatch.setattr(theory, "STEPS", 500)


@pytest.mark.parametrize("distance", [0.5, 1.0, 2.0])
def test_divergences_of_two_normal_distributions_have_their_closed_forms(distance):
    pair = apart(distance)
    assert theory.kl(pair.p, pair.q) == pytest.approx(distance**2 / 2, rel=1e-6)
    assert theory.pearson(pair.p, pair.q) == pytest.approx(math.exp(distance**2) - 1, rel=1e-4)
    assert theory.wasserstein(pair.p, pair.q) == pytest.approx(distance, rel=1e-6)


def test_the_jensen_shannon_divergence_goes_from_0_to_log_2():
    assert theory.jsd(BUMPS.p, BUMPS.p) == 0
    far = [theory.jsd(pair.p, pair.q) for pair in (apart(6.0), apart(8.0))]
    assert far == pytest.approx([math.log(2)] * 2, abs=0.005) and far[1] < math.log(2)


def test_the_density_between_has_the_integral_one_and_the_mean_in_the_middle():
    between = theory.between_density(apart(2.0))
    assert between.sum() * DX == pytest.approx(1, abs=1e-6)
    assert (between * theory.X).sum() * DX == pytest.approx(0, abs=1e-9)


def test_the_generators_gradients_at_the_optimal_d_have_their_closed_forms():
    """log(p / q) is - distance x, so its slope is the distance; the two gradients share it as D* to 1 - D*."""
    for distance in (1.0, 5.0):
        saturating, other = theory.generator_gradients(apart(distance))
        assert saturating + other == pytest.approx(distance, rel=1e-3)
    assert saturating < 0.05 and other > 4.9


def test_the_numbers_in_the_packages_docstring_are_computed():
    rows = [
        [float(number) for number in re.split(r"\s{2,}", line.strip())[1:6]]
        for line in gans.toy.__doc__.splitlines()
        if re.match(r"\s{7}\S.*(\s{2,}\d\S*){5}", line)
    ]
    pairs = [apart(d) for d in (0.5, 1.0, 2.0, 4.0, 8.0)]
    saturating, other = zip(*map(theory.generator_gradients, pairs), strict=True)
    assert rows == [
        [0.5, 1.0, 2.0, 4.0, 8.0],
        pytest.approx([theory.jsd(pair.p, pair.q) for pair in pairs], abs=0.0005),
        pytest.approx([theory.wasserstein(pair.p, pair.q) for pair in pairs], abs=0.001),
        pytest.approx(saturating, rel=0.01),
        pytest.approx(other, rel=0.01),
    ]


FOUR = [apart(distance) for distance in (0.7, 1.6, 3.0, 4.0)]


def test_the_four_pairs_reach_from_nearly_equal_to_nearly_disjoint():
    found = [theory.jsd(pair.p, pair.q) for pair in FOUR]
    assert found == sorted(found) and 0.05 < found[0] < 0.06 and 0.63 < found[-1] < 0.65


@pytest.mark.parametrize("pair", FOUR, ids=lambda pair: pair.name)
def test_d_at_its_optimum_is_p_over_p_plus_q_and_measures_the_jensen_shannon_divergence(pair):
    scores = optimum(pair, LOSSES["gan"])
    assert value(pair, LOSSES["gan"], scores) + 2 * math.log(2) == pytest.approx(2 * theory.jsd(pair.p, pair.q), abs=0.02)
    there = pair.p + pair.q > 0.01 * (pair.p + pair.q).max()
    assert (1 / (1 + np.exp(-scores)))[there] == pytest.approx(theory.ratio(pair.p, pair.q)[there], abs=0.02)


def test_lsgan_measures_pearsons_divergence_from_the_middle():
    pair = apart(2.0)
    exact = ((pair.p - pair.q) ** 2 / (pair.p + pair.q)).sum() * DX
    assert 2 + 4 * value(pair, LOSSES["lsgan"], optimum(pair, LOSSES["lsgan"])) == pytest.approx(exact, abs=0.005)


@pytest.mark.parametrize("name", ["kl", "reverse-kl", "pearson"])
def test_f_gan_measures_its_divergence(name):
    pair = apart(1.0)
    exact = {"kl": 0.5, "reverse-kl": 0.5, "pearson": math.e - 1}[name]
    assert value(pair, LOSSES[name], optimum(pair, LOSSES[name])) == pytest.approx(exact, rel=0.02)


def test_the_clipped_critics_estimate_is_proportional_to_the_distance():
    near, far = (
        value(p, LOSSES["wgan"], optimum(p, LOSSES["wgan"], activation=theory.leaky)) for p in (apart(1.0), apart(3.0))
    )
    assert far / near == pytest.approx(3, rel=0.1)


def test_the_penalised_critics_estimate_is_the_distance_and_what_the_penalty_allows():
    pair, weight = apart(2.0), 5.0
    exact = theory.penalised_wasserstein(pair, theory.between_density(pair), weight)
    assert exact > 2.1  # so the excess is seen
    assert value(pair, LOSSES["wgan-gp"], optimum(pair, LOSSES["wgan-gp"], weight, nn.SiLU)) == pytest.approx(exact, rel=0.005)
