"""The classifier: it learns, always to the same bits, and comes from the cache if nothing has changed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import gans
import minigrad as mg
from gans.data.cache import cache_folder
from gans.data.drawn.digits import synthetic_digits
from gans.data.mnist import load_mnist
from gans.measures import classifier as module
from gans.measures.classifier import SHIFT, Classifier, load_classifier, one_cycle, shifted, train_classifier

REAL_MNIST = Path(gans.__file__).parents[2] / "shared" / "data" / "mnist"
FASHION_MNIST = Path(os.environ.get("FASHION_MNIST", "FASHION_MNIST"))  # a folder with its four files


def trained(images: np.ndarray, labels: np.ndarray, epochs: int = 1) -> dict[str, np.ndarray]:
    return {name: a.copy() for name, a in train_classifier(images, labels, epochs).state_dict().items()}


def equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture
def few() -> tuple[np.ndarray, np.ndarray]:
    images, labels = synthetic_digits(256, 0)
    return images[:, None], labels


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each step of a training has taken so far."""
    sizes: list[int] = []
    monkeypatch.setattr(module, "shifted", lambda images, rng: sizes.append(len(images)) or shifted(images, rng))
    return sizes


def test_training_repeats_to_the_bit_and_leaves_the_random_stream_alone(few: tuple[np.ndarray, np.ndarray]) -> None:
    mg.manual_seed(5)
    first = trained(*few)
    noise = mg.randn((4,)).numpy()
    second = trained(*few)
    assert equal(first, second)
    mg.manual_seed(5)
    assert np.array_equal(noise, mg.randn((4,)).numpy())


def test_a_second_cycle_teaches_the_network_what_the_first_has_not(
    few: tuple[np.ndarray, np.ndarray], batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEARNED", np.inf)
    one = trained(*few)
    assert batches == [128] * 2
    monkeypatch.setattr(module, "LEARNED", 0)
    two = trained(*few)
    assert batches == [128] * (2 + 4)
    assert not np.allclose(one["logits.weight"], two["logits.weight"], rtol=0, atol=1e-3)  # the rate has risen again


@pytest.mark.parametrize(("last_epoch", "steps"), [([0.15, 0.03], 4), ([0.3, 0.0], 8)])
def test_the_mean_loss_of_the_last_epoch_decides(
    last_epoch: list[float], steps: int, few: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([9.0, 9.0, *last_epoch] * 2)
    monkeypatch.setattr(module, "Captured", lambda step: lambda x, y: {"loss": mg.Tensor(next(losses))})
    train_classifier(*few, epochs=2)
    assert 8 - len(list(losses)) == steps


def test_the_cache_is_used_for_equal_data_only_and_a_damaged_file_is_replaced(
    few: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = []

    def stub(images: np.ndarray, labels: np.ndarray) -> Classifier:
        trainings.append(len(images))
        return Classifier()

    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "train_classifier", stub)
    images, labels = few
    first = load_classifier(images, labels)
    again = load_classifier(images, labels)
    assert trainings == [256]
    assert equal(first.state_dict(), again.state_dict())
    load_classifier(images, labels[::-1].copy())
    load_classifier(images[:200], labels[:200])
    assert trainings == [256, 256, 200]
    for path in cache_folder("classifiers").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    load_classifier(images, labels)
    assert trainings == [256, 256, 200, 256]


def test_a_cache_that_cannot_be_written_is_reported_and_the_classifier_still_returned(
    few: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(module, "train_classifier", lambda images, labels: Classifier())
    assert isinstance(load_classifier(*few), Classifier)
    assert capsys.readouterr().err.startswith("The classifier is not cached for the next evaluation: ")


def test_each_image_is_shifted_by_its_own_number_of_pixels_and_zeros_come_in() -> None:
    images = np.zeros((500, 1, 28, 28), np.uint8)
    images[:, 0, 10, 12] = 255
    moved = shifted(images, np.random.default_rng(0))
    assert moved.shape == images.shape and moved.sum() == images.sum()
    n, _, rows, columns = np.nonzero(moved)
    assert n.tolist() == list(range(500))
    assert set(rows - 10) == set(columns - 12) == set(range(-SHIFT, SHIFT + 1))
    images[:] = 1
    assert not shifted(images, np.random.default_rng(0)).all()


def test_the_learning_rate_rises_in_a_straight_line_and_falls_to_zero_in_each_cycle() -> None:
    lr = one_cycle(1.0, 100)
    assert [lr(t) for t in (0, 9, 19)] == pytest.approx([0.05, 0.5, 1.0])
    falling = [lr(t) for t in range(20, 100)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == 1 and falling[40] == pytest.approx(0.5) and 0 < falling[-1] < 1e-3
    assert [lr(t) for t in range(100, 200)] == [lr(t) for t in range(100)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("data", "cycles", "right"), [(REAL_MNIST, 1, 0.992), (FASHION_MNIST, 2, 0.92)], ids=["digits", "clothes"]
)
def test_it_gets_992_of_1000_digits_and_92_of_100_clothes_right(
    data: Path, cycles: int, right: float, batches: list[int]
) -> None:
    if not data.exists():
        pytest.skip(f"needs {data}; for the clothes, FASHION_MNIST=DIR")
    train, test = (load_mnist(data, split, labels=True) for split in ("train", "test"))
    assert train.labels is not None
    _, probabilities = train_classifier(train.images[:, None], train.labels).measure(test.images[:, None])
    assert len(batches) == cycles * 5 * 468
    assert (probabilities.argmax(1) == test.labels).mean() >= right
