"""The real images that generated ones are compared with, and the evaluation of a run while it trains."""

from __future__ import annotations

import dataclasses

from gans.data.batches import Batches, digest_of
from gans.data.cache import Bytes
from gans.data.images import MNIST_SIZE
from gans.data.mnist import load_mnist
from gans.measures.classifier import load_classifier
from gans.measures.evaluation import DESCRIPTIONS, SHARES, Comparison, RealImages
from gans.measures.precision_recall import NEIGHBOURS
from gans.training.config import ConfigError
from gans.training.evaluations import Evaluator
from gans.training.latent import LatentTrainer

Labels = tuple[Bytes, Bytes]

WHILE_TRAINING = 2000  # images in an evaluation while training: fewer than afterwards, to be quick
SEED = 0  # of their noise and of the real images, so that the curves of all runs compare


def load_real(trainer: LatentTrainer, batches: Batches | None = None) -> tuple[RealImages, Labels | None]:
    """The training images; of digits also the held-out ones, and the labels of both.

    Where they are the images of the batches, these are not loaded a second time.
    """
    if trainer.image_shape != (1, MNIST_SIZE, MNIST_SIZE):
        if batches:
            return RealImages(batches.images, None, batches.source, batches.digest), None
        images, source = trainer.load_images()
        return RealImages(images, None, source, digest_of(images)), None
    train, test = (load_mnist(trainer.config.data, split, labels=True) for split in ("train", "test"))
    assert train.labels is not None and test.labels is not None
    digest = digest_of(train.images)
    return RealImages(train.images[:, None], test.images[:, None], train.source, digest), (train.labels, test.labels)


def with_classifier(real: RealImages, labels: Labels) -> RealImages:
    """The same with the classifier of these labels of training and held-out images."""
    assert real.test is not None
    classifier = load_classifier(real.train, labels[0])
    right = classifier.measure(real.test)[1].argmax(1) == labels[1]
    return dataclasses.replace(real, classifier=classifier, accuracy=float(right.mean()))


def check_enough(real: RealImages) -> None:
    """ConfigError if there are too few real images for a comparison."""
    if real.most <= NEIGHBOURS:
        raise ConfigError(f"{real.most_are} are only {real.most}: precision and recall need more than {NEIGHBOURS}")


def evaluator_of(trainer: LatentTrainer, batches: Batches | None) -> Evaluator:
    """Measures the distribution of a trainer's images, always from the same noise. The captions have the floor."""
    real, labels = load_real(trainer, batches)
    check_enough(real)
    if labels is not None:
        real = with_classifier(real, labels)
    count = min(WHILE_TRAINING, real.most)
    comparison = Comparison(real, count, SEED)
    captions = {}
    for name, value in comparison.fidelity(comparison.others).items():
        floor = f"{100 * value:.0f} %" if name in SHARES else f"{value:.2f}"
        captions[name] = f"{DESCRIPTIONS[name]}. Of {count:,} images; for real ones it is {floor}"
    inputs = trainer.fixed_inputs(count, SEED)
    return Evaluator(captions, lambda: comparison.fidelity(trainer.generate(*inputs)))
