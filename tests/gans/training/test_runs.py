"""The files that a run writes: `python -m gans.mnist_gan` on 72 images, with 4 steps per epoch."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from gans.mnist_gan import MnistGAN
from gans.training import latent as base
from gans.training.latent import LatentTrainer
from gans.training.loop import Loop
from tests.gans.conftest import TRAIN_IMAGES, Start, Train, checkpoint_step, files, state

pytestmark = pytest.mark.usefixtures("plots_stubbed")


def test_a_run_writes_all_its_files(start: Start, digits: Path, tmp_path: Path) -> None:
    process = start("gans.mnist_gan", "--data", digits, "--batch-size", 16, "--epochs", 3)
    out, err = process.communicate()
    assert process.returncode == 0, err
    folder = tmp_path / "runs" / "mnist_gan"  # the default
    assert set(files(folder)) - {".lock"} == {
        "config.json", "metrics.csv", "losses.png", "training.gif", "checkpoint.safetensors", "generator.safetensors",
        "samples/real.png", *(f"samples/step-{step:06d}.png" for step in (0, 4, 8, 12)),
    }  # fmt: skip
    assert [name for name, content in files(folder).items() if not content and name != ".lock"] == []
    assert "72 images" in out
    assert str(digits) in out
    assert all(word in err for word in ("d_loss", "D(G(z))", "images/s")), "the progress bar shows losses and speed"


def test_config_json_contains_everything_to_repeat_the_run(whole: Path, digits: Path) -> None:
    saved = json.loads((whole / "config.json").read_text())
    assert saved["trainer"] == "mnist_gan"
    assert saved["config"] == {
        "backend": "numpy", "no_capture": False, "tf32": False, "data": str(digits), "epochs": 3, "steps": None,
        "batch_size": 16, "lr": 3e-4, "seed": 0, "sample_every": "1epoch", "save_every": "1epoch,5min",
        "keep_every": None, "evaluate_every": None, "stop_when": None, "tensorboard": False, "watch_gradients": False,
        "latent": "normal", "redraw": False, "dropout": 0.3,
    }  # fmt: skip
    content = (digits / TRAIN_IMAGES).read_bytes()[16:]  # after the header
    assert saved["data"] == {
        "source": str(digits / TRAIN_IMAGES), "images": 72, "hash": hashlib.blake2b(content, digest_size=8).hexdigest(),
    }  # fmt: skip
    assert saved["minigrad"] == mg.__version__


def test_the_generator_file_holds_the_generators_weights_under_pytorchs_names(whole: Path) -> None:
    weights = mg.load(whole / "generator.safetensors")
    assert {name: a.shape for name, a in weights.items()} == {
        "0.weight": (256, 100),
        "0.bias": (256,),
        "2.weight": (256, 256),
        "2.bias": (256,),
        "4.weight": (784, 256),
        "4.bias": (784,),
    }
    saved = mg.load(whole / "checkpoint.safetensors")
    for name, array in weights.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, saved[f"generator.{name}"])


def test_metrics_are_means_over_the_steps_since_the_row_before(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, float]] = []
    plain = Loop.guarded_step

    def step(self: Loop) -> Any:
        metrics = plain(self)
        seen.append({name: value.item() for name, value in metrics.items()})
        return metrics

    monkeypatch.setattr(Loop, "guarded_step", step)
    train("--epochs", 3, "--out", tmp_path / "run")
    header, *rows = [line.split(",") for line in (tmp_path / "run" / "metrics.csv").read_text().splitlines()]
    assert header == ["step", "d_loss", "g_loss", "D(x)", "D(G(z))"]
    assert [row[0] for row in rows] == ["10", "12"]
    for row, steps in zip(rows, (seen[:10], seen[10:]), strict=True):
        expected = [np.mean([each[name] for each in steps]) for name in header[1:]]
        np.testing.assert_allclose([float(x) for x in row[1:]], expected, rtol=1e-5)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(train: Train, whole: Path, tmp_path: Path) -> None:
    for name, seed in (("again", 0), ("other", 1)):
        assert train("--epochs", 3, "--seed", seed, "--out", tmp_path / name).code == 0
    assert files(tmp_path / "again") == files(whole)
    other = files(tmp_path / "other")
    assert [name for name in state(whole) if other[name] == files(whole)[name]] == []
    assert other["metrics.csv"] != files(whole)["metrics.csv"]


def test_training_changes_both_networks_and_the_samples(whole: Path, train: Train, tmp_path: Path) -> None:
    train("--steps", 1, "--out", tmp_path / "one")
    first, last = mg.load(tmp_path / "one" / "checkpoint.safetensors"), mg.load(whole / "checkpoint.safetensors")
    assert [name for name in first if np.array_equal(first[name], last[name])] == []
    assert len({(whole / "samples" / f"step-{step:06d}.png").read_bytes() for step in (0, 4, 8, 12)}) == 4


# --- samples


def test_samples_come_from_the_same_noise_each_time_and_only_the_seed_changes_it(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[np.ndarray] = []
    plain = LatentTrainer.generate

    def generate(self: LatentTrainer, latent: mg.Tensor) -> np.ndarray:
        shown.append(latent.numpy().copy())
        return plain(self, latent)

    monkeypatch.setattr(LatentTrainer, "generate", generate)
    train("--epochs", 3, "--out", tmp_path / "a")
    train("--epochs", 3, "--steps", 6, "--sample-every", 2, "--out", tmp_path / "b")
    train("--resume", "--epochs", 4, "--steps", 16, "--out", tmp_path / "b")
    assert len(shown) == 4 + 2 + 2  # steps 0, 4, 8 and 12; 0 and 6, the last one; 8 and 16
    assert all(np.array_equal(latent, shown[0]) for latent in shown)
    assert shown[0].shape == (base.SAMPLES, 100)
    assert len(set(map(bytes, shown[0]))) == base.SAMPLES
    train("--steps", 1, "--seed", 1, "--out", tmp_path / "c")
    assert not set(map(bytes, shown[-1])) & set(map(bytes, shown[0]))


def test_sampling_does_not_affect_training(train: Train, whole: Path, tmp_path: Path) -> None:
    train("--epochs", 3, "--sample-every", 3, "--out", tmp_path / "seldom")
    seldom = {name: a for name, a in state(tmp_path / "seldom").items() if not name.endswith(".gif")}
    assert {name for name in state(whole) if name not in seldom} == {
        "training.gif", "samples/step-000004.png", "samples/step-000008.png",
    }  # fmt: skip
    assert seldom.items() <= state(whole).items()


def test_a_run_within_the_first_epoch_shows_how_the_images_change(train: Train, tmp_path: Path) -> None:
    ended = train("--batch-size", 1, "--steps", 40, "--out", tmp_path / "run")  # an epoch has 72
    assert [path.stem for path in sorted((tmp_path / "run" / "samples").glob("step-*"))] == [
        "step-000000", "step-000016", "step-000032", "step-000040",
    ]  # fmt: skip
    with Image.open(tmp_path / "run" / "training.gif") as gif:
        assert gif.n_frames == 4
    assert "Done with the 40 steps of --steps (--epochs has 2,880)" in ended.out


def test_samples_by_steps_do_not_depend_on_interruptions(train: Train, tmp_path: Path) -> None:
    settings = ("--epochs", 3, "--sample-every", "2epochs,5steps")
    assert train(*settings, "--out", tmp_path / "whole").code == 0
    train(*settings, "--steps", 3, "--out", tmp_path / "pieces")
    for stop in (5, 7, 11, 12):
        assert train("--resume", "--steps", stop, "--out", tmp_path / "pieces").code == 0
    assert state(tmp_path / "pieces") == state(tmp_path / "whole")
    names = [path.stem for path in sorted((tmp_path / "whole" / "samples").glob("step-*"))]
    assert names == [f"step-{step:06d}" for step in (0, 5, 8, 10, 12)]


# --- folders


def test_a_run_is_not_overwritten_without_being_asked(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 5, "--out", folder)
    before = files(folder)
    complaint = train("--steps", 1, "--out", folder).complaint
    assert "--resume" in complaint
    assert "--overwrite" in complaint
    assert files(folder) == before
    assert train("--steps", 1, "--overwrite", "--out", folder).code == 0
    assert checkpoint_step(folder) == 1


def test_a_run_that_another_process_starts_while_the_data_load_is_not_overwritten(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plain = tmp_path / "run", MnistGAN.load_images
    monkeypatch.setattr(MnistGAN, "load_images", plain)

    def slow(self: MnistGAN) -> Any:
        monkeypatch.setattr(MnistGAN, "load_images", plain)
        assert train("--steps", 5, "--out", folder).code == 0  # the other process, which was faster
        before.update(files(folder))
        return plain(self)

    before: dict[str, bytes] = {}
    monkeypatch.setattr(MnistGAN, "load_images", slow)
    ended = train("--steps", 1, "--out", folder)
    assert before
    assert {n: a for n, a in files(folder).items() if n != ".lock"} == {n: a for n, a in before.items() if n != ".lock"}
    assert "already holds a run" in ended.complaint


@pytest.mark.parametrize("where", ["a file", "below a file", "a name too long"])
def test_an_impossible_folder_is_refused_in_one_sentence(where: str, train: Train, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    out = {"a file": file, "below a file": file / "run", "a name too long": tmp_path / ("x" * 300)}[where]
    assert str(out) in train("--steps", 1, "--out", out).complaint
    assert file.read_text() == "kept"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_checkpoint_that_cannot_be_written_keeps_the_one_before(train: Train, tmp_path: Path) -> None:
    import resource

    folder = tmp_path / "run"
    train("--epochs", 1, "--out", folder)
    before = files(folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, limits[1]))  # the checkpoint has 6.7 MB
    try:
        complaint = train("--resume", "--epochs", 2, "--out", folder).complaint
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "cannot write" in complaint
    assert "checkpoint.safetensors" in complaint
    after = files(folder)
    assert {name for name in before if after[name] != before[name]} <= {"config.json", "metrics.csv", "generator.safetensors"}
    assert checkpoint_step(folder) == 4
    assert train("--resume", "--epochs", 2, "--out", folder).code == 0
