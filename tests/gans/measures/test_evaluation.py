"""Sets of images of known faults: each fault shows in a measure, and real images reach the floor."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gans.data.drawn.digits import synthetic_digits
from gans.data.drawn.faces import synthetic_faces
from gans.data.images import stacked
from gans.measures.classifier import Classifier, train_classifier
from gans.measures.evaluation import Comparison, RealImages
from gans.measures.stacked import StackedClassifier

COUNT = 300


@pytest.fixture(scope="module")
def digits() -> tuple[RealImages, np.ndarray]:
    """Synthetic digits with their classifier, and the labels of the training images."""
    (train, labels), (test, _) = synthetic_digits(2048, 0), synthetic_digits(400, 1)
    classifier = train_classifier(train[:, None], labels, epochs=3)
    return RealImages(train[:, None], test[:, None], "synthetic digits", "", classifier), labels


@pytest.fixture(scope="module")
def comparison(digits: tuple[RealImages, np.ndarray]) -> Comparison:
    return Comparison(digits[0], COUNT, seed=0)


@pytest.fixture(scope="module")
def floor(comparison: Comparison) -> dict[str, float]:
    return comparison.floor().measures


def test_the_classifier_of_these_tests_tells_the_digits_apart(digits: tuple[RealImages, np.ndarray]) -> None:
    real, _ = digits
    assert isinstance(real.classifier, Classifier) and real.test is not None
    _, labels = synthetic_digits(400, 1)
    assert (real.classifier.measure(real.test)[1].argmax(1) == labels).mean() > 0.9


def test_unseen_images_of_the_same_kind_reach_the_floor(comparison: Comparison, floor: dict[str, float]) -> None:
    measures = comparison.generated(synthetic_digits(COUNT, 2)[0][:, None]).measures
    assert measures["classifier-FD"] < 1.5 * floor["classifier-FD"]
    assert measures["classifier score"] > floor["classifier score"] - 0.5
    assert abs(measures["precision"] - floor["precision"]) < 0.15
    assert abs(measures["recall"] - floor["recall"]) < 0.15
    assert measures["rarest class"] > 0.04
    assert max(measures["copies"], measures["repeats"], floor["copies"], floor["repeats"]) < 0.05


def test_copies_of_training_images_show_in_the_copies_and_in_nothing_else(
    comparison: Comparison, floor: dict[str, float], digits: tuple[RealImages, np.ndarray]
) -> None:
    copied = digits[0].train[-COUNT:]
    faint = np.random.default_rng(0).integers(0, 8, copied.shape, dtype=np.uint8)
    measures = comparison.generated(np.maximum(copied, faint)).measures
    assert measures["copies"] > 0.95
    assert floor["copies"] < 0.05
    assert measures["classifier-FD"] < 1.5 * floor["classifier-FD"], "a distance of distributions does not see it"
    assert measures["recall"] > floor["recall"] - 0.15


def test_noise_has_a_large_distance_and_no_precision(comparison: Comparison, floor: dict[str, float]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, 1, 28, 28), dtype=np.uint8)
    measures = comparison.generated(noise).measures
    assert measures["classifier-FD"] > 20 * floor["classifier-FD"]
    assert measures["precision"] < 0.05 < floor["precision"]


def test_a_single_image_of_each_class_has_a_good_score_but_little_recall_and_repeats_itself(
    comparison: Comparison, floor: dict[str, float], digits: tuple[RealImages, np.ndarray]
) -> None:
    real, labels = digits
    ten = real.train[[int(np.flatnonzero(labels == digit)[0]) for digit in range(10)]]
    measures = comparison.generated(np.tile(ten, (COUNT // 10, 1, 1, 1))).measures
    assert measures["classifier score"] > 0.85 * floor["classifier score"], "it hardly sees this"
    assert measures["recall"] < 0.1 < floor["recall"]
    assert measures["repeats"] == 1
    assert measures["classifier-FD"] > 3 * floor["classifier-FD"]


def test_a_missing_class_has_a_share_of_zero(comparison: Comparison, digits: tuple[RealImages, np.ndarray]) -> None:
    real, labels = digits
    sample = comparison.generated(real.train[labels < 5][:COUNT])
    assert sample.classes is not None
    assert sample.classes[5:].sum() < 0.1 and sample.classes.sum() == pytest.approx(1)
    assert sample.measures["rarest class"] < 0.02
    assert sample.measures["classifier score"] < 6


def test_images_of_other_classes_than_their_labels_show_within_the_classes(digits: tuple[RealImages, np.ndarray]) -> None:
    real, labels = digits
    comparison = Comparison(dataclasses.replace(real, labels=(labels, synthetic_digits(400, 1)[1])), COUNT, seed=0)
    images, asked = synthetic_digits(COUNT, 2)
    right, wrong = (comparison.generated(images[:, None], given).within for given in (asked, (asked + 1) % 10))
    assert min(right["read as the class"].mean(), comparison.floor().within["read as the class"].mean()) > 0.9
    assert wrong["read as the class"].mean() < 0.1
    for measure in ("precision in the class", "recall in the class"):
        assert right[measure].mean() > 0.4 > 0.2 > wrong[measure].mean()
    assert not comparison.generated(images[:, None]).within


def test_stacked_digits_whose_second_channel_always_shows_the_same_digit_have_few_modes(
    digits: tuple[RealImages, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gans.measures.evaluation.MOST", 100)
    monkeypatch.setattr("gans.measures.evaluation.COMPARED", 20)
    monkeypatch.setattr("gans.measures.evaluation.frechet_distance", lambda *_: 0.0)  # seconds with so many features
    real, labels = digits
    assert isinstance(real.classifier, Classifier) and real.test is not None
    count, reader = 400, StackedClassifier(real.classifier)
    of_three = dataclasses.replace(
        real, train=stacked(real.train[:, 0]), test=stacked(real.test[:, 0], count), classifier=reader
    )
    comparison = Comparison(of_three, count, seed=0)
    whole, same = stacked(real.train[:, 0], count, seed=1), stacked(real.train[:, 0], count, seed=1)
    same[:, 1] = real.train[labels == 7][np.arange(count) % (labels == 7).sum(), 0]
    floor, good, bad = comparison.floor(), comparison.generated(whole), comparison.generated(same)
    assert good.classes is None and len(comparison.features) == 100
    for measures in (floor.measures, good.measures):  # of 1,000 equally frequent modes, 1 - exp(-0.4) are met
        assert 290 < measures["modes"] < 370
    assert bad.measures["modes"] < 200
    assert bad.measures["KL"] > good.measures["KL"] + 0.5
    assert bad.measures["recall"] < good.measures["recall"]


# --- images without classes

FACES = 100


@pytest.fixture(scope="module")
def faces() -> Comparison:
    """Faces without held-out images: half of them are the reference."""
    return Comparison(RealImages(synthetic_faces(2 * FACES, 0, 32)[0], None, "faces", ""), FACES, seed=0)


@pytest.fixture(scope="module")
def faces_floor(faces: Comparison) -> dict[str, float]:
    return faces.floor().measures


@pytest.fixture(autouse=True)
def few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gans.measures.evaluation.PAIRS", 30)


def test_the_halves_of_a_data_set_without_held_out_images_do_not_overlap(faces: Comparison) -> None:
    assert faces.real.most == FACES
    reference, others = ({image.tobytes() for image in images} for images in (faces.reference, faces.others))
    assert not reference & others
    assert faces.own is not None and np.array_equal(faces.real.train[faces.own], faces.reference)
    assert not np.array_equal(Comparison(faces.real, FACES, seed=1).reference, faces.reference)


def test_unseen_faces_reach_the_floor(faces: Comparison, faces_floor: dict[str, float]) -> None:
    sample = faces.generated(synthetic_faces(FACES, 1, 32)[0])
    assert sample.classes is None
    measures = sample.measures
    assert measures["random-feature-FD"] < 1.5 * faces_floor["random-feature-FD"]
    assert measures["colour distance"] < 3 * faces_floor["colour distance"]
    assert measures["MS-SSIM"] == pytest.approx(faces_floor["MS-SSIM"], abs=0.1)
    assert max(measures["copies"], faces_floor["copies"]) < 0.1


def test_copied_faces_are_found_in_both_halves(faces: Comparison) -> None:
    assert faces.generated(faces.real.train[:FACES]).measures["copies"] == 1


def test_grey_faces_differ_in_colour(faces: Comparison, faces_floor: dict[str, float]) -> None:
    grey = faces.others.mean(1, keepdims=True).astype(np.uint8).repeat(3, 1)
    assert faces.generated(grey).measures["colour distance"] > 3 * faces_floor["colour distance"]


def test_a_single_face_is_similar_to_itself_and_repeated(faces: Comparison) -> None:
    measures = faces.generated(np.repeat(faces.others[:1], FACES, axis=0)).measures
    assert measures["MS-SSIM"] == pytest.approx(1) and measures["repeats"] == 1


def test_noise_instead_of_faces_has_a_large_distance(faces: Comparison, faces_floor: dict[str, float]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (FACES, 3, 32, 32), dtype=np.uint8)
    measures = faces.generated(noise).measures
    assert measures["random-feature-FD"] > 4 * faces_floor["random-feature-FD"]
    assert measures["precision"] < 0.1
