from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from gans.data.batches import Batches
from gans.data.drawn.digits import synthetic_digits
from gans.data.mnist import load_mnist
from minigrad import nn, optim

REAL = Path(__file__).parents[5] / "shared/data/mnist"


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs the real MNIST files in {REAL}")
def test_a_classifier_taught_by_synthetic_digits_reads_85_percent_of_mnist() -> None:
    mg.manual_seed(0)
    images, labels = synthetic_digits(60_000, seed=0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    adam = optim.Adam(net.parameters(), lr=1e-3)
    pictures, answers = Batches(images[:, None], 128, seed=0), Batches(labels[:, None, None, None], 128, seed=0)
    for step in range(2 * pictures.per_epoch):
        (answer,) = answers[step]  # in the same order in the same epoch
        numbers = np.rint((answer.numpy()[:, 0, 0, 0] + 1) * 127.5).astype(np.int64)
        adam.step(mg.grad(F.cross_entropy(net(*pictures[step]), mg.Tensor(numbers)), net.parameters()))
    real = load_mnist(REAL, "test", labels=True)
    with mg.no_grad():
        scores = net(mg.Tensor(real.images.astype(np.float32) / np.float32(127.5) - np.float32(1))).numpy()
    accuracy = (scores.argmax(1) == real.labels).mean()
    assert accuracy >= 0.85, f"{accuracy:.1%}"
