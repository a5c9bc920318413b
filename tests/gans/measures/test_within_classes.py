"""Measures within classes see a class that is not drawn, and a class of which one image is repeated."""

from __future__ import annotations

import numpy as np
import pytest

from gans.measures.within_classes import within_classes

EACH, CLASSES = 40, 3
LABELS = np.repeat(np.arange(CLASSES), EACH)


def features(rng: np.random.Generator) -> np.ndarray:
    """Each class is a cloud of its own."""
    return 100 * LABELS[:, None] + rng.standard_normal((len(LABELS), 4))


def test_each_fault_shows_in_its_class_and_its_measure() -> None:
    rng = np.random.default_rng(0)
    real, generated, read = features(rng), features(rng), LABELS.copy()
    generated[LABELS == 1] = generated[EACH]  # one image again and again
    generated[LABELS == 2] -= 100  # good images of another class
    read[LABELS == 2] = 1
    measures = within_classes(generated, read, LABELS, real, LABELS, CLASSES)
    assert measures["read as the class"].tolist() == [1, 1, 0]
    assert measures["precision in the class"] == pytest.approx([0.8, 1, 0], abs=0.2)
    assert measures["recall in the class"][0] > 0.6 and measures["recall in the class"][1:].max() < 0.1


def test_a_class_with_too_few_images_has_no_number() -> None:
    rng = np.random.default_rng(0)
    kept = np.flatnonzero((LABELS != 1) | (np.arange(len(LABELS)) < EACH + 3))
    some = features(rng)
    measures = within_classes(some, LABELS, LABELS, some[kept], LABELS[kept], CLASSES)
    for values in measures.values():
        assert np.isnan(values).tolist() == [False, True, False]
