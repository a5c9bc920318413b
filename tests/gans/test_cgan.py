"""The conditional GAN: both networks use the label, runs keep their classes, and images of one class can be asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from gans.cgan import CGAN, Config
from gans.data.errors import DataError
from gans.data.idx import write_idx
from gans.generate import images
from gans.networks.conditional import ProjectionDiscriminator
from gans.networks.dcgan import Architecture
from gans.training.cli import main
from gans.training.images import GAP, read_png
from gans.training.latent import LatentTrainer
from minigrad import nn
from tests.gans.conftest import Ended, run_here, state

pytestmark = pytest.mark.usefixtures("plots_stubbed")

Command = Callable[..., Ended]


def small_generator(latent_size: int, image_size: int) -> nn.Sequential:
    pixels = image_size**2
    channels = 1 if image_size == 28 else 3
    return nn.Sequential(
        nn.Linear(latent_size, channels * pixels), nn.Tanh(), nn.Reshape(channels, image_size, image_size)
    )  # fmt: skip


def small_discriminator(image_size: int, channels: int | None = None) -> nn.Sequential:
    channels = channels or (1 if image_size == 28 else 3)
    return nn.Sequential(
        nn.Conv2d(channels, 2, 4, 4), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(2 * (image_size // 4) ** 2, 1)
    )


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Architecture(small_generator, small_discriminator, latent_size=5, lr=1e-3)
    monkeypatch.setattr("gans.dcgan.ARCHITECTURES", {"28": small, "k4": small})


@pytest.fixture
def train(labelled: Path) -> Command:
    """`python -m gans.cgan` in this process."""

    def run(*arguments: object, data: Path | None = labelled) -> Ended:
        fresh = [] if "--resume" in arguments else ["--batch-size", "16", "--data", data]
        return run_here(lambda argv: main(CGAN, argv), (*fresh, *arguments))

    return run


@pytest.fixture
def run(train: Command, tmp_path: Path) -> Path:
    assert train("--steps", 2, "--out", tmp_path / "run").code == 0
    return tmp_path / "run"


def trainer(**settings: Any) -> CGAN:
    mg.manual_seed(0)
    return CGAN(Config(backend="numpy", batch_size=4, **settings))


@pytest.mark.parametrize("condition", ["concat", "projection"])
def test_both_networks_see_the_label_of_each_image(condition: str) -> None:
    gan = trainer(condition=condition)
    x, z = mg.randn((6, 1, 28, 28)), mg.randn((6, 5))
    some, others = gan.labels(np.array([0, 1, 2, 3, 4, 9])), gan.labels(np.array([0, 1, 2, 7, 8, 5]))
    for network, inputs in ((gan.discriminator, x), (gan.generator, z)):
        a, b = (network(inputs, labels).numpy().reshape(6, -1) for labels in (some, others))
        np.testing.assert_allclose(a[:3], b[:3], rtol=1e-5, atol=1e-6)
        assert (np.abs(a[3:] - b[3:]).max(1) > 1e-3).all()


def test_a_projection_is_the_inner_product_of_the_features_with_a_vector_of_the_label() -> None:
    D = trainer(condition="projection").discriminator
    assert isinstance(D, ProjectionDiscriminator)
    x, labels = mg.randn((3, 1, 28, 28)), np.array([7, 0, 7])
    h = D.features(x).numpy()
    expected = h @ D.logit[0].weight.numpy()[0] + D.logit[0].bias.numpy() + (h * D.label.weight.numpy()[labels]).sum(1)
    np.testing.assert_allclose(D(x, mg.Tensor(labels)).numpy()[:, 0], expected, rtol=1e-5)


def test_the_sample_sheet_has_a_row_for_each_class_and_in_each_column_the_same_latent_vector() -> None:
    gan, seen = trainer(), []
    gan.generate = lambda *inputs: seen.extend(x.numpy() for x in inputs) or np.zeros((100, 1, 28, 28), np.uint8)  # type: ignore[method-assign]
    assert gan.sample_sheet().shape == (2 * (10 * (28 + GAP) + GAP), 2 * (10 * (28 + GAP) + GAP), 3)
    noise, labels = (part.reshape(10, 10, -1) for part in seen)
    assert (labels[..., 0] == np.arange(10)[:, None]).all()
    assert (noise == noise[:1]).all() and len(np.unique(noise[0], axis=0)) == 10


def test_a_run_keeps_its_classes_and_resumes_bit_for_bit(run: Path, train: Command, tmp_path: Path) -> None:
    assert train("--steps", 7, "--out", tmp_path / "straight").code == 0
    assert train("--steps", 7, "--out", run, "--resume").code == 0
    assert state(run) == state(tmp_path / "straight")
    settings = json.loads((run / "config.json").read_text())
    assert settings["config"]["classes"] == "0/1/2/3/4/5/6/7/8/9"
    assert len(settings["data"]["labels"]) == 16


def test_a_run_does_not_resume_with_other_labels(run: Path, train: Command, labelled: Path, tmp_path: Path) -> None:
    others = Path(shutil.copytree(labelled, tmp_path / "others"))
    write_idx(others / "train-labels-idx1-ubyte", np.zeros(72, np.uint8))
    assert (
        "the run was started with other labels of the same images"
        in train("--resume", "--out", run, "--data", others).complaint
    )


def test_the_classes_are_the_subfolders_of_a_folder(train: Command, generate: Command, tmp_path: Path) -> None:
    folder, rng = tmp_path / "animals", np.random.default_rng(0)
    for i in range(24):
        (folder / ("cats" if i % 3 else "dogs")).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / ("cats" if i % 3 else "dogs") / f"{i}.png")
    out = tmp_path / "run"
    assert train("--arch", "k4", "--image-size", 32, "--steps", 1, "--out", out, data=folder).code == 0
    assert json.loads((out / "config.json").read_text())["config"]["classes"] == "cats/dogs"
    assert read_png(out / "samples" / "step-000001.png").shape == (2 * (2 * (32 + GAP) + GAP), 2 * (10 * (32 + GAP) + GAP), 3)
    assert generate(out, "--label", "dogs").code == 0
    assert "has no class 7: its classes are cats, dogs" in generate(out, "--label", 7).complaint
    (folder / "dogs").rename(folder / "emus")
    assert "has the classes cats, emus, not cats, dogs" in train("--resume", "--out", out, "--steps", 2).complaint


def animals(folder: Path, cats: int, dogs: int) -> Path:
    """Images of two classes: the cats dark, the dogs bright."""
    rng = np.random.default_rng(0)
    for name, count, least in (("cats", cats, 0), ("dogs", dogs, 156)):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(least, least + 100, (20, 20, 3), dtype=np.uint8)).save(folder / name / f"{i}.png")
    return folder


def test_the_sheet_of_training_images_has_a_row_for_each_class_and_is_white_where_one_has_few(
    train: Command, generate: Command, tmp_path: Path
) -> None:
    folder = animals(tmp_path / "animals", cats=24, dogs=1)
    out = tmp_path / "run"
    assert train("--arch", "k4", "--image-size", 32, "--steps", 1, "--out", out, data=folder).code == 0
    sheet = read_png(out / "samples" / "real.png")[::2, ::2]
    assert sheet.shape == (2 * (32 + GAP) + GAP, 10 * (32 + GAP) + GAP, 3)
    cells = [[sheet[t : t + 32, x : x + 32] for x in range(GAP, sheet.shape[1], 32 + GAP)] for t in (GAP, GAP + 32 + GAP)]
    assert all(cell.max() < 156 for cell in cells[0]), "ten cats"
    assert 100 < cells[1][0].mean() < 255 and all((cell == 255).all() for cell in cells[1][1:]), "one dog"
    assert generate(out, "--label", "dogs", "--count", 2).code == 0


def test_a_class_folder_is_scanned_once_when_it_is_loaded_and_its_images_are_read_once(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gans.data import folder as folders
    from gans.data import labelled

    scans: list[Path] = []
    reads: list[Path] = []
    scan, read = labelled.class_folders, folders._load
    monkeypatch.setattr(labelled, "class_folders", lambda path: scans.append(path) or scan(path))
    monkeypatch.setattr(folders, "_load", lambda path, *rest: reads.append(path) or read(path, *rest))
    folder = animals(tmp_path / "animals", cats=20, dogs=20)
    flags = ("--arch", "k4", "--image-size", 32, "--steps", 1, "--evaluate-every", "1steps", "--out", tmp_path / "run")
    assert train(*flags, data=folder).code == 0
    assert scans == [folder] * 2, "once for the networks, once for the data"
    assert reads == [folder], "the evaluations take the same images"
    scans.clear()
    assert train("--resume", "--steps", 2, "--out", tmp_path / "run").code == 0
    assert scans == [folder]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda file: file.unlink(), "has no train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz"),
        (lambda file: write_idx(file, np.full(72, 10, np.uint8)), "has a label 10, but labels go from 0 to 9"),
        (lambda file: write_idx(file, np.zeros(71, np.uint8)), "has 71 labels, but train-images-idx3-ubyte has 72"),
    ],
    ids=["no labels", "a label too large", "a label too few"],
)
def test_wrong_labels_of_digits_are_one_sentence_before_the_run_is_written(
    spoil: Callable[[Path], None], complaint: str, train: Command, labelled: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(labelled, tmp_path / "spoiled"))
    spoil(folder / "train-labels-idx1-ubyte")
    assert complaint in train("--steps", 1, "--out", tmp_path / "run", data=folder).complaint
    assert not (tmp_path / "run").exists()


def test_a_run_of_digits_of_one_class_trains_and_shows_white_rows_of_the_others(
    train: Command, generate: Command, labelled: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(labelled, tmp_path / "sevens"))
    write_idx(folder / "train-labels-idx1-ubyte", np.full(72, 7, np.uint8))
    assert train("--steps", 1, "--out", tmp_path / "run", data=folder).code == 0
    rows = read_png(tmp_path / "run" / "samples" / "real.png").reshape(-1, 2 * (10 * (28 + GAP) + GAP), 3)
    height = 2 * (28 + GAP)
    dark = [(rows[2 * GAP + i * height : 2 * GAP + i * height + 56] < 255).any() for i in range(10)]
    assert dark == [i == 7 for i in range(10)]
    assert generate(tmp_path / "run", "--label", "3", "--count", 1).code == 0


@pytest.mark.parametrize("label", ["10", "-1", "07", "7 ", "cats", "²", "7/8"])
def test_a_label_that_is_no_class_is_one_sentence(label: str, run: Path, generate: Command) -> None:
    assert "has no class" in (complaint := generate(run, f"--label={label}").complaint)
    assert "its classes are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in complaint


def test_drawn_faces_have_no_classes(train: Command) -> None:
    with pytest.raises(DataError, match="the drawn faces have no classes"):
        trainer(arch="k4")


def test_images_of_one_label_are_those_that_the_generator_makes_of_it(run: Path, generate: Command) -> None:
    from gans.trainers import load_run

    gan = load_run(run, "numpy")
    assert isinstance(gan, CGAN)
    some, more = (np.stack(list(images(gan, 3, count, label=7))) for count in (3, 21))
    np.testing.assert_array_equal(some, more[:3])
    in_turn = np.stack(list(images(gan, 3, 21)))
    np.testing.assert_array_equal([i for i in range(21) if (in_turn[i] == more[i]).all()], [7, 17])
    assert generate(run, "--label", 7, "--seed", 3, "--count", 21, "--scale", 1).code == 0
    sheet = read_png(run / "generated.png")
    np.testing.assert_array_equal(sheet[GAP : GAP + 28, GAP : GAP + 28, 0], more[0, 0])
    with Image.open(run / "generated.png") as image:
        assert image.info["label"] == "7"


def test_a_label_is_refused_where_the_generator_takes_none(generate: Command, tmp_path: Path, labelled: Path) -> None:
    from gans.dcgan import DCGAN

    out = tmp_path / "plain"
    given = ("--arch", "28", "--data", labelled, "--batch-size", 16, "--steps", 1, "--out", out)
    assert run_here(lambda argv: main(DCGAN, argv), given).code == 0
    assert "is a run of gans.dcgan, whose generator takes no label: leave out --label" in generate(out, "--label", 7).complaint


def test_evaluation_asks_for_each_class_in_turn() -> None:
    gan = trainer()
    assert isinstance(gan, LatentTrainer)
    noise, labels = gan.fixed_inputs(23, seed=1)
    np.testing.assert_array_equal(labels.numpy(), np.arange(23) % 10)
    np.testing.assert_array_equal(noise.numpy(), gan.fixed_noise(23, 1).numpy())
