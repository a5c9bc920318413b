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
from gans.infogan import UNCOMPARED, Config, InfoGAN, surprise
from gans.measures.clustering import best_assignment, clustering_table, counts
from gans.networks.info import CATEGORIES, LATENT_SIZE, NOISE, Codes, split
from gans.trainers import load_run
from gans.training.cli import main
from gans.training.images import GAP, read_png
from tests.gans.conftest import Ended, run_here, state

pytestmark = pytest.mark.usefixtures("plots_stubbed")


@pytest.fixture
def train(labelled: Path) -> Callable[..., Ended]:
    """`python -m gans.infogan` in this process."""

    def run(*arguments: object) -> Ended:
        fresh = [] if "--resume" in arguments else ["--batch-size", "8", "--data", labelled]
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


class Shown(mg.nn.Module):
    """Images whose first pixels are the generator's inputs, from -4 to 4."""

    def forward(self, inputs: mg.Tensor) -> mg.Tensor:
        pixels = np.pad(inputs.numpy() / 4, ((0, 0), (0, 784 - inputs.shape[1])))
        return mg.Tensor(pixels.reshape(-1, 1, 28, 28))


def test_each_part_of_the_sheet_walks_its_own_code_and_nothing_else_varies() -> None:
    gan = trainer()
    gan.generator.network = Shown()  # type: ignore[assignment]
    sheet = gan.sample_sheet()[::2, ::2, 0]
    side = 10 * (28 + GAP) + GAP
    assert sheet.shape == (side, 3 * side)
    places = [GAP + i * (28 + GAP) for i in range(10)]
    categories, digits = np.eye(10), np.arange(10)
    walk = np.broadcast_to(np.linspace(-2, 2, 10), (10, 10))
    rest = np.zeros((10, 10))
    expected = [  # for each row and column: the category, and the two numbers
        (categories[np.broadcast_to(digits, (10, 10))], rest, rest),
        (categories[np.broadcast_to(digits[:, None], (10, 10))], walk, rest),
        (categories[np.broadcast_to(digits[:, None], (10, 10))], rest, walk),
    ]
    for i, (part, (category, first, second)) in enumerate(zip(np.split(sheet, 3, axis=1), expected, strict=True)):
        images = np.array([[part[y : y + 28, x : x + 28].ravel() for x in places] for y in places])
        inputs = 4 * (images / 127.5 - 1)[..., : NOISE + CATEGORIES + 2]
        noise, codes = inputs[..., :NOISE], inputs[..., NOISE:]
        np.testing.assert_allclose(codes, np.concatenate([category, np.stack([first, second], -1)], -1), atol=0.02)
        assert (noise == noise[:, :1]).all(), "within a row"
        assert len(np.unique(noise[:, 0], axis=0)) == (10 if i == 0 else 1), "rows differ in noise only in the first part"


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


def test_a_run_without_labels_says_so_once_before_training_and_goes_on(train: Callable[..., Ended], tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", synthetic_digits(16)[0])
    ended = train("--data", tmp_path, "--steps", 1, "--out", tmp_path / "run")
    assert ended.code == 0 and (tmp_path / "run" / "report.md").read_text().startswith(UNCOMPARED)
    assert ended.err.startswith(UNCOMPARED) and ended.err.count(UNCOMPARED) == 1


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
