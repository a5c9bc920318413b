"""The table that sets a translation beside the truth, beside doing nothing and beside a table of colours."""

from __future__ import annotations

import numpy as np
import pytest

from gans.data.pairs import TwoKinds
from gans.measures import similarity
from gans.measures.translation import scores

RNG = np.random.default_rng(0)
DAY = RNG.integers(100, 256, (5, 3, 16, 16), dtype=np.uint8)
NIGHT = DAY // 2  # the truth is a table of colours
KINDS = TwoKinds(DAY[:3], NIGHT[:3], DAY[3:], NIGHT[3:], "here")

Row = dict[str, float]


def rows(table: str) -> dict[tuple[str, str], Row]:
    """What the table says, by direction and by who translated."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")]
    names, _, *body = lines
    return {(line[0], line[1]): dict(zip(names[2:], map(float, line[2:]), strict=True)) for line in body}


def perfect(images: np.ndarray, direction: str) -> np.ndarray:
    return KINDS.test_b if direction == "AtoB" else KINDS.test_a


def test_both_directions_are_measured_for_three_candidates_with_a_caption() -> None:
    table = scores(perfect, KINDS, KINDS.test_a, KINDS.test_b)
    assert table.startswith(
        "Translations of 2 held-out pictures beside the truth (PSNR in dB and SSIM: more is better; L1: less"
    )
    assert table.endswith("|\n")
    names = ("nothing", "histogram match", "the network")
    assert list(rows(table)) == [(direction, name) for direction in ("AtoB", "BtoA") for name in names]


def test_a_perfect_network_has_no_distance_and_beats_the_others() -> None:
    found = rows(scores(perfect, KINDS, KINDS.test_a, KINDS.test_b))
    for direction in ("AtoB", "BtoA"):
        assert found[direction, "the network"] == {"PSNR": np.inf, "SSIM": 1, "L1": 0}
        for name in ("nothing", "histogram match"):
            assert found[direction, name]["PSNR"] < 100, "the table of colours was fitted on other pictures"


def test_the_numbers_are_means_over_the_held_out_pictures_of_each_candidate() -> None:
    found = rows(scores(lambda images, direction: 255 - images, KINDS, KINDS.test_a, KINDS.test_b))
    matched = similarity.histogram_match(KINDS.test_b, KINDS.train_b, KINDS.train_a)
    for key, images, truth in (
        (("AtoB", "nothing"), KINDS.test_a, KINDS.test_b),
        (("AtoB", "the network"), 255 - KINDS.test_a, KINDS.test_b),
        (("BtoA", "histogram match"), matched, KINDS.test_a),
    ):
        assert found[key]["PSNR"] == pytest.approx(similarity.psnr(images, truth).mean(), abs=0.006)
        assert found[key]["SSIM"] == pytest.approx(similarity.ssim(images, truth).mean(), abs=0.0006)
        assert found[key]["L1"] == pytest.approx(similarity.l1(images, truth).mean(), abs=0.06)


def test_what_a_table_of_colours_can_do_the_histogram_match_does() -> None:
    found = rows(scores(perfect, KINDS, KINDS.test_a, KINDS.test_b))
    assert found["AtoB", "histogram match"]["L1"] < 0.1 * found["AtoB", "nothing"]["L1"]


def test_the_network_is_asked_for_each_kind_once_in_its_direction() -> None:
    asked = []
    scores(lambda images, direction: asked.append((direction, images)) or images, KINDS, KINDS.test_a, KINDS.test_b)
    assert [direction for direction, _ in asked] == ["AtoB", "BtoA"]
    assert asked[0][1] is KINDS.test_a and asked[1][1] is KINDS.test_b
