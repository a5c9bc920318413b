"""`--evaluate-every` and `--stop-when`: measures in metrics.csv, the best weights, plateaus, and resuming to the bit."""

from __future__ import annotations

import contextlib
import csv
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from gans.data.batches import Stream
from gans.training.evaluations import Evaluator
from gans.training.images import read_png
from gans.training.latent import LatentTrainer
from gans.training.loop import Loop
from gans.training.plots import plot_curves
from gans.training.run_folder import RunFolder
from tests.gans.conftest import Train, files
from tests.gans.training.conftest import PowerCut, at_step, cut_power, interrupt

STEPS = "--steps", 24, "--no-capture", "--evaluate-every", "5steps"  # an epoch has 4 steps


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A measure that depends on the weights: the brightness of the samples, which goes up and down."""

    def evaluator(trainer: LatentTrainer, batches: Stream) -> Evaluator:
        noise = trainer.fixed_noise(4, 0)
        return Evaluator({"brightness": "mean"}, lambda: {"brightness": float(trainer.generate(noise).mean())})

    monkeypatch.setattr(LatentTrainer, "evaluator", evaluator)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The values that the evaluations of a run will give."""
    values: list[float] = []
    monkeypatch.setattr(
        LatentTrainer, "evaluator", lambda *_: Evaluator({"FD": "distance"}, lambda: {"FD": values.pop(0), "other": 1.0})
    )
    return values


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def evaluated(run: Path, name: str) -> dict[int, float]:
    return {int(row["step"]): float(row[name]) for row in rows(run) if row[name]}


def best_step(run: Path) -> int:
    from minigrad.io.safetensors import load_with_metadata

    return int(load_with_metadata(run / "best.safetensors")[1]["step"])


# --- what is written


