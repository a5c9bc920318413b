"""`python -m gans.evaluate` with one run, several, and input that cannot be evaluated."""

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
from gans.measures.evaluation import Sample
from gans.measures.report import FLOOR, ranked, table, write_report
from gans.training.images import read_png
from tests.gans.conftest import Ended, files, run_here, write_labelled

pytestmark = pytest.mark.usefixtures("plots_stubbed")

Command = Callable[..., Any]
TEST_IMAGES = 40  # of the labelled digits


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of this file's tests, so that the classifier is trained once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def evaluate(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`python -m gans.evaluate ...` in this process."""
    from gans.evaluate import main

    def run(*arguments: object) -> Ended:
        monkeypatch.setenv("MINIGRAD_CACHE", str(cache))
        return run_here(main, arguments)

    return run


@pytest.fixture
def chart_stubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gans.measures.report._picture", lambda *_: b"stub")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "one"


@pytest.fixture
def run(train: Command, made: Path, labelled: Path, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    if not made.exists():
        assert train("--steps", 2, "--out", made, data=labelled).code == 0
    return Path(shutil.copytree(made, tmp_path / "run"))


def another(run: Path, name: str, scale: float) -> Path:
    """The run with other weights, under another name."""
    copy = Path(shutil.copytree(run, run.with_name(name)))
    weights = mg.load(copy / "generator.safetensors")
    mg.save(copy / "generator.safetensors", {key: scale * value for key, value in weights.items()})
    return copy


# --- reports


def test_a_run_is_measured_beside_the_floor_and_gets_a_report_and_pictures(evaluate: Command, run: Path) -> None:
    before = files(run)
    ended = evaluate(run)
    assert (ended.code, ended.err) == (0, "")
    after = files(run)
    pictures = {"evaluation.png", "evaluation/neighbours.png"}
    assert set(after) - set(before) == {"evaluation.md", "evaluation.json", *pictures}
    assert {name: after[name] for name in before} == before
    assert ended.out.rstrip("\n") == after["evaluation.md"].decode().rstrip("\n")
    for words in (f"{TEST_IMAGES} generated images", "% of the test images right", "evaluation/neighbours.png"):
        assert words in ended.out
    results = json.loads(after["evaluation.json"])["results"]
    assert list(results) == [FLOOR, str(run)]
    for name, measures in results.items():
        assert {len(v) for v in measures.values()} == {3}, name
        assert np.sum(measures["classes"], axis=1) == pytest.approx([1, 1, 1])
        distance, *others = [np.mean(v) for key, v in measures.items() if key != "classes"]
        assert f"| {name} | {distance:.2f} ± " in ended.out
        assert np.isfinite(others).all()
    assert min(results[str(run)]["classifier-FD"]) > max(results[FLOOR]["classifier-FD"]), "it was trained for two steps"
    for name in pictures:
        with Image.open(run / name) as image:
            assert image.format == "PNG"


@pytest.mark.usefixtures("chart_stubbed")
def test_a_run_with_labels_is_also_measured_within_each_class(
    evaluate: Command, run: Path, labelled: Path, tmp_path: Path
) -> None:
    from gans.cgan import CGAN
    from gans.measures.within_classes import DESCRIPTIONS
    from gans.training.cli import main

    given = ("--data", labelled, "--batch-size", 16, "--steps", 1, "--out", tmp_path / "cgan")
    assert run_here(lambda argv: main(CGAN, argv), given).code == 0
    ended = evaluate(tmp_path / "cgan", run, "--out", tmp_path)
    assert (ended.code, ended.err) == (0, "")
    results = json.loads((tmp_path / "evaluation.json").read_text())["results"]
    assert not results[str(run)].keys() & DESCRIPTIONS.keys()
    for name in DESCRIPTIONS:
        assert np.shape(results[FLOOR][name]) == np.shape(results[str(tmp_path / "cgan")][name]) == (3, 10)
        row = results[FLOOR][name][0]
        assert f"| {name}, % | mean | 0 | 1 |" in ended.out
        assert all(x is None or 0 <= x <= 1 for x in row)


@pytest.mark.usefixtures("chart_stubbed")
def test_the_neighbours_are_shown_below_generated_images(evaluate: Command, run: Path, labelled: Path) -> None:
    from gans.data.mnist import load_mnist

    assert evaluate(run).code == 0
    sheet = read_png(run / "evaluation" / "neighbours.png")[::2, ::2, 0]
    tiles = [[sheet[2 + 30 * i : 30 + 30 * i, 2 + 30 * j : 30 + 30 * j] for j in range(16)] for i in range(5)]
    real = load_mnist(labelled).images
    for column in range(16):
        differences = ((tiles[0][column].astype(float) - real) ** 2).mean((1, 2))
        shown = [((real.astype(float) - tiles[i][column]) ** 2).mean((1, 2)).argmin() for i in range(1, 5)]
        assert shown == np.argsort(differences)[:4].tolist()


@pytest.mark.usefixtures("chart_stubbed")
def test_an_evaluation_repeats_to_the_bit(evaluate: Command, run: Path) -> None:
    evaluate(run, "--count", 20)
    first = (run / "evaluation.json").read_bytes()
    evaluate(run, "--count", 20)
    assert (run / "evaluation.json").read_bytes() == first
    evaluate(run, "--count", 21)
    assert (run / "evaluation.json").read_bytes() != first


def test_several_runs_are_ranked_in_one_table_in_the_current_folder(evaluate: Command, run: Path) -> None:
    worse = another(run, "worse", 30.0)
    before = files(run), files(worse)
    ended = evaluate(worse, run, worse)
    assert (ended.code, ended.err) == (0, "")
    assert {path.name for path in Path().iterdir()} == {"evaluation.md", "evaluation.json", "evaluation.png"}
    assert (files(run), files(worse)) == before
    results = json.loads(Path("evaluation.json").read_text())["results"]
    means = {name: np.mean(measures["classifier-FD"]) for name, measures in results.items()}
    assert next(iter(means)) == FLOOR and set(means) == {FLOOR, str(run), str(worse)}
    assert list(means.values()) == sorted(means.values())
    rows = [line.split(" | ")[0] for line in ended.out.splitlines() if line.startswith("| ")]
    assert rows[2:5] == [f"| {name}" for name in results]


def test_runs_are_sorted_by_their_mean_distance_and_shares_are_shown_in_percent() -> None:
    def samples(*distances: float) -> list[Sample]:
        return [Sample({"MNIST-FD": d, "recall": 0.5}) for d in distances]

    results = ranked({"b": samples(3, 5), "c": samples(9, 1), "a": samples(1, 2)})
    assert list(results) == ["a", "b", "c"]
    assert table({"b": results["b"]}).splitlines()[-1] == "| b | 4.00 ± 1.41 | 50.0 ± 0.0 % |"


def test_runs_of_any_name_are_reported_and_drawn(tmp_path: Path) -> None:
    names = ["$\\frac$", "a|b", "a\nb", "\udcff", "\x1b[2J", "_^", "画像" * 20]
    samples = [Sample({"MNIST-FD": d, "recall": 0.5}) for d in (1.0, 2.0)]
    text = write_report(tmp_path / "evaluation", {"data": "from \udcff"}, samples, dict.fromkeys(names, samples))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == len(names) + 3 and all(row.isprintable() for row in rows)
    assert (tmp_path / "evaluation.md").read_text("utf-8") == text.replace("\udcff", r"\udcff")
    assert (tmp_path / "evaluation.png").exists()


@pytest.mark.usefixtures("chart_stubbed")
def test_out_chooses_the_folder(evaluate: Command, run: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    assert evaluate(run, "--count", 10, "--out", tmp_path / "elsewhere").code == 0
    assert set(files(tmp_path / "elsewhere")) == {
        "evaluation.md", "evaluation.json", "evaluation.png", "evaluation/neighbours.png",
    }  # fmt: skip
    assert not (run / "evaluation.md").exists()


@pytest.mark.usefixtures("chart_stubbed")
def test_data_that_moved_are_found_with_data(evaluate: Command, run: Path, labelled: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(labelled, tmp_path / "moved"))
    settings = json.loads((run / "config.json").read_text())
    settings["config"]["data"] = str(tmp_path / "gone")
    (run / "config.json").write_text(json.dumps(settings))
    assert "gone" in evaluate(run).complaint
    assert evaluate(run, "--count", 10, "--data", moved).code == 0


@pytest.mark.usefixtures("chart_stubbed")
def test_a_run_on_a_folder_of_images_is_measured_without_classes(evaluate: Command, tmp_path: Path) -> None:
    from gans.dcgan import DCGAN
    from gans.training.cli import main

    folder, out = tmp_path / "images", tmp_path / "dcgan"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(24):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i:02}.png")
    trained = ["--data", folder, "--image-size", "32", "--steps", "1", "--batch-size", "4", "--backend", "numpy", "--out", out]
    assert run_here(lambda argv: main(DCGAN, argv), tuple(trained)).code == 0
    ended = evaluate(out)
    assert (ended.code, ended.err) == (0, "")
    assert "12 generated images" in ended.out and "no objects" in ended.out
    results = json.loads((out / "evaluation.json").read_text())["results"]
    assert list(results[FLOOR]) == [
        "random-feature-FD", "precision", "recall", "MS-SSIM", "colour distance", "copies", "repeats",
    ]  # fmt: skip
    assert (out / "evaluation" / "neighbours.png").exists()
    assert "from 4 to 12: half of the training images are 12" in evaluate(out, "--count", 13).complaint


# --- errors


@pytest.mark.parametrize("argv", [[], ["r", "--count", "0"], ["r", "--count", "x"], ["r", "--nonsense"]], ids=str)
def test_a_wrong_command_line_gives_one_line_and_exit_code_2(argv: list[str], evaluate: Command) -> None:
    ended = evaluate(*argv)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended.err
    assert ended.err.startswith("python -m gans.evaluate: ")


def test_a_folder_without_a_run_or_without_weights_is_an_error(evaluate: Command, run: Path, tmp_path: Path) -> None:
    assert "holds no run" in evaluate(tmp_path / "missing").complaint
    assert "holds no run" in evaluate(run, tmp_path / "missing").complaint
    (run / "generator.safetensors").unlink()
    assert "next checkpoint" in evaluate(run).complaint


def test_a_run_of_cyclegan_has_its_own_report(evaluate: Command, tmp_path: Path) -> None:
    from gans.cyclegan import CycleGAN
    from gans.cyclegan.config import Config

    settings = {
        "trainer": "cyclegan",
        "config": {"backend": "numpy", "image_size": 32, "width": 2},
        "data": {"source": "drawn", "images": 2, "hash": "0123456789abcdef"},
        "samples": "held-out images",
        "minigrad": mg.__version__,
    }
    (tmp_path / "config.json").write_text(json.dumps(settings))
    mg.save(tmp_path / "generator.safetensors", CycleGAN(Config(**settings["config"])).weights())
    assert "report.md" in (complaint := evaluate(tmp_path).complaint)
    assert "gans.cyclegan" in complaint


@pytest.mark.parametrize("count", [TEST_IMAGES + 1, 3])
def test_a_count_that_the_data_do_not_have_is_an_error_before_a_classifier_is_trained(
    count: int, evaluate: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("gans.measures.real.load_classifier")
    assert f"--count {count} is not from 4 to 40: the images held out are 40" in evaluate(run, "--count", count).complaint


def test_too_few_test_images_are_an_error(evaluate: Command, run: Path, labelled: Path, tmp_path: Path) -> None:
    few = Path(shutil.copytree(labelled, tmp_path / "few"))
    write_labelled(few, "t10k", 3, seed=1)
    assert "only 3" in evaluate(run, "--data", few).complaint


def test_digits_without_test_images_or_labels_are_an_error(
    evaluate: Command, run: Path, labelled: Path, tmp_path: Path
) -> None:
    for missing in ("t10k-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        part = Path(shutil.copytree(labelled, tmp_path / missing))
        (part / missing).unlink()
        assert missing in evaluate(run, "--data", part).complaint
    assert "cannot be opened" in evaluate(run, "--data", tmp_path / "nothing").complaint


def test_other_data_than_the_runs_are_an_error(evaluate: Command, run: Path, labelled: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(labelled, tmp_path / "other"))
    write_labelled(other, "train", 72, seed=5)
    complaint = evaluate(run, "--data", other).complaint
    assert str(other) in complaint and str(labelled) in complaint and "--data" in complaint


def test_runs_on_different_data_do_not_compare(evaluate: Command, run: Path) -> None:
    copy = another(run, "copy", 1.0)
    settings = json.loads((copy / "config.json").read_text())
    settings["data"]["hash"] = "0"
    (copy / "config.json").write_text(json.dumps(settings))
    assert "different images" in evaluate(run, copy).complaint


def test_an_output_folder_that_cannot_be_made_is_an_error(evaluate: Command, run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot use the folder" in evaluate(run, "--out", tmp_path / "file").complaint


@pytest.mark.usefixtures("chart_stubbed")
def test_a_file_with_the_name_of_the_pictures_folder_is_an_error(evaluate: Command, run: Path) -> None:
    (run / "evaluation").touch()
    assert "evaluation" in evaluate(run, "--count", 4).complaint


@pytest.mark.usefixtures("chart_stubbed")
def test_measures_that_cannot_be_written_are_printed(evaluate: Command, run: Path) -> None:
    (run / "evaluation.json").mkdir()
    ended = evaluate(run, "--count", 4)
    assert "evaluation.json" in ended.complaint
    assert f"| {run} |" in ended.out and FLOOR in ended.out
