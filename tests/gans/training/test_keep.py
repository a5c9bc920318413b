"""`--keep-every`: numbered checkpoints, which stay; and `--checkpoint`, with which commands take one."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from gans.data.batches import Stream
from gans.training.evaluations import Evaluator
from gans.training.latent import LatentTrainer
from gans.training.loop import Loop
from minigrad.io import files as file_access
from minigrad.io.files import FileError
from tests.gans.conftest import Train, checkpoint_step, files, run_here, state
from tests.gans.training.conftest import PowerCut, at_step, cut_power

pytestmark = pytest.mark.usefixtures("plots_stubbed")

RUN = "--no-capture", "--keep-every", "5steps", "--out", "run"  # an epoch has 4 steps


def kept(run: str = "run") -> dict[str, bytes]:
    return files(Path(run, "checkpoints"))


def test_checkpoints_are_kept_at_their_steps_beside_the_last_one(train: Train) -> None:
    assert train(*RUN, "--steps", 12).code == 0
    assert list(kept()) == ["step-000005.safetensors", "step-000010.safetensors"]
    assert checkpoint_step(Path("run")) == 12
    assert train("--steps", 12, "--no-capture", "--out", "without").code == 0
    without = state(Path("without"))
    assert {name: state(Path("run"))[name] for name in without} == without


@pytest.mark.parametrize("back", [5, 10])
def test_going_back_trains_the_same_steps_again_and_changes_no_kept_file(back: int, train: Train) -> None:
    assert train(*RUN, "--steps", 23).code == 0
    whole = files(Path("run"))
    Path("run", "report.md").write_text("of the end that is left behind")
    ended = train("--resume", "--checkpoint", back, "--steps", back, "--out", "run")
    assert not Path("run", "report.md").exists() and max(Path("run", "samples").glob("step-*")).stem <= f"step-{back:06}"
    ended = train("--resume", "--checkpoint", back, "--steps", back + 1, "--out", "run")
    assert ended.code == 0, ended.err
    assert checkpoint_step(Path("run")) == back + 1
    assert {name: kept()[name] for name in kept()} == {name[12:]: a for name, a in whole.items() if "checkpoints" in name}
    ended = train("--resume", "--steps", 23, "--out", "run")
    assert ended.code == 0 and "stays as it is" not in ended.err
    parts = files(Path("run"))
    for name in set(whole) - {"training.gif", "config.json"}:
        assert whole[name] == parts[name], name
    assert "checkpoint" not in json.loads(parts["config.json"])["config"]


def test_a_crash_just_after_going_back_loses_nothing(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(*RUN, "--steps", 13).code == 0
    whole = files(Path("run"))
    with monkeypatch.context() as patch, contextlib.suppress(PowerCut):
        patch.setattr(Loop, "guarded_step", at_step(1, cut_power))
        train("--resume", "--checkpoint", 10, "--out", "run")
    assert Path("run", "checkpoint.safetensors").read_bytes() == kept()["step-000010.safetensors"]
    assert train("--resume", "--out", "run").code == 0
    parts = files(Path("run"))
    assert parts["checkpoint.safetensors"] == whole["checkpoint.safetensors"]
    assert parts["metrics.csv"] == whole["metrics.csv"]


@pytest.mark.parametrize("stop", [3, 7, 11])
def test_a_run_in_pieces_keeps_the_same_checkpoints(stop: int, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(*RUN, "--steps", 12).code == 0
    whole = kept()
    with monkeypatch.context() as patch, contextlib.suppress(PowerCut):
        patch.setattr(Loop, "guarded_step", at_step(stop, cut_power))
        train(*RUN[:-1], "parts", "--steps", 12, "--save-every", "2steps")
    assert train("--resume", "--out", "parts").code == 0
    assert kept("parts") == whole


def test_a_kept_file_with_other_weights_stays_and_a_line_says_so(train: Train) -> None:
    assert train(*RUN, "--steps", 6).code == 0
    assert train("--steps", 6, "--seed", 1, "--no-capture", "--keep-every", "5steps", "--out", "other").code == 0
    path = Path("run", "checkpoints", "step-000010.safetensors")
    others = {
        name: a + 1 if name == "generator.0.weight" else a
        for name, a in mg.load(Path("run", "checkpoints", "step-000005.safetensors")).items()
    }
    mg.save(path, others, {"step": "10"})
    before = path.read_bytes()
    ended = train("--resume", "--steps", 11, "--out", "run")
    assert ended.code == 0
    assert f"{path} stays as it is, but this run has come to other weights at this step" in ended.err
    assert path.read_bytes() == before


def test_overwriting_a_run_deletes_its_kept_checkpoints(train: Train) -> None:
    assert train(*RUN, "--steps", 6).code == 0
    assert train("--steps", 2, "--overwrite", "--out", "run").code == 0
    assert not kept()


def test_going_back_before_the_best_evaluation_forgets_its_weights(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [3.0, 2.0, 2.5, 2.5]

    def evaluator(trainer: LatentTrainer, batches: Stream) -> Evaluator:
        return Evaluator({"FD": "distance"}, lambda: {"FD": values.pop(0)})

    monkeypatch.setattr(LatentTrainer, "evaluator", evaluator)
    assert train(*RUN, "--steps", 15, "--evaluate-every", "5steps").code == 0
    assert train("--resume", "--checkpoint", 10, "--steps", 11, "--out", "run").code == 0
    assert Path("run", "best.safetensors").exists(), "the best one was at step 10"
    ended = train("--resume", "--checkpoint", 5, "--steps", 6, "--out", "run")
    assert not Path("run", "best.safetensors").exists()
    assert ended.code == 0 and "best evaluation" not in ended.out


# --- commands


def test_generate_and_evaluate_take_a_kept_checkpoint(train: Train, generate: Train, labelled: Path) -> None:
    from gans.evaluate import main

    assert train(*RUN, "--steps", 7, data=labelled).code == 0
    assert train("--no-capture", "--steps", 5, "--out", "short", data=labelled).code == 0
    for run, flags in (("run", ("--checkpoint", 5)), ("short", ())):
        assert generate(run, "--count", 4, "--out", f"{run}.png", *flags).code == 0
    with Image.open("run.png") as ours, Image.open("short.png") as theirs:
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
        assert ours.info["step"] == "5"
    for run, flags in (("run", ("--checkpoint", 5)), ("short", ())):
        ended = run_here(main, (run, "--count", 20, *flags))
        assert ended.code == 0, ended.err
    ours, theirs = (json.loads(Path(run, "evaluation.json").read_text()) for run in ("run", "short"))
    assert list(ours["results"].values()) == list(theirs["results"].values())
    assert "of step 5" in ours["weights"] and "weights" not in theirs


@pytest.mark.parametrize("command", ["generate", "resume"])
def test_a_missing_or_damaged_checkpoint_is_one_sentence(command: str, train: Train, generate: Train) -> None:
    def take(step: int) -> str:
        if command == "generate":
            return generate("run", "--checkpoint", step).complaint
        return train("--resume", "--checkpoint", step, "--out", "run").complaint

    assert train("--steps", 3, "--no-capture", "--out", "run").code == 0
    assert "has no numbered checkpoints; a run with --keep-every writes them" in take(2)
    assert train("--resume", "--steps", 15, "--keep-every", "1steps", "--no-capture", "--out", "run").code == 0
    assert "no numbered checkpoint of step 2, only of 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15" in take(2)
    path = Path("run", "checkpoints", "step-000007.safetensors")
    path.with_name("step-000099.safetensors").write_bytes(path.read_bytes())
    assert "13, 14, ..., 99" in take(2)
    assert "step-000099.safetensors is a checkpoint of step 7, not of the step in its name" in take(99)
    path.write_bytes(path.read_bytes()[:-1])
    before = files(Path("run"))
    assert "step-000007.safetensors is damaged" in take(7)
    assert {name: a for name, a in files(Path("run")).items() if name != ".lock"} == {
        name: a for name, a in before.items() if name != ".lock"
    }


def test_wrong_flags_are_one_sentence(train: Train, generate: Train) -> None:
    assert "give --resume too" in train("--checkpoint", 5, "--out", "run").complaint
    assert generate("run", "--best", "--checkpoint", 5).code == 2
    assert train("--checkpoint", 0, "--resume", "--out", "run").code == 2


def test_a_full_disk_ends_the_run_in_one_sentence_and_it_can_be_resumed(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = file_access.write_atomically

    def full(path: Path, content: bytes) -> None:
        if Path(path).parent.name == "checkpoints":
            raise FileError(f"cannot write {path}: No space left on device")
        plain(path, content)

    assert train(*RUN, "--steps", 11).code == 0
    whole = files(Path("run"))
    with monkeypatch.context() as patch:
        patch.setattr("gans.training.run_folder.write_atomically", full)
        complaint = train(*RUN[:-1], "full", "--steps", 11).complaint
    assert "step-000005.safetensors: No space left on device" in complaint
    assert checkpoint_step(Path("full")) == 4
    assert train("--resume", "--out", "full").code == 0
    parts = files(Path("full"))
    assert {name: parts[name] for name in whole if name.endswith(".safetensors")} == {
        name: a for name, a in whole.items() if name.endswith(".safetensors")
    }
