"""InfoGAN: its codes, what its losses ask for, resuming, the sheet that walks each code, and the clustering that it reports."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from gans.data.drawn.digits import synthetic_digits
from gans.data.idx import write_idx
from gans.generate import images
from gans.infogan import Config, InfoGAN, surprise
from gans.measures.clustering import best_assignment, clustering_table, counts
from gans.networks.info import CATEGORIES, LATENT_SIZE, NOISE, Codes, split
from gans.trainers import load_run
from gans.training.cli import main
from gans.training.images import GAP, read_png
from tests.gans.conftest import Ended, run_here, state

pytestmark = pytest.mark.usefixtures("plots_stubbed")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled-digits")
    for split_name, count in (("train", 72), ("t10k", 40)):
        pixels, labels = synthetic_digits(count)
        write_idx(folder / f"{split_name}-images-idx3-ubyte", pixels)
        write_idx(folder / f"{split_name}-labels-idx1-ubyte", labels)
    return folder


@pytest.fixture
def train(digits: Path) -> Callable[..., Ended]:
    """`python -m gans.infogan` in this process."""

    def run(*arguments: object) -> Ended:
        fresh = [] if "--resume" in arguments else ["--batch-size", "8", "--data", digits]
        return run_here(lambda argv: main(InfoGAN, argv), (*fresh, *arguments))

    return run


def trainer() -> InfoGAN:
    mg.manual_seed(0)
    return InfoGAN(Config(backend="numpy"))


def test_the_codes_of_normal_latent_vectors_are_uniform_and_independent() -> None:
    noise, codes = split(mg.Generator(0).randn((20_000, LATENT_SIZE)))
    assert noise.shape == (20_000, NOISE)
    category, numbers = codes.category.numpy(), codes.continuous.numpy()
    assert np.array_equal(np.unique(category), [0, 1]) and (category.sum(1) == 1).all()
    assert np.abs(category.mean(0) - 0.1).max() < 0.01
    for column in numbers.T:  # Kolmogorov-Smirnov; 0.0138 is exceeded once in 1,000 times
        expected = (np.sort(column) + 1) / 2
        assert np.abs(expected - np.arange(0.5, 20_000) / 20_000).max() < 0.0138
    correlations = np.corrcoef(np.concatenate([category, numbers], axis=1).T)
    assert np.abs(correlations[:CATEGORIES, CATEGORIES:]).max() < 0.03 and abs(correlations[-1, -2]) < 0.03


def test_a_code_that_is_read_surely_and_rightly_is_no_surprise() -> None:
    rng = np.random.default_rng(0)
    category, numbers = np.eye(10)[rng.integers(10, size=6)], rng.uniform(-1, 1, (6, 2))
    codes = Codes(mg.Tensor(category), mg.Tensor(numbers))
    right = surprise(mg.Tensor(np.concatenate([100 * category, numbers], axis=1)), codes)
    assert [value.item() for value in right] == pytest.approx([0, 0])
    guessed = surprise(mg.Tensor(np.zeros((6, 12))), codes)
    assert [value.item() for value in guessed] == pytest.approx([np.log(10), (numbers**2).sum(1).mean()])


def test_images_depend_on_every_code_and_the_gradient_of_the_information_reaches_both_networks() -> None:
    gan = trainer()
    z, codes = split(gan.noise(4))
    fake = gan.generator.decode(z, codes)
    swapped = Codes(mg.Tensor(np.roll(codes.category.numpy(), 1, axis=1)), codes.continuous)
    negated = Codes(codes.category, -codes.continuous)
    assert all(np.abs((gan.generator.decode(z, other) - fake).numpy()).max() > 1e-3 for other in (swapped, negated))
    parameters = [p for part in (gan.generator, gan.discriminator.trunk, gan.discriminator.code) for p in part.parameters()]
    for i in range(2):
        loss = surprise(gan.discriminator.judge(gan.generator.decode(z, codes))[1], codes)[i]
        assert all(np.abs(g.numpy()).max() > 0 for g in mg.grad(loss, parameters))


def test_the_sheet_walks_each_code() -> None:
    sheet = trainer().sample_sheet()[::2, ::2, 0]
    side = 10 * (28 + GAP) + GAP
    assert sheet.shape == (side, 3 * side)
    places = [GAP + i * (28 + GAP) for i in range(10)]
    left, *walks = (
        np.array([[part[y : y + 28, x : x + 28] for x in places] for y in places], float) for part in np.split(sheet, 3, axis=1)
    )
    assert np.ptp(left, axis=0).max() > 0 and np.ptp(left, axis=1).max() > 0  # noise and categories differ
    for block in walks:
        assert all(np.abs(block[:, i + 1] - block[:, i]).max() > 0 for i in range(9))
    assert not np.array_equal(*walks)


def test_an_interrupted_and_resumed_run_is_bit_identical_and_reports_its_clusters(
    train: Callable[..., Ended], tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    ended = train("--steps", 7, "--out", whole)
    assert ended.code == 0 and "of 40 test images have the category of their class" in ended.out
    assert train("--steps", 3, "--out", parts).code == 0
    assert train("--steps", 7, "--out", parts, "--resume").code == 0
    assert state(whole) == state(parts)
    assert (whole / "report.md").read_text() == (parts / "report.md").read_text()
    assert read_png(max((whole / "samples").iterdir())).shape[1] == 3 * 2 * (10 * (28 + GAP) + GAP)
    loaded = load_run(whole, "numpy")
    assert isinstance(loaded, InfoGAN) and next(images(loaded, 0, 1)).shape == (1, 28, 28)
    assert loaded.report() == (whole / "report.md").read_text()


def test_without_test_images_a_sentence_stands_in_the_report(train: Callable[..., Ended], tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", synthetic_digits(16)[0])
    ended = train("--data", tmp_path, "--steps", 1, "--out", tmp_path / "run")
    assert ended.code == 0 and "The categories are not compared with classes: " in ended.out


# --- clusters


@given(
    st.integers(1, 5).flatmap(lambda k: st.lists(st.lists(st.integers(0, 20), min_size=k, max_size=k), min_size=k, max_size=k))
)
def test_the_best_assignment_is_the_best_of_all_permutations(rows: list[list[int]]) -> None:
    table, k = np.array(rows), len(rows)
    sums = {order: table[np.arange(k), order].sum() for order in itertools.permutations(range(k))}
    chosen = tuple(best_assignment(table))
    assert sums[chosen] == max(sums.values())


def test_the_accuracy_is_that_of_clusters_with_a_class_each() -> None:
    labels = np.repeat(np.arange(3, dtype=np.uint8), 20)
    renamed = (labels + 1) % 3
    renamed[:5] = renamed[-1]
    assert counts(renamed, labels, 3).tolist() == [[5, 0, 20], [15, 0, 0], [0, 20, 0]]
    text = clustering_table(renamed, labels, ["cat", "dog", "owl"])
    assert "91.67 % of 60 test images" in text and "| class | owl | cat | dog |" in text
    assert "33.33 %" in clustering_table(np.zeros(60, int), labels, ["cat", "dog", "owl"])


def test_the_two_learning_rates_are_those_of_the_settings() -> None:
    trainer = InfoGAN(Config(backend="numpy", lr=3e-4, g_lr=2e-3))
    assert (trainer.d_optimizer.lr, trainer.g_optimizer.lr) == (3e-4, 2e-3)
