"""The real images that generated ones are compared with, and the evaluation of a run while it trains."""

from __future__ import annotations

import dataclasses

from gans.data.batches import Batches, digest_of
from gans.data.cache import Bytes
from gans.data.images import MNIST_SIZE, stacked
from gans.data.mnist import SPLITS, Digits, load_mnist
from gans.measures.classifier import load_classifier
from gans.measures.evaluation import DESCRIPTIONS, SHARES, Comparison, RealImages
from gans.measures.precision_recall import NEIGHBOURS
from gans.measures.predictions import STACKED_SAMPLES
from gans.measures.stacked import StackedClassifier
from gans.training.config import ConfigError
from gans.training.evaluations import Evaluator
from gans.training.latent import LatentTrainer

SplitDigits = tuple[Digits, Digits]  # for training, and held out

WHILE_TRAINING = 2000  # images in an evaluation while training: fewer than afterwards, to be quick
SEED = 0  # of their noise and of the real images, so that the curves of all runs compare


def load_real(trainer: LatentTrainer, batches: Batches | None = None) -> tuple[RealImages, SplitDigits | None]:
    """The training images; of digits also the held-out ones, and the digits with labels of which they are made.

    Where they are the images of the batches, these are not loaded a second time.
    """
    channels, *size = trainer.image_shape
    digits = _load_digits(trainer.config.data) if size == [MNIST_SIZE, MNIST_SIZE] else None
    if digits and channels == 1:
        train, test = digits
        return RealImages(train.images[:, None], test.images[:, None], train.source, digest_of(train.images)), digits
    if batches:
        real = RealImages(batches.images, None, batches.source, batches.digest)
    else:
        images, source = trainer.load_images()
        real = RealImages(images, None, source, digest_of(images))
    if digits:
        real = dataclasses.replace(real, test=stacked(digits[1].images, STACKED_SAMPLES))
    return real, digits


def _load_digits(data: str | None) -> SplitDigits:
    train, test = (load_mnist(data, split, labels=True) for split in SPLITS)
    return train, test


def with_classifier(real: RealImages, digits: SplitDigits) -> RealImages:
    """The same with a classifier, which learns the digits for training, and whose accuracy is that on those held out."""
    (images, labels), (test, test_labels) = map(labelled, digits)
    classifier = load_classifier(images, labels)
    right = classifier.measure(test)[1].argmax(1) == test_labels
    reader = StackedClassifier(classifier) if real.stacked else classifier
    return dataclasses.replace(real, classifier=reader, accuracy=float(right.mean()))


def labelled(digits: Digits) -> tuple[Bytes, Bytes]:
    """The images uint8 (n, 1, 28, 28) of digits that have labels, and the labels."""
    assert digits.labels is not None
    return digits.images[:, None], digits.labels


def check_enough(real: RealImages) -> None:
    """ConfigError if there are too few real images for a comparison."""
    if real.most <= NEIGHBOURS:
        raise ConfigError(f"{real.most_are} are only {real.most}: precision and recall need more than {NEIGHBOURS}")


def evaluator_of(trainer: LatentTrainer, batches: Batches | None) -> Evaluator:
    """Measures the distribution of a trainer's images, always from the same noise. The captions have the floor."""
    real, digits = load_real(trainer, batches)
    check_enough(real)
    if digits:
        real = with_classifier(real, digits)
    count = min(WHILE_TRAINING, real.most)
    comparison = Comparison(real, count, SEED)
    captions = {}
    for name, value in comparison.fidelity(comparison.others).items():
        floor = f"{100 * value:.0f} %" if name in SHARES else f"{value:.4g}"
        captions[name] = f"{DESCRIPTIONS[name]}. Of {count:,} images; for real ones it is {floor}"
    inputs = trainer.fixed_inputs(count, SEED)
    return Evaluator(captions, lambda: comparison.fidelity(trainer.generate(*inputs)))
