"""The table that compares a network with baselines: no translation, histogram matching, few colours."""

from __future__ import annotations

import numpy as np
import pytest

from gans.data.unpaired import UnpairedImages
from gans.measures import similarity
from gans.measures.translation import Translate, directions, report, scores

RNG = np.random.default_rng(0)
DAY = RNG.integers(100, 256, (5, 3, 16, 16), dtype=np.uint8)
NIGHT = DAY // 2  # a lookup table gives the ground truth
DATA = UnpairedImages(DAY[:3], NIGHT[:3], DAY[3:], NIGHT[3:], "here")

Row = dict[str, float]


def rows(table: str) -> dict[tuple[str, str], Row]:
    """The rows of the table, by direction and by what translated."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")]
    names, _, *body = lines
    return {(line[0], line[1]): dict(zip(names[2:], map(float, line[2:]), strict=True)) for line in body}


def perfect(images: np.ndarray, direction: str) -> np.ndarray:
    return DATA.test_b if direction == "AtoB" else DATA.test_a


def scored(translate: Translate) -> str:
    return scores(directions(translate, DATA, DATA.test_a, DATA.test_b))


def test_both_directions_are_measured_for_the_baselines_and_the_network_with_a_caption() -> None:
    table = scored(perfect)
    assert table.startswith(
        "Translations of 2 held-out images compared with the ground truth (PSNR in dB, SSIM: higher is better; L1: lower"
    )
    assert table.endswith("|\n")
    names = ("nothing", "histogram match", "16 colours", "the network")
    assert list(rows(table)) == [(direction, name) for direction in ("AtoB", "BtoA") for name in names]


def test_a_perfect_network_has_zero_l1_and_beats_the_baselines() -> None:
    found = rows(scored(perfect))
    for direction in ("AtoB", "BtoA"):
        assert found[direction, "the network"] == {"PSNR": np.inf, "SSIM": 1, "L1": 0}
        for name in ("nothing", "histogram match", "16 colours"):
            assert found[direction, name]["PSNR"] < 100, "the baselines were fitted to other images"


def test_the_numbers_are_means_over_the_held_out_images() -> None:
    found = rows(scored(lambda images, direction: 255 - images))
    matched = similarity.histogram_match(DATA.test_b, DATA.train_b, DATA.train_a)
    for key, images, truth in (
        (("AtoB", "nothing"), DATA.test_a, DATA.test_b),
        (("AtoB", "the network"), 255 - DATA.test_a, DATA.test_b),
        (("BtoA", "histogram match"), matched, DATA.test_a),
    ):
        assert found[key]["PSNR"] == pytest.approx(similarity.psnr(images, truth).mean(), abs=0.006)
        assert found[key]["SSIM"] == pytest.approx(similarity.ssim(images, truth).mean(), abs=0.0006)
        assert found[key]["L1"] == pytest.approx(similarity.l1(images, truth).mean(), abs=0.06)


def test_histogram_matching_solves_what_a_lookup_table_can_solve() -> None:
    found = rows(scored(perfect))
    assert found["AtoB", "histogram match"]["L1"] < 0.1 * found["AtoB", "nothing"]["L1"]


def test_16_colours_are_those_of_the_other_domain() -> None:
    two = np.where(RNG.random((4, 1, 16, 16)) < 0.5, np.uint8(60), np.uint8(200)).repeat(3, axis=1)
    data = UnpairedImages(two[:2], NIGHT, two[2:], NIGHT, "here")
    _, b_to_a = directions(lambda images, direction: images, data, two[2:], NIGHT)
    nearest = np.where(NIGHT.astype(int).sum(axis=1) < 390, 60, 200)
    np.testing.assert_array_equal(b_to_a.translated["16 colours"], nearest[:, None].repeat(3, axis=1))


def test_the_network_translates_each_domain_once_in_its_direction() -> None:
    calls = []
    scored(lambda images, direction: calls.append((direction, images)) or images)
    assert [direction for direction, _ in calls] == ["AtoB", "BtoA"]
    assert calls[0][1] is DATA.test_a and calls[1][1] is DATA.test_b


def test_the_whole_report_translates_each_domain_once_there_and_once_back() -> None:
    calls = []
    paired = UnpairedImages(DAY[:3], NIGHT[:3], DAY[3:], NIGHT[3:], "here", paired=True)
    report(lambda images, direction: calls.append(direction) or images, paired, DATA.test_a, DATA.test_b)
    assert sorted(calls) == ["AtoB", "AtoB", "BtoA", "BtoA"]
