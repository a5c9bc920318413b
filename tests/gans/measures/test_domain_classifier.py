"""The classifier of two domains, and what the report of a translation says with it."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from gans.data.unpaired import UnpairedImages
from gans.measures import domain_classifier, translation
from gans.measures.domain_classifier import looks_like_b, train_classifier_of_domains
from tests.gans.measures.test_translation import rows


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain_classifier, "STEPS", 60)


def domain(channel: int, count: int, seed: int) -> np.ndarray:
    """Noise that is brighter in one colour."""
    images = np.random.default_rng(seed).integers(0, 120, (count, 3, 16, 16), dtype=np.uint8)
    images[:, channel] += 60
    return images


DATA = UnpairedImages(domain(0, 40, 0), domain(2, 40, 1), domain(0, 20, 2), domain(2, 20, 3), "here")


def test_it_tells_unseen_images_apart_and_repeats_to_the_bit() -> None:
    state = mg.random.get_rng_state()
    networks = [train_classifier_of_domains(DATA.train_a, DATA.train_b, 12) for _ in range(2)]
    assert mg.random.get_rng_state() == state
    assert not looks_like_b(networks[0], DATA.test_a).any()
    assert looks_like_b(networks[0], DATA.test_b).all()
    for a, b in zip(*(n.state_dict().values() for n in networks), strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_sees_that_one_domain_has_slightly_different_colours() -> None:
    def palette(off: int, seed: int) -> np.ndarray:
        colours = [base + sign * off for base in (32, 96, 160, 224) for sign in (-1, 1)]  # their mean is 128
        return np.random.default_rng(seed).choice(np.array(colours, np.uint8), (40, 3, 16, 16))

    network = train_classifier_of_domains(palette(24, 0), palette(8, 1), 16)
    assert not looks_like_b(network, palette(24, 2)).any()
    assert looks_like_b(network, palette(8, 3)).all()


def test_crops_are_squares_of_the_images_and_half_of_them_are_mirrored() -> None:
    images = np.broadcast_to(np.arange(3 * 5 * 7, dtype=np.uint8).reshape(3, 5, 7), (200, 3, 5, 7))  # no value twice
    mirrored, corners = 0, set()
    for image, crop in zip(images, domain_classifier._crops(images, 4, np.random.default_rng(0)), strict=True):
        (top, left) = np.argwhere(image[0] == crop[0].min())[0]
        square = image[:, top : top + 4, left : left + 4]
        is_mirrored = (crop[:, :, 0] > crop[:, :, -1]).all()
        np.testing.assert_array_equal(crop, square[:, :, ::-1] if is_mirrored else square)
        mirrored += is_mirrored
        corners.add((top, left))
    assert 70 < mirrored < 130 and len(corners) == 2 * 4


def test_large_images_are_reduced() -> None:
    x = domain_classifier.as_inputs(np.full((1, 3, 256, 200), 255, np.uint8))
    assert x.shape == (1, 3, 85, 66)
    assert (x.numpy() == 1).all()


def test_doing_nothing_is_seen_and_a_swap_of_colours_is_a_translation() -> None:
    def found(translate: translation.Translate) -> dict:
        both = translation.directions(translate, DATA, DATA.test_a, DATA.test_b)
        return rows(translation.domains(translate, both).replace(" %", ""))

    nothing, swap = found(lambda x, _: x), found(lambda x, _: x[:, ::-1])
    for direction in ("AtoB", "BtoA"):
        assert nothing[direction, "the network"] == nothing[direction, "nothing"] == {"other domain": 0, "cycle L1": 0}
        assert swap[direction, "the network"] == {"other domain": 100, "cycle L1": 0}
    lossy = found(lambda x, _: np.maximum(x[:, ::-1], 10))
    assert lossy["AtoB", "the network"]["cycle L1"] > 0


def test_only_pairs_are_compared_with_the_truth() -> None:
    def report(paired: bool) -> str:
        data = UnpairedImages(DATA.train_a, DATA.train_b, DATA.test_a, DATA.test_b, "here", paired)
        return translation.report(lambda x, _: x, data, DATA.test_a, DATA.test_b)

    assert "PSNR" in report(True) and "PSNR" not in report(False)
    assert "gets 100.0 % of the 40 held-out images right" in report(False)
