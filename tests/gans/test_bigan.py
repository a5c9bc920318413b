"""BiGAN and ALI: what their losses train, codes, resuming, the sheet of reconstructions, and what a run reports."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from gans.bigan import BiGAN, Config
from gans.data.drawn.digits import synthetic_digits
from gans.generate import images
from gans.measures.nearest import nearest_class_accuracy
from gans.trainers import load_run
from gans.training.cli import main
from gans.training.images import GAP, read_png
from gans.training.trainer import from_pixels
from tests.gans.conftest import Ended, run_here, state

pytestmark = pytest.mark.usefixtures("plots_stubbed")
both = pytest.mark.parametrize("encoder", ["deterministic", "stochastic"])


@pytest.fixture
def train(labelled: Path) -> Callable[..., Ended]:
    """`python -m gans.bigan` in this process."""

    def run(*arguments: object) -> Ended:
        fresh = [] if "--resume" in arguments else ["--batch-size", "8", "--data", labelled]
        return run_here(lambda argv: main(BiGAN, argv), (*fresh, *arguments))

    return run


def trainer(**settings: Any) -> BiGAN:
    mg.manual_seed(0)
    return BiGAN(Config(backend="numpy", **settings))


def real_images(count: int) -> mg.Tensor:
    return mg.Tensor(from_pixels(synthetic_digits(count)[0][:, None]))


@both
def test_a_step_changes_every_weight_of_the_three_networks(encoder: str) -> None:
    gan = trainer(encoder=encoder)
    before = {name: a.copy() for name, a in gan.state_dict().items()}
    metrics = gan.step(real_images(4))
    assert metrics.keys() == gan.captions.keys()
    after = gan.state_dict()
    parameters = {f"{owner}.{key}" for owner, net in gan.networks().items() for key, _ in net.named_parameters()}
    assert {name for name in parameters if np.array_equal(before[name], after[name])} == set()


def test_the_discriminator_uses_images_and_latent_vectors() -> None:
    gan = trainer()
    x, z = real_images(3), gan.noise(3)
    logits = gan.discriminator(x, z).numpy()
    assert np.abs(gan.discriminator(-x, z).numpy() - logits).min() > 0
    assert np.abs(gan.discriminator(x, -z).numpy() - logits).min() > 0


def test_a_stochastic_code_is_drawn_around_its_mean_and_a_deterministic_one_is_not() -> None:
    gan = trainer(encoder="stochastic")
    x = real_images(4)
    mean, log_variance = np.split(gan.encoder(x).numpy(), 2, axis=1)
    drawn = np.stack([gan.encode(x).numpy() for _ in range(400)])
    assert np.abs((drawn.mean(0) - mean) / np.exp(log_variance / 2)).max() < 5 / 20
    np.testing.assert_allclose(drawn.std(0), np.exp(log_variance / 2), rtol=0.2)
    sure = trainer()
    assert np.array_equal(sure.encode(x).numpy(), sure.encode(x).numpy())


@both
def test_an_interrupted_and_resumed_run_is_bit_identical_and_reports_its_neighbours(
    train: Callable[..., Ended], tmp_path: Path, encoder: str
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    ended = train("--encoder", encoder, "--steps", 7, "--out", whole)
    assert ended.code == 0
    assert train("--encoder", encoder, "--steps", 3, "--out", parts).code == 0
    assert train("--steps", 7, "--out", parts, "--resume").code == 0
    assert state(whole) == state(parts)
    report = (whole / "report.md").read_text()
    assert report == (parts / "report.md").read_text()
    assert re.findall(r"\| (.*) \| \d+\.\d\d % \|", report) == ["E(x), trained", "E(x), untrained", "the pixels"]
    loaded = load_run(whole, "numpy")
    assert next(images(loaded, 0, 1)).shape == (1, 28, 28) and loaded.report() == report


def test_the_sheet_shows_samples_and_training_images_beside_their_reconstructions(
    train: Callable[..., Ended], tmp_path: Path
) -> None:
    assert train("--steps", 1, "--out", tmp_path / "run").code == 0
    sheet = read_png(max((tmp_path / "run" / "samples").iterdir()))[::2, ::2, 0]
    down, side = len(sheet) // (28 + GAP), 8 * (28 + GAP) + GAP
    assert sheet.shape == (down * (28 + GAP) + GAP, 2 * side)
    gan = load_run(tmp_path / "run", "numpy")
    assert isinstance(gan, BiGAN)
    originals = gan.load_images()[0][: len(gan.samples()) // 2]
    again = gan.generate(mg.Tensor(gan.codes(gan.encoder, originals)))
    places = [GAP + i * (28 + GAP) for i in range(8)]
    shown = np.array([sheet[y : y + 28, side + x : side + x + 28] for y in places[:down] for x in places])[: 2 * len(again)]
    assert np.array_equal(shown[::2], originals[:, 0]) and np.array_equal(shown[1::2], again[:, 0])


def test_nearest_class_accuracy_in_blocks_equals_that_of_all_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gans.measures.nearest.QUERIES", 7)
    rng = np.random.default_rng(0)
    train, test = rng.standard_normal((50, 3)), rng.standard_normal((30, 3))
    train_labels, test_labels = rng.integers(0, 3, 50), rng.integers(0, 3, 30)
    nearest = ((test[:, None] - train) ** 2).sum(2).argmin(1)
    expected = (train_labels[nearest] == test_labels).mean()
    assert nearest_class_accuracy(train, train_labels, test, test_labels) == pytest.approx(expected)
