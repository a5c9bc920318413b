"""The semi-supervised GAN: its losses, the labels it may see, and the test errors that a run reports."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from gans.data.drawn.digits import synthetic_digits
from gans.data.errors import DataError
from gans.data.idx import write_idx
from gans.data.labelled import some_of_each
from gans.measures import few_labels
from gans.ssgan import SSGAN, Config
from gans.training.cli import main
from tests.gans.conftest import Ended, run_here, state

pytestmark = pytest.mark.usefixtures("plots_stubbed")

Command = Callable[..., Ended]


@pytest.fixture
def train(labelled: Path) -> Command:
    """`python -m gans.ssgan` in this process."""

    def run(*arguments: object) -> Ended:
        fresh = [] if "--resume" in arguments else ["--batch-size", "8", "--labels", "20", "--data", labelled]
        return run_here(lambda argv: main(SSGAN, argv), (*fresh, *arguments))

    return run


def trainer(**settings: Any) -> SSGAN:
    mg.manual_seed(0)
    return SSGAN(Config(backend="numpy", dropout=0.0, **settings), np.float64)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.data())
def test_the_labelled_images_are_as_many_of_each_class_as_there_are(labels: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(labels)))
    given_labels = np.array(labels, np.uint8)
    chosen = some_of_each(given_labels, count, seed=0)
    assert len(set(chosen.tolist())) == len(chosen) == count
    drawn, there = (np.bincount(x, minlength=4) for x in (given_labels[chosen], given_labels))
    fewest = min((n for n, all_of_it in zip(drawn, there, strict=True) if n < all_of_it), default=count)
    assert drawn.max() <= fewest + 1


def test_each_seed_draws_other_labelled_images_and_too_many_are_refused() -> None:
    labels = synthetic_digits(200)[1]
    a, b = (some_of_each(labels, 20, seed) for seed in (0, 1))
    assert set(a) != set(b)
    with pytest.raises(DataError, match="the data set has 200 images, fewer than the 201 of --labels; lower it"):
        some_of_each(labels, 201, 0)


def test_the_losses_are_those_of_k_plus_one_classes_of_which_the_last_has_the_logit_zero() -> None:
    """Written out as in the paper, with a softmax over eleven classes."""
    gan = trainer(batch_size=5)
    rng = np.random.default_rng(0)
    real, labelled = (mg.Tensor(rng.uniform(-1, 1, (5, 1, 28, 28))) for _ in range(2))
    labels = rng.integers(10, size=5)
    z = mg.Tensor(rng.standard_normal((5, 100)))
    gan.noise = lambda count: z  # type: ignore[method-assign]
    fake = gan.generator(z).detach()

    def probabilities(x: mg.Tensor) -> np.ndarray:
        logits = np.pad(gan.discriminator(x).numpy(), ((0, 0), (0, 1)))
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    known, real_p, fake_p = map(probabilities, (labelled, real, fake))
    given_real = real_p[:, :10] / (1 - real_p[:, 10:])
    expected = {
        "labelled": -np.log(known[np.arange(5), labels] / (1 - known[:, 10])).mean(),
        "entropy": -(given_real * np.log(given_real)).sum(1).mean(),
        "d_loss": -np.log(1 - real_p[:, 10]).mean() - np.log(fake_p[:, 10]).mean(),
        "D(x)": 1 - real_p[:, 10].mean(),
        "D(G(z))": 1 - fake_p[:, 10].mean(),
    }
    metrics = gan.step(real, labelled, mg.Tensor(labels))
    for name, value in expected.items():
        assert metrics[name].item() == pytest.approx(value, rel=1e-9), name


def test_the_discriminator_descends_the_sum_of_its_losses_with_the_weighted_entropy() -> None:
    rng = np.random.default_rng(0)
    real, labelled = (mg.Tensor(rng.uniform(-1, 1, (4, 1, 28, 28))) for _ in range(2))
    labels, z = mg.Tensor(rng.integers(10, size=4)), mg.Tensor(rng.standard_normal((4, 100)))

    def loss_after_a_small_step(weight: float, along: float) -> tuple[float, float]:
        """Entropy and the other losses of D, when its weights have moved along the gradient of a step."""
        gan = trainer(batch_size=4, entropy_weight=weight)
        gan.noise = lambda count: z  # type: ignore[method-assign]
        taken: list[Any] = []
        gan.d_optimizer.step = lambda gradients: taken.extend(gradients)  # type: ignore[method-assign]
        gan.g_optimizer.step = lambda gradients: None  # type: ignore[method-assign]
        gan.step(real, labelled, labels)
        for p, gradient in zip(gan.discriminator.parameters(), taken, strict=True):
            p.assign(p.data - along * gradient.data)
        metrics = gan.step(real, labelled, labels)
        return metrics["entropy"].item(), metrics["labelled"].item() + metrics["d_loss"].item()

    start, moved = loss_after_a_small_step(1e4, 0.0), loss_after_a_small_step(1e4, 1e-8)
    assert moved[0] < start[0], "a large weight lowers the entropy"
    start, moved = loss_after_a_small_step(0.0, 0.0), loss_after_a_small_step(0.0, 1e-4)
    assert moved[1] < start[1], "without weight the other losses are lowered"


def test_the_classifier_follows_the_discriminator_slowly() -> None:
    gan = trainer(batch_size=4)
    rng = np.random.default_rng(0)
    real, labelled = (mg.Tensor(rng.uniform(-1, 1, (4, 1, 28, 28))) for _ in range(2))
    start = [p.data.copy() for p in gan.classifier.parameters()]
    gan.step(real, labelled, mg.Tensor(rng.integers(10, size=4)))
    for before, mean, p in zip(start, gan.classifier.parameters(), gan.discriminator.parameters(), strict=True):
        np.testing.assert_allclose(mean.data, 0.99 * before + 0.01 * p.data, rtol=1e-12, atol=1e-15)


def test_the_generator_descends_the_distance_of_the_mean_features_and_nothing_else() -> None:
    gan = trainer(batch_size=4)
    rng = np.random.default_rng(0)
    real, labelled = (mg.Tensor(rng.uniform(-1, 1, (4, 1, 28, 28))) for _ in range(2))
    z = mg.Tensor(rng.standard_normal((4, 100)))
    gan.noise = lambda count: z  # type: ignore[method-assign]
    taken: list[Any] = []
    gan.g_optimizer.step = lambda gradients: taken.extend(gradients)  # type: ignore[method-assign]
    gan.step(real, labelled, mg.Tensor(rng.integers(10, size=4)))
    D, G = gan.discriminator, gan.generator
    distance = ((D.features(real).mean(axis=0) - D.features(G(z)).mean(axis=0)) ** 2).sum()  # by the new D
    for got, expected in zip(taken, mg.grad(distance, G.parameters()), strict=True):
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-8, atol=1e-12)


def test_a_run_resumes_bit_for_bit_and_reports_the_same_errors(train: Command, tmp_path: Path) -> None:
    assert train("--steps", 7, "--out", tmp_path / "straight").code == 0
    assert train("--steps", 2, "--out", tmp_path / "run").code == 0
    assert train("--steps", 7, "--out", tmp_path / "run", "--resume").code == 0
    assert state(tmp_path / "run") == state(tmp_path / "straight")
    reports = [(tmp_path / name / "report.md").read_text() for name in ("run", "straight")]
    assert reports[0] == reports[1]
    percent = r"\d+\.\d\d % \|"
    assert re.search(rf"40 images, with 20 labels.*\(this run\) \| {percent}.*alone, 7 steps \| {percent}", reports[0], re.S)
    assert len(json.loads((tmp_path / "run" / "config.json").read_text())["data"]["labels"]) == 16


@pytest.mark.parametrize("split", ["train", "t10k"])
def test_images_without_labels_are_one_sentence_before_the_run_is_written(
    split: str, labelled: Path, train: Command, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(labelled, tmp_path / "unlabelled"))
    (folder / f"{split}-labels-idx1-ubyte").unlink()
    given_folder = ("--labels", 20, "--batch-size", 8, "--data", folder, "--steps", 1, "--out", tmp_path / "run")
    assert f"has no {split}-labels-idx1-ubyte" in run_here(lambda argv: main(SSGAN, argv), given_folder).complaint
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_resume_with_other_labels_of_the_few_images(labelled: Path, train: Command, tmp_path: Path) -> None:
    assert train("--steps", 1, "--out", tmp_path / "run").code == 0
    others = Path(shutil.copytree(labelled, tmp_path / "others"))
    write_idx(others / "train-labels-idx1-ubyte", 9 - synthetic_digits(72)[1])
    complaint = train("--resume", "--steps", 2, "--out", tmp_path / "run", "--data", others).complaint
    assert "the run was started with other labels of the same images" in complaint


def test_the_classifier_is_kept_with_the_weights(train: Command, generate: Command, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert train("--steps", 1, "--out", out).code == 0
    weights = mg.load(out / "generator.safetensors")
    classifier = SSGAN(Config(backend="numpy")).classifier
    classifier.load_state_dict({k.removeprefix("classifier."): a for k, a in weights.items() if k.startswith("classifier.")})
    assert generate(out).code == 0
    assert "whose generator takes no label" in generate(out, "--label", 7).complaint


def test_the_error_is_the_share_of_wrong_classes_in_evaluation_mode() -> None:
    class Fixed(mg.nn.Module):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            assert not self.training
            darkness = np.rint((x.numpy()[:, 0, 0, 0] + 1) * 127.5).astype(int)
            return mg.Tensor(np.eye(10)[darkness])

    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    labels = np.array([0, 1, 2, 3, 4, 5, 6, 0, 0, 0], np.uint8)
    network = Fixed()
    assert few_labels.error(network, images, labels, "numpy", np.float32) == 0.3
    assert network.training
