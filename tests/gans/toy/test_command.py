import argparse
import json

import numpy as np
import pytest
from PIL import Image

import gans.toy.__main__ as command
from gans.toy import theory
from gans.toy.__main__ import main, parts
from gans.toy.losses import LOSSES
from gans.toy.modes import Coverage
from gans.toy.trainer import LR, STEPS, ToyGAN


@pytest.mark.parametrize("data", ["mixture", "moons"])
def test_a_run_leaves_an_animation_and_a_picture(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gans.toy.__main__.FRAMES", 2)
    main(["--data", data, "--steps", "4", "--g-units", "leaky-relu", "--out", str(tmp_path / "new")])
    with Image.open(tmp_path / "new" / "training.gif") as gif, Image.open(tmp_path / "new" / "final.png") as picture:
        assert gif.n_frames == 3 and gif.size == picture.size
    out = capsys.readouterr().out
    assert "step 4: d_loss" in out and ("modes hit" in out) == (data != "moons")
    found = json.loads((tmp_path / "new" / "final.json").read_text())
    assert found["steps"] == 4 and found["g_units"] == "leaky-relu"
    assert found.get("samples") == (2_500 if data != "moons" else None)


def test_losses_are_compared_from_one_seed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gans.toy.__main__.FRAMES", 2)
    main(["--compare", "--steps", "2", "--out", str(tmp_path)])
    assert (tmp_path / "compare.gif").exists() and (tmp_path / "compare.png").exists()
    out = capsys.readouterr().out
    assert all(f"{name}: " in out for name in LOSSES)
    assert [found["loss"] for found in json.loads((tmp_path / "compare.json").read_text())] == list(LOSSES)


def test_the_theory_is_printed_drawn_and_stored(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(theory, "STEPS", 3)
    monkeypatch.setattr(theory, "checks", theory.chi_squared)
    main(["--theory", "--out", str(tmp_path)])
    stored = json.loads((tmp_path / "theory.json").read_text())
    assert len(stored) == 4 and {"what", "measured", "exact", "error"} == stored[0].keys()
    assert "error" in capsys.readouterr().out and (tmp_path / "theory.png").exists()


@pytest.fixture
def small_table(tmp_path, monkeypatch):
    """--table with two losses and three seeds, and the runs that it makes; the sixth is interrupted."""
    runs = []

    def covered(arguments, loss, data, seed):
        runs.append((loss, data, seed))
        if len(runs) == 6:
            raise KeyboardInterrupt
        return Coverage(7 if data == "ring" else 20, 0.25 * (1 + seed), 0.5)

    monkeypatch.setattr(command, "covered", covered)
    monkeypatch.setattr(command, "LOSSES", {"gan": LOSSES["gan"], "wgan": LOSSES["wgan"]})
    monkeypatch.setattr(command, "SEEDS", 3)
    return runs


def test_a_table_that_was_stopped_goes_on_where_it_was(small_table, tmp_path):
    arguments = ["--table", "--steps", "2", "--out", str(tmp_path)]
    with pytest.raises(SystemExit):
        main(arguments)
    main(arguments)
    assert len(small_table) == 19 and len(set(small_table)) == 18 and small_table[5] == small_table[6]
    assert "| wgan | 7 | 50 % | 0.50 | 20 | 50 % | 0.50 |" in (tmp_path / "coverage.md").read_text()


def test_the_failing_row_differs_in_its_generator(monkeypatch):
    made = []

    def small(*settings, g_activation):
        made.append(g_activation())
        return ToyGAN(*settings, width=4)

    monkeypatch.setattr(command, "ToyGAN", small)
    for row in (command.FAILING, "gan"):
        result = command.covered(argparse.Namespace(steps=1, lr=0.001), row, "ring", 0)
        assert result.good < 0.5
    assert [type(unit).__name__ for unit in made] == ["LeakyReLU", "Tanh"]


@pytest.mark.long  # some two minutes a row
@pytest.mark.parametrize(("data", "modes"), [("ring", 8), ("grid", 24)])
@pytest.mark.parametrize("loss", ["wgan-gp", "r3gan"])
def test_wgan_gp_and_r3gan_cover_the_modes(loss, data, modes):
    found = command.covered(argparse.Namespace(steps=STEPS, lr=LR), loss, data, seed=0)
    assert found.hit >= modes and found.good >= 0.6


def test_a_file_that_holds_no_results_is_named(tmp_path, capsys):
    (tmp_path / "coverage.json").write_text('{"gan": [1]}')
    with pytest.raises(SystemExit) as caught:
        main(["--table", "--out", str(tmp_path)])
    assert caught.value.code == 1 and "coverage.json is not a file of results" in capsys.readouterr().err


def test_a_training_that_diverges_is_one_line_and_does_not_stop_a_comparison(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "FRAMES", 8)
    flags = ["--steps", "8", "--lr", "1e20", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as caught:
        main(["--loss", "kl", *flags])
    assert caught.value.code == 1 and "diverged: after" in capsys.readouterr().err
    monkeypatch.setattr(command, "LOSSES", {"hinge": LOSSES["hinge"], "kl": LOSSES["kl"]})
    main(["--compare", *flags])
    assert "kl: training diverged: after" in capsys.readouterr().out and (tmp_path / "compare.png").exists()


@pytest.mark.parametrize("steps", [1, 2, 59, 60, 61, 5_000])
def test_the_parts_between_frames_are_all_the_steps(steps):
    found = parts(steps, 60)
    assert sum(found) == steps and len(found) <= 60 and min(found) >= 1 and np.all(np.diff(found) >= -1)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--loss", "x"], "invalid choice"),
        (["--steps", "0"], "not an integer from 1"),
        (["--table", "--theory"], "not allowed with"),
        (["--lr", "nan"], "not a number above 0"),
        (["--port", "65536"], "not an integer from 0 to 65,535"),
    ],
)
def test_wrong_flags_are_one_line(flags, sentence, capsys):
    with pytest.raises(SystemExit) as caught:
        main(flags)
    assert caught.value.code == 2 and sentence in capsys.readouterr().err


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as caught:
        main(["--out", str(tmp_path / "file")])
    assert caught.value.code == 1 and "cannot use the folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--serve", "--lr", "0.1"], "--lr has no effect with --serve"),
        (["--table", "--g-units", "tanh"], "--g-units has no effect with --table"),
        (["--theory", "--steps", "3"], "--steps has no effect with --theory"),
        (["--compare", "--loss", "gan"], "--loss has no effect with --compare"),
        (["--port", "80"], "--port has no effect without --serve"),
    ],
)
def test_a_flag_without_effect_is_refused(flags, sentence, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(flags)
    assert caught.value.code == 1 and sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
