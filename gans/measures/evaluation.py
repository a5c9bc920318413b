"""All measures of a set of generated images, and the floor: the same measures of real images instead."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gans.data.images import MNIST_SIZE
from gans.measures.classifier import Classifier
from gans.measures.diversity import colour_distance, mean_similarity
from gans.measures.frechet import frechet_distance
from gans.measures.nearest import Indices, share_nearly_equal
from gans.measures.precision_recall import precision_recall
from gans.measures.predictions import STACKED_SAMPLES, class_shares, classifier_score, modes_and_kl, stacked_labels
from gans.measures.random_features import random_features
from gans.measures.stacked import StackedClassifier
from gans.measures.within_classes import Labels, within_classes

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

MOST = 10_000  # images in a set, if the data have as many and no other number is asked for; of Stacked MNIST STACKED_SAMPLES
COMPARED = 1000  # images of a set whose nearest neighbours are looked for
PAIRS = 300  # pairs of images whose similarity is averaged
MNIST_DIGEST = "000b548c0dd88b2b"  # of its training images

DESCRIPTIONS = {
    "MNIST-FD": "Frechet distance between features of a classifier of these digits; lower is better. It does not compare with "
    "the FID, which takes another network's features",
    "classifier-FD": "Frechet distance between features of a classifier of these images; lower is better",
    "random-feature-FD": "Frechet distance between features of a network with random weights, which see colours and textures "
    "but no objects; lower is better. It does not compare with the FID",
    "precision": "share of the generated images that lie among the real ones in feature space; low for bad images",
    "recall": "share of the real images that lie among the generated ones; low if variety is missing",
    "classifier score": "1 to 10: high if each image clearly shows a class and all classes occur equally often",
    "modes": "how many of Stacked MNIST's 1,000 kinds of images, 000 to 999, the classifier reads",
    "KL": "Kullback-Leibler divergence of the modes' distribution from the uniform one, in nats; lower is better",
    "rarest class": "share of the class that the classifier predicts least often; 0 if a class is missing",
    "MS-SSIM": "mean multi-scale structural similarity of random pairs; above the floor if variety is missing",
    "colour distance": "by how many of 255 levels the histograms of the colours differ; lower is better",
    "copies": "share of images that are nearly equal to a training image; above the floor if training images were memorised",
    "repeats": "share of images that are nearly equal to another of the set; above the floor if the generator repeats itself",
}
SHARES = {"precision", "recall", "rarest class", "copies", "repeats"}  # shown in percent


@dataclass(frozen=True, eq=False)
class RealImages:
    """The data of a run: training images and, if there are any, held-out ones, all uint8 (n, channels, height, width)."""

    train: Images
    test: Images | None
    source: str
    digest: str  # of the training images
    classifier: Classifier | StackedClassifier | None = None  # of the images' classes; None if these are unknown
    accuracy: float | None = None  # the share of the held-out images (of Stacked MNIST, digits) that it gets right
    labels: tuple[Labels, Labels] | None = None  # of train and test, to measure within classes; None if no run needs them

    @property
    def stacked(self) -> bool:
        """Whether they are Stacked MNIST's."""
        return self.train.shape[1:] == (3, MNIST_SIZE, MNIST_SIZE)

    @property
    def usual(self) -> int:
        """The number of images in a set if no other is asked for."""
        return min(STACKED_SAMPLES if self.stacked else MOST, self.most)

    @property
    def most(self) -> int:
        """The largest number of images that a set can have."""
        return len(self.train) // 2 if self.test is None else min(len(self.train), len(self.test))

    @property
    def most_are(self) -> str:
        """What that number of images is, in words."""
        return "half of the training images" if self.test is None else "the images held out"

    @property
    def distance(self) -> str:
        """The name of the Frechet distance."""
        if self.classifier is None:
            return "random-feature-FD"
        return "MNIST-FD" if self.digest == MNIST_DIGEST else "classifier-FD"


