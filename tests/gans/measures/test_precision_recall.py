"""Precision and recall on sets whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from gans.measures import precision_recall as module
from gans.measures.precision_recall import precision_recall


def line(*at: float) -> np.ndarray:
    return np.array(at, float)[:, None]


def test_a_copy_has_full_precision_and_recall_and_a_distant_set_has_none() -> None:
    real = np.random.default_rng(0).standard_normal((300, 8))
    assert precision_recall(real, real) == (1, 1)
    assert precision_recall(real + 100, real) == (0, 0)


def test_the_balls_reach_to_the_kth_neighbour_and_include_their_rim() -> None:
    real = line(0, 1, 2, 10)  # with k = 1 they reach 1, 1, 1 and 8 away
    assert precision_recall(line(-1, 3.5, 17.9, 18.5), real, k=1) == (0.75, 0.75)
    assert precision_recall(line(-1.01, -1.02, 18.01, 18.02), real, k=1) == (0, 0)


def test_half_of_the_modes_generated_give_full_precision_and_half_recall() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, 200, 4)) * 0.01
    real = np.concatenate([one, other + 1000])
    generated = np.repeat(one, 2, axis=0) + rng.standard_normal((400, 4)) * 1e-3
    precision, recall = precision_recall(generated, real)
    assert precision > 0.9
    assert 0.2 < recall <= 0.5


def test_one_point_generated_again_and_again_recalls_only_itself() -> None:
    real = np.random.default_rng(0).standard_normal((100, 4))
    assert precision_recall(np.repeat(real[:1], 100, axis=0), real) == (1.0, 0.01)


def test_blocks_give_what_one_matrix_of_all_distances_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 7)
    rng = np.random.default_rng(1)
    generated, real = rng.standard_normal((60, 3)) * 1.5, rng.standard_normal((47, 3))

    def inside(points: np.ndarray, centres: np.ndarray) -> float:
        among = np.sort(np.linalg.norm(centres[:, None] - centres, axis=2), axis=1)[:, 3]  # at 0 is the centre itself
        return float((np.linalg.norm(points[:, None] - centres, axis=2) <= among).any(1).mean())

    expected = inside(generated, real), inside(real, generated)
    assert precision_recall(generated, real) == pytest.approx(expected, abs=1e-9)


def test_too_few_images_are_an_error() -> None:
    with pytest.raises(ValueError, match="too few for 3 neighbours"):
        precision_recall(line(0, 1, 2), line(0, 1, 2, 3))
