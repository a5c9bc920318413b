"""A classifier of Stacked MNIST's images, which have a digit in each colour channel."""

from __future__ import annotations

import numpy as np

from gans.measures.classifier import Classifier, Floats, Images


class StackedClassifier:
    """Reads each channel with a classifier of digits."""

    def __init__(self, of_digits: Classifier) -> None:
        self.of_digits = of_digits

    def measure(self, images: Images) -> tuple[Floats, Floats]:
        """Features (n, 3 x 128) and class probabilities (n, 3, 10) of images uint8 (n, 3, 28, 28)."""
        n, channels, height, width = images.shape
        features, probabilities = self.of_digits.measure(images.reshape(n * channels, 1, height, width))
        return features.reshape(n, -1), np.reshape(probabilities, (n, channels, -1))
