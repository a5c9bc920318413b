"""The networks of the semi-supervised GAN, for grey images of 28 x 28."""

from __future__ import annotations

import minigrad as mg
from minigrad import nn


class Classifier(nn.Module):
    """Images (n, 1, 28, 28) to features (n, 128) by `features`, and to logits (n, classes) by `logits` of them.

    Without batch normalisation: labelled, other and generated images pass through it together.

    Parameters
    ----------
    classes : number of classes
    dropout : probability of each activation to become 0 in training; half of it between convolutions
    """

    def __init__(self, classes: int, dropout: float) -> None:
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 5, 1, 2), nn.LeakyReLU(0.2), nn.MaxPool2d(2), nn.Dropout(dropout / 2),
            nn.Conv2d(16, 32, 5, 1, 2), nn.LeakyReLU(0.2), nn.MaxPool2d(2), nn.Dropout(dropout / 2),
            nn.Conv2d(32, 64, 3, 1, 1), nn.LeakyReLU(0.2), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(dropout),
            nn.Linear(64 * 3 * 3, 128), nn.LeakyReLU(0.2), nn.Dropout(dropout),
        )  # fmt: skip
        self.logits = nn.Linear(128, classes)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.logits(self.features(x))


def dense_generator(latent_size: int) -> nn.Sequential:
    """Latent vectors (n, latent_size) to images (n, 1, 28, 28) in (-1, 1): the paper's, with tanh for images in [-1, 1]."""
    return nn.Sequential(
        nn.Linear(latent_size, 500, bias=False), nn.BatchNorm1d(500), nn.Softplus(),
        nn.Linear(500, 500, bias=False), nn.BatchNorm1d(500), nn.Softplus(),
        nn.Linear(500, 784), nn.Tanh(), nn.Reshape(1, 28, 28),
    )  # fmt: skip
