"""Measures of predicted classes, on predictions whose measures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gans.measures.predictions import STACKED_SAMPLES, class_shares, classifier_score, modes_and_kl, stacked_labels


def certain(*classes: int) -> np.ndarray:
    return np.eye(10)[list(classes)]


def test_the_score_is_the_number_of_classes_if_all_are_certain_and_equally_frequent() -> None:
    assert classifier_score(certain(*range(10), *range(10))) == pytest.approx(10)
    assert classifier_score(certain(0, 1, 1, 0)) == pytest.approx(2)


def test_the_score_is_1_for_one_class_and_for_predictions_that_are_all_alike() -> None:
    assert classifier_score(certain(4, 4, 4)) == pytest.approx(1)
    assert classifier_score(np.full((50, 10), 0.1)) == pytest.approx(1)


def test_the_score_equals_its_formula() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(10) * 0.3, 40)
    divergences = [sum(x * math.log(x / y) for x, y in zip(row, p.mean(0), strict=True)) for row in p]
    assert classifier_score(p) == pytest.approx(math.exp(sum(divergences) / 40))


def test_the_histogram_has_the_share_of_each_class() -> None:
    assert class_shares(certain(0, 0, 0, 9)).tolist() == [0.75, 0, 0, 0, 0, 0, 0, 0, 0, 0.25]


def test_every_mode_equally_often_is_1000_modes_and_no_divergence() -> None:
    labels = np.arange(STACKED_SAMPLES) % 1000
    assert modes_and_kl(labels) == (1000, pytest.approx(0, abs=1e-12))


@pytest.mark.parametrize("modes", [1, 10, 500])
def test_modes_equally_often_have_the_divergence_log_1000_over_modes(modes: int) -> None:
    assert modes_and_kl(np.arange(STACKED_SAMPLES) % modes) == (modes, pytest.approx(math.log(1000 / modes), abs=1e-3))


def test_the_divergence_equals_its_formula_for_uneven_modes() -> None:
    found, kl = modes_and_kl(np.array([7] * 3 + [999]))
    assert (found, kl) == (2, pytest.approx(0.75 * math.log(750) + 0.25 * math.log(250)))


def test_the_label_of_a_stack_has_the_digit_of_each_channel() -> None:
    assert stacked_labels(np.array([[1, 2, 3], [0, 0, 9], [9, 9, 9]])).tolist() == [123, 9, 999]
