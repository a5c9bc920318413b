import json

import numpy as np
import pytest
from PIL import Image

from gans.toy import theory
from gans.toy.__main__ import main, parts
from gans.toy.losses import LOSSES


@pytest.mark.parametrize("data", ["mixture", "moons"])
def test_a_run_leaves_an_animation_and_a_picture(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gans.toy.__main__.FRAMES", 2)
    main(["--data", data, "--steps", "4", "--out", str(tmp_path / "new")])
    with Image.open(tmp_path / "new" / "training.gif") as gif, Image.open(tmp_path / "new" / "final.png") as picture:
        assert gif.n_frames == 3 and gif.size == picture.size
    out = capsys.readouterr().out
    assert "step 4: d_loss" in out and ("modes hit" in out) == (data != "moons")


def test_losses_are_compared_from_one_seed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gans.toy.__main__.FRAMES", 2)
    main(["--compare", "--steps", "2", "--out", str(tmp_path)])
    assert (tmp_path / "compare.gif").exists() and (tmp_path / "compare.png").exists()
    out = capsys.readouterr().out
    assert all(f"{name}: " in out for name in LOSSES)


def test_the_theory_is_printed_drawn_and_stored(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(theory, "STEPS", 3)
    monkeypatch.setattr(theory, "checks", theory.chi_squared)
    main(["--theory", "--out", str(tmp_path)])
    stored = json.loads((tmp_path / "theory.json").read_text())
    assert len(stored) == 4 and {"what", "measured", "exact"} == stored[0].keys()
    assert "error" in capsys.readouterr().out and (tmp_path / "theory.png").exists()


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