@dataclass(frozen=True, eq=False)
class Sample:
    """The measures of one set of images by name and, where the classes are known, the share of each class.

    For images with labels also the measures within each class.
    """

    measures: dict[str, float]
    classes: Floats | None = None
    within: dict[str, Floats] = field(default_factory=dict)


class Comparison:
    """Compares sets of `count` images with `count` real ones, the reference, which the seed draws.

    The reference is drawn from the held-out images; if there are none, from the training images. Of Stacked MNIST
    at most MOST images are compared, and the modes are those of all.
    """

    def __init__(self, real: RealImages, count: int, seed: int) -> None:
        self.real, self.seed = real, seed
        self.compared = min(count, MOST) if real.stacked else count
        order = np.random.default_rng(seed).permutation(len(real.train))
        self.own: Indices | None = None  # positions of the reference among the training images
        self.labels: Labels | None = None  # of the reference
        self.other_labels: Labels | None = None
        if real.test is None:
            self.own, others = order[:count], order[count : 2 * count]
            self.reference = real.train[self.own]
        else:
            others = order[:count]
            drawn = np.random.default_rng(seed).permutation(len(real.test))[:count]
            self.reference = real.test[drawn]
            if real.labels is not None:
                self.labels = real.labels[1][drawn]
                self.other_labels = real.labels[0][others]
        self.others = real.train[others]  # not in the reference
        self.scale: Floats | float = 1.0  # of features: random ones count by how much they vary among real images
        self.features, _ = self._seen(self.reference[: self.compared])
        if real.classifier is None:
            self.scale = 1 / np.maximum(self.features.std(0), 1e-6)
            self.features = self.features * self.scale

    def floor(self) -> Sample:
        """The measures of real images: training images that are not in the reference. For `copies`, of the reference."""
        own = None if self.own is None else self.own[:COMPARED]
        return self._measure(
            self.others, share_nearly_equal(self.reference[:COMPARED], self.real.train, own), self.other_labels
        )

    def generated(self, images: Images, labels: Labels | None = None) -> Sample:
        """The measures of `count` generated images, and of the labels that the generator got."""
        return self._measure(images, share_nearly_equal(images[:COMPARED], self.real.train), labels)

    def fidelity(self, images: Images) -> dict[str, float]:
        """The Frechet distance, precision and recall of `count` images, and of Stacked MNIST the modes: what is quick."""
        return self._fidelity(*self._seen(images))

    def _fidelity(self, features: Floats, probabilities: Floats | None) -> dict[str, float]:
        compared = features[: self.compared]
        precision, recall = precision_recall(compared, self.features)
        measures = {self.real.distance: frechet_distance(compared, self.features), "precision": precision, "recall": recall}
        if self.real.stacked and probabilities is not None:
            modes, kl = modes_and_kl(stacked_labels(probabilities.argmax(2)))
            measures |= {"modes": float(modes), "KL": kl}
        return measures

    def _measure(self, images: Images, copies: float, labels: Labels | None) -> Sample:
        features, probabilities = self._seen(images)
        repeats = share_nearly_equal(images[:COMPARED], images, np.arange(min(COMPARED, len(images))))
        measures = self._fidelity(features, probabilities)
        classes: Floats | None = None
        within: dict[str, Floats] = {}
        if probabilities is None:
            measures["MS-SSIM"] = mean_similarity(images, PAIRS, self.seed)
            measures["colour distance"] = colour_distance(images, self.reference)
        elif not self.real.stacked:
            classes = class_shares(probabilities)
            measures |= {"classifier score": classifier_score(probabilities), "rarest class": float(classes.min())}
            if labels is not None and self.labels is not None:
                read = probabilities.argmax(1)
                within = within_classes(features, read, labels, self.features, self.labels, len(classes))
        return Sample({**measures, "copies": copies, "repeats": repeats}, classes, within)

    def _seen(self, images: Images) -> tuple[Floats, Floats | None]:
        """The features of images, and their class probabilities if the classes are known; of Stacked MNIST each channel's."""
        if self.real.classifier is None:
            return random_features(images) * self.scale, None
        return self.real.classifier.measure(images)