def test_measures_of_digits_go_into_metrics_csv_and_the_best_weights_are_kept(
    train: Train, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions = {}
    plotted = "gans.training.run_folder.plot_curves"
    monkeypatch.setattr(plotted, lambda path, steps, curves, found: captions.update(found))
    ended = train("--steps", 12, "--evaluate-every", "6steps", "--out", "run", data=labelled)
    assert ended.code == 0, ended.err
    assert "best.safetensors has the weights of the best evaluation, at step " in ended.out
    names = ["step", "d_loss", "g_loss", "D(x)", "D(G(z))", "classifier-FD", "precision", "recall"]
    assert set(rows(Path("run"))[0]) == set(names)
    found = evaluated(Path("run"), "classifier-FD")
    assert list(found) == [6, 12] and min(found.values()) > 0
    assert list(evaluated(Path("run"), "d_loss")) == [10, 12]
    assert best_step(Path("run")) == min(found, key=lambda step: found[step])
    assert "Of 40 images; for real ones it is " in captions["classifier-FD"] and "%" in captions["recall"]


@pytest.mark.usefixtures("plots_stubbed", "measured")
def test_training_is_the_same_with_and_without_evaluations(train: Train) -> None:
    assert train(*STEPS, "--out", "with").code == 0
    assert train(*STEPS[:3], "--out", "without").code == 0
    some, others = files(Path("with")), files(Path("without"))
    for name in ("checkpoint.safetensors", "generator.safetensors", "samples/step-000024.png"):
        assert some[name] == others[name], name
    losses = [row for row in rows(Path("with")) if row["d_loss"]]
    assert [{name: row[name] for name in ("step", "d_loss", "g_loss")} for row in losses] == [
        {name: row[name] for name in ("step", "d_loss", "g_loss")} for row in rows(Path("without"))
    ]


@pytest.mark.usefixtures("plots_stubbed")
def test_the_best_weights_are_those_of_the_lowest_value_and_commands_use_them(
    train: Train, scripted: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gans.trainers import load_run

    kept = {}
    plain = Loop.evaluate

    def evaluate(loop: Loop) -> None:
        plain(loop)
        kept[loop.step] = {key: array.copy() for key, array in loop.trainer.weights().items()}

    monkeypatch.setattr(Loop, "evaluate", evaluate)
    scripted += [3.0, 2.0, 2.0, 5.0]
    assert train(*STEPS, "--out", "run").code == 0
    assert evaluated(Path("run"), "FD") == {5: 3, 10: 2, 15: 2, 20: 5}
    assert best_step(Path("run")) == 10
    for best, expected in ((True, kept[10]), (False, mg.load(Path("run", "generator.safetensors")))):
        for key, array in load_run(Path("run"), "numpy", best).weights().items():
            np.testing.assert_array_equal(array, expected[key])
    assert any((kept[10][key] != kept[20][key]).any() for key in kept[10])


@pytest.mark.usefixtures("plots_stubbed", "measured")
def test_generate_takes_the_best_weights_if_asked(train: Train, generate: Train) -> None:
    assert train(*STEPS[:2], "--out", "run").code == 0
    assert "best.safetensors yet; it is written with the next evaluation" in generate("run", "--best").complaint
    assert train("--resume", "--out", "run", "--steps", 28, "--evaluate-every", "5steps").code == 0
    for name, flags in (("last", []), ("best", ["--best"])):
        assert generate("run", "--count", 4, "--out", f"{name}.png", *flags).code == 0
    assert best_step(Path("run")) == 25
    assert (read_png(Path("best.png")) != read_png(Path("last.png"))).any()


@pytest.mark.usefixtures("plots_stubbed", "measured")
def test_overwriting_a_run_deletes_its_best_weights(train: Train) -> None:
    assert train(*STEPS, "--out", "run").code == 0
    assert train("--steps", 2, "--overwrite", "--out", "run").code == 0
    assert not Path("run", "best.safetensors").exists()


# --- plateaus


@pytest.mark.usefixtures("plots_stubbed")
def test_a_plateau_ends_the_run_and_a_larger_limit_continues_it(train: Train, scripted: list[float]) -> None:
    scripted += [5.0, 4.0, 4.5, 4.0, 0.0]
    ended = train(*STEPS, "--stop-when", 2, "--out", "run")
    assert ended.code == 0
    assert "Done at step 20: FD was best at step 10 and has not improved in 2 evaluations since (--stop-when)" in ended.out
    assert len(scripted) == 1
    again = train("--resume", "--out", "run")
    assert again.code == 0 and "is finished, at step 20; to continue, give more --stop-when than 2" in again.out
    scripted[:] = [3.0]
    assert train("--resume", "--out", "run", "--stop-when", 3, "--steps", 25).code == 0
    assert evaluated(Path("run"), "FD") == {5: 5, 10: 4, 15: 4.5, 20: 4, 25: 3}
    assert best_step(Path("run")) == 25


def test_to_stop_at_a_plateau_without_evaluations_is_an_error(train: Train) -> None:
    assert "--stop-when needs --evaluate-every" in train("--stop-when", 2, "--out", "run").complaint
    assert not Path("run").exists()


def test_data_without_labels_are_an_error_before_the_run_is_written(train: Train) -> None:
    assert "labels" in train("--steps", 2, "--evaluate-every", "1", "--out", "run").complaint
    assert not Path("run").exists()


# --- interruptions


@pytest.mark.usefixtures("plots_stubbed", "measured")
def test_a_resumed_run_has_the_files_of_an_uninterrupted_one(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(*STEPS, "--out", "whole").code == 0
    whole = files(Path("whole"))
    for step, end in ((5, interrupt), (11, cut_power), (20, cut_power)):
        out = f"parts-{step}"
        with monkeypatch.context() as patch, contextlib.suppress(PowerCut):
            patch.setattr(Loop, "guarded_step", at_step(step, end))
            assert train(*STEPS, "--save-every", "3steps", "--out", out).code == 130
        assert len(evaluated(Path(out), "brightness")) == step // 5 - (end is cut_power and step % 5 == 0)
        assert train("--resume", "--out", out).code == 0
        parts = files(Path(out))
        assert set(parts) == set(whole)
        for name in set(whole) - {"config.json", "training.gif", "losses.png"}:
            assert whole[name] == parts[name], (step, name)


# --- the table


def test_a_new_metric_gets_a_column_and_its_rows_survive_a_cut(started: RunFolder) -> None:
    table = started.metrics
    table.append(10, {"loss": 1.0})
    table.append(13, {"FD": 7.0})
    table.append(20, {"loss": 2.0})
    table.append(20, {"FD": 6.0})
    table.append(25, {"loss": 3.0})
    assert table.path.read_bytes().splitlines() == [b"step,loss,FD", b"10,1,", b"13,,7", b"20,2,", b"20,,6", b"25,3,"]
    steps, curves = table.read()
    assert steps.tolist() == [10, 13, 20, 20, 25]
    np.testing.assert_array_equal(curves["FD"], [np.nan, 7, np.nan, 6, np.nan])
    table.cut(25, ["loss"])
    assert table.path.read_bytes().splitlines()[1:] == [b"10,1,", b"13,,7", b"20,2,", b"20,,6"]
    table.cut(13, ["loss"])
    assert table.path.read_bytes().splitlines() == [b"step,loss,FD", b"10,1,", b"13,,7"]
    RunFolder(started.path).metrics.append(20, {"loss": 2.0})
    assert table.path.read_bytes().splitlines()[-1] == b"20,2,"


def test_curves_with_empty_cells_are_drawn_and_a_single_value_shows(tmp_path: Path) -> None:
    steps, nan = np.arange(10, 50, 10.0), np.nan
    plot_curves(tmp_path / "one.png", steps, {"FD": np.array([nan, nan, 3, nan]), "none": np.full(4, nan)}, {})
    picture = read_png(tmp_path / "one.png").astype(int)
    blue = (picture[..., 2] > picture[..., 0] + 60).sum()
    assert 5 < blue < 500, "one point"
    assert picture.shape[0] == 340, "one row of panels"
