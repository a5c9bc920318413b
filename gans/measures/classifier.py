"""A classifier of 28 x 28 images in ten classes, whose features and predictions measure how good generated ones are.

It is trained once for each data set, which takes three to five processor minutes, and then kept in the cache.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

import minigrad as mg
import minigrad.functional as F
from gans.data.batches import digest_of
from gans.data.cache import cache_folder
from gans.training.trainer import from_pixels
from minigrad import nn, optim, random
from minigrad.capture import Captured

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

CLASSES, FEATURES = 10, 128
EPOCHS, BATCH = 5, 128
LR, WARM_UP = 3e-3, 0.2  # the learning rate rises linearly during a fifth of the steps, then falls along half a cosine
CYCLES, LEARNED = 2, 0.1  # the epochs begin again if the last one's loss is not below this (MNIST: 0.02, Fashion-MNIST: 0.23)
SHIFT = 2  # pixels: during training, images are shifted at random by at most this
AT_ONCE = 500  # images per forward pass when measuring


class Classifier(nn.Module):
    """Images (n, 1, 28, 28) in [-1, 1] to features (n, 128) by `features`, and to logits (n, 10) by `logits` of them."""

    def __init__(self) -> None:
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, FEATURES, bias=False),
            nn.BatchNorm1d(FEATURES),
            nn.ReLU(),
        )
        self.logits = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.logits(self.features(x))

    def measure(self, images: Images) -> tuple[Floats, Floats]:
        """Features (n, 128) and class probabilities (n, 10) of images uint8 (n, 1, 28, 28), in evaluation mode."""
        self.eval()
        features, probabilities = [], []
        with mg.no_grad():
            for start in range(0, len(images), AT_ONCE):
                h = self.features(mg.Tensor(from_pixels(images[start : start + AT_ONCE])))
                features.append(h.numpy())
                probabilities.append(F.softmax(self.logits(h), axis=1).numpy())
        return np.concatenate(features).astype(np.float64), np.concatenate(probabilities).astype(np.float64)


def load_classifier(images: Images, labels: npt.NDArray[np.uint8]) -> Classifier:
    """The classifier of these training images uint8 (n, 1, 28, 28): from the cache, or trained and stored there.

    Its file is named by a hash of the data and of this source file, so that neither old code nor other data are reused.
    """
    digest = digest_of(images, labels, Path(__file__).read_bytes())
    path = cache_folder("classifiers") / f"{digest}.safetensors"
    try:
        classifier = Classifier()
        classifier.load_state_dict(mg.load(path))
        return classifier
    except (mg.FileError, ValueError):  # missing or damaged
        classifier = train_classifier(images, labels)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mg.save(path, classifier.state_dict())
    except (OSError, mg.FileError) as error:
        print(f"The classifier is not cached for the next evaluation: {error}", file=sys.stderr)
    return classifier


def train_classifier(images: Images, labels: npt.NDArray[np.uint8], epochs: int = EPOCHS) -> Classifier:
    """Train on images uint8 (n, 1, 28, 28), always with the same random numbers. The default stream is left as it was.

    Where the loss of the last epoch is not below LEARNED, a second cycle of so many epochs follows, with the same rates.
    """
    from tqdm import tqdm

    with random.seeded(0):
        classifier = Classifier()
    parameters = classifier.parameters()
    batch = min(BATCH, len(images))
    per_epoch = len(images) // batch
    steps = epochs * per_epoch
    optimizer = optim.Adam(parameters, one_cycle(LR, steps))

    def step(x: mg.Tensor, y: mg.Tensor) -> dict[str, mg.Tensor]:
        loss = F.cross_entropy(classifier(x), y)
        optimizer.step(mg.grad(loss, parameters))
        return {"loss": loss}

    captured, rng = Captured(step), np.random.default_rng(0)
    for cycle in range(CYCLES):
        what = f"training the classifier{', second cycle' if cycle else ''}"
        with tqdm(total=steps, desc=what, unit=" steps", delay=1, disable=None) as bar:
            for _ in range(epochs):
                losses, order = [], rng.permutation(len(images))
                for i in range(per_epoch):
                    chosen = order[i * batch : (i + 1) * batch]
                    x, y = from_pixels(shifted(images[chosen], rng)), labels[chosen].astype(np.int64)
                    losses.append(captured(mg.Tensor(x), mg.Tensor(y))["loss"].item())
                    bar.update()
        if np.mean(losses) < LEARNED:
            break
    return classifier


def one_cycle(lr: float, steps: int) -> optim.Rate:
    """A schedule: from 0 up to lr in a straight line, then down to 0 along half a cosine, and again every so many steps."""
    warm_up = max(1, int(WARM_UP * steps))
    down = optim.cosine_decay(lr, max(1, steps - warm_up))

    def rate(taken: int) -> float:
        taken %= steps
        return lr * (taken + 1) / warm_up if taken < warm_up else down(taken - warm_up)

    return rate


def shifted(images: Images, rng: np.random.Generator) -> Images:
    """Each image moved by up to SHIFT pixels in both directions. Pixels that come in are 0, MNIST's background."""
    n, _, height, width = images.shape
    padded = np.pad(images[:, 0], ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)))
    top, left = rng.integers(0, 2 * SHIFT + 1, (2, n, 1))
    rows, columns = top + np.arange(height), left + np.arange(width)
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]][:, None]
