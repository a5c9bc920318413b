"""`python -m gans.mnist_gan` from the command line to the files, on 72 pictures: an epoch has 4 steps."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from gans.data.batches import Batches
from gans.data.idx import write_idx
from gans.mnist_gan import Config, MnistGAN
from gans.training import loop
from gans.training import trainer as base
from gans.training.loop import Loop
from gans.training.trainer import LatentTrainer
from minigrad import random
from minigrad.kernels import cpu

pytestmark = pytest.mark.usefixtures("plots_stubbed")

Train = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]
IMAGES = "train-images-idx3-ubyte"
POWER_CUT = "power cut"


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def state(folder: Path) -> dict[str, bytes]:
    """What must not depend on interruptions: weights, optimizer and random state, position, pictures."""
    kept = files(folder)
    return {name: kept[name] for name in kept if name.endswith((".safetensors", ".png", ".gif")) and name != "losses.png"}


def checkpoint_step(folder: Path) -> int:
    from minigrad.serialize import load_with_metadata

    return int(load_with_metadata(folder / "checkpoint.safetensors")[1]["step"])


def at_step(number: int, action: Callable[[], None], before: bool = True) -> Callable[..., Any]:
    """A step of MnistGAN that does something at call `number` (1 is the first)."""
    calls = []
    plain = MnistGAN.step

    def step(self: MnistGAN, real: mg.Tensor) -> Any:
        calls.append(real)
        if len(calls) == number and before:
            action()
        metrics = plain(self, real)
        if len(calls) == number and not before:
            action()
        return metrics

    return step


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def cut_power() -> None:
    raise RuntimeError(POWER_CUT)


@pytest.fixture(scope="module")
def folder_of_whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole") / "run"


@pytest.fixture
def whole(train: Train, folder_of_whole: Path) -> Path:
    """The folder of a run of 3 epochs, 12 steps, that nothing disturbed; made once, for reading only."""
    if not folder_of_whole.exists():
        ended = train("--epochs", 3, "--out", folder_of_whole)
        assert ended.code == 0, ended.err
    return folder_of_whole


@pytest.fixture
def config(digits: Path) -> Config:
    return Config(backend="numpy", data=str(digits), batch_size=16)


@pytest.fixture
def trainer(config: Config) -> MnistGAN:
    mg.manual_seed(0)
    return MnistGAN(config)


@pytest.fixture
def real(trainer: MnistGAN) -> mg.Tensor:
    return Batches(trainer.load_images()[0], 16, seed=0)[0][0]


# --- what a run writes


def test_a_run_writes_every_file_that_is_promised(start: Start, digits: Path, tmp_path: Path) -> None:
    process = start("gans.mnist_gan", "--data", digits, "--batch-size", 16, "--epochs", 3)
    out, err = process.communicate()
    assert process.returncode == 0, err
    folder = tmp_path / "runs" / "mnist_gan"  # the default
    assert set(files(folder)) - {".lock"} == {
        "config.json", "metrics.csv", "losses.png", "training.gif", "checkpoint.safetensors", "generator.safetensors",
        *(f"samples/epoch-000{i}.png" for i in range(4)),
    }  # fmt: skip
    assert [name for name, content in files(folder).items() if not content and name != ".lock"] == []
    assert "72 images" in out
    assert str(digits) in out
    assert all(word in err for word in ("d_loss", "D(G(z))", "images/s")), "the progress bar shows losses and speed"


def test_config_json_tells_how_to_repeat_the_run(whole: Path, digits: Path) -> None:
    told = json.loads((whole / "config.json").read_text())
    assert told["trainer"] == "mnist_gan"
    assert told["config"] == {
        "backend": "numpy", "tf32": False, "data": str(digits), "epochs": 3, "steps": None, "batch_size": 16, "lr": 3e-4,
        "seed": 0, "sample_every": 1,
    }  # fmt: skip
    content = (digits / IMAGES).read_bytes()[16:]  # after the header
    assert told["data"] == {
        "source": str(digits / IMAGES), "images": 72, "hash": hashlib.blake2b(content, digest_size=8).hexdigest(),
    }  # fmt: skip
    assert told["minigrad"] == mg.__version__


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
    plain = MnistGAN.step

    def step(self: MnistGAN, batch: mg.Tensor) -> Any:
        metrics = plain(self, batch)
        seen.append({name: value.item() for name, value in metrics.items()})
        return metrics

    monkeypatch.setattr(MnistGAN, "step", step)
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


def test_training_changes_both_networks_and_the_pictures(whole: Path, train: Train, tmp_path: Path) -> None:
    train("--steps", 1, "--out", tmp_path / "one")
    first, last = mg.load(tmp_path / "one" / "checkpoint.safetensors"), mg.load(whole / "checkpoint.safetensors")
    assert [name for name in first if np.array_equal(first[name], last[name])] == []
    assert len({(whole / "samples" / f"epoch-000{i}.png").read_bytes() for i in range(4)}) == 4


# --- interrupted and resumed equals uninterrupted


@pytest.mark.parametrize("stops", [[1], [3], [4], [5], [8], [10], [11], [2, 5, 9]], ids=str)
def test_a_run_in_pieces_equals_a_whole_one(stops: list[int], train: Train, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pieces"
    assert train("--epochs", 3, "--steps", stops[0], "--out", folder).code == 0
    for stop in [*stops[1:], 12]:
        ended = train("--resume", "--steps", stop, "--out", folder)
        assert ended.code == 0, ended.err
        assert checkpoint_step(folder) == stop
    assert state(folder) == state(whole)


def test_more_epochs_go_on_where_fewer_ended(train: Train, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pieces"
    train("--epochs", 1, "--out", folder)
    assert train("--resume", "--epochs", 3, "--out", folder).code == 0
    assert state(folder) == state(whole)


@pytest.mark.parametrize("step", [1, 2, 4, 5, 8, 10, 11])
def test_ctrl_c_finishes_the_step_and_the_command_it_prints_goes_on(
    step: int, train: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(MnistGAN, "step", at_step(step, interrupt))
        ended = train("--epochs", 3, "--out", folder)
    assert ended.code == 130
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert checkpoint_step(folder) == step
    last = ended.out.rstrip().splitlines()[-1]
    assert last.startswith("Interrupted and saved. To go on: python -m gans.mnist_gan ")
    words = shlex.split(last.partition("gans.mnist_gan ")[2])
    assert train(*words).code == 0
    assert state(folder) == state(whole)


def test_the_command_printed_for_a_folder_with_a_space_goes_on(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(MnistGAN, "step", at_step(6, interrupt))
        ended = train("--epochs", 3, "--out", tmp_path / "a run")
    words = shlex.split(ended.out.rstrip().splitlines()[-1].partition("gans.mnist_gan ")[2])
    assert words[words.index("--out") + 1] == str(tmp_path / "a run")


@pytest.mark.parametrize("longer", [["--epochs", "3"], ["--steps", "12", "--epochs", "3"]], ids=["epochs", "steps"])
def test_the_printed_command_goes_on_to_the_end_that_was_asked_for_when_resuming(
    longer: list[str], train: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    train("--epochs", 1, *(["--steps", "2"] if "--steps" in longer else []), "--out", folder)
    with monkeypatch.context() as patch:
        patch.setattr(MnistGAN, "step", at_step(2, interrupt))
        ended = train("--resume", *longer, "--out", folder)
    assert ended.code == 130
    stopped = checkpoint_step(folder)
    words = shlex.split(ended.out.rstrip().splitlines()[-1].partition("gans.mnist_gan ")[2])
    train(*words)
    assert stopped < 12
    assert checkpoint_step(folder) == 12
    assert state(folder) == state(whole)


@pytest.mark.parametrize("step", [2, 7, 11])
def test_after_a_power_cut_resuming_from_the_last_epoch_makes_up_for_it(
    step: int, train: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(MnistGAN, "step", at_step(step, cut_power))
        with pytest.raises(RuntimeError, match=POWER_CUT):
            train("--epochs", 3, "--out", folder)
    if step < 4:  # before the first checkpoint
        assert "no checkpoint" in train("--resume", "--out", folder).complaint
        assert train("--overwrite", "--epochs", 3, "--out", folder).code == 0
    else:
        assert checkpoint_step(folder) == (step - 1) // 4 * 4
        assert train("--resume", "--out", folder).code == 0
    assert state(folder) == state(whole)


@pytest.mark.parametrize(
    ("how", "stop"), [("ctrl-c", 3), ("ctrl-c", 4), ("ctrl-c", 10), ("ctrl-c", 11), ("power cut", 7), ("power cut", 11)]
)
def test_metrics_of_an_interrupted_run_equal_those_of_a_whole_one(
    how: str, stop: int, train: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(MnistGAN, "step", at_step(stop, interrupt if how == "ctrl-c" else cut_power))
        with pytest.raises(RuntimeError, match=POWER_CUT) if how == "power cut" else contextlib.nullcontext():
            train("--epochs", 3, "--out", folder)
    assert train("--resume", "--out", folder).code == 0
    assert (folder / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process alone")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_from_outside_in_the_middle_of_training_loses_nothing(
    number: signal.Signals, start: Start, train: Train, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "SAMPLES", 64)  # what the other process shows
    folder, endless = tmp_path / "run", ("--epochs", 100_000, "--sample-every", 5)
    process = start("gans.mnist_gan", "--data", digits, "--batch-size", 16, *endless, "--out", folder)
    deadline = time.monotonic() + 60
    while not (folder / "checkpoint.safetensors").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == (-number if number == signal.SIGKILL else 130), err
    assert "Traceback" not in err
    assert ("--resume" in out) == (number != signal.SIGKILL)
    stopped = checkpoint_step(folder)
    assert stopped >= 4
    assert train("--resume", "--steps", stopped + 6, "--out", folder).code == 0
    assert train(*endless, "--steps", stopped + 6, "--out", tmp_path / "whole").code == 0
    assert state(folder) == state(tmp_path / "whole")


def test_a_second_ctrl_c_stops_at_once_and_keeps_the_last_checkpoint(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice() -> None:
        before.update(files(folder))
        interrupt()
        interrupt()

    folder, before = tmp_path / "run", dict[str, bytes]()
    with monkeypatch.context() as patch:
        patch.setattr(MnistGAN, "step", at_step(7, twice))
        ended = train("--epochs", 3, "--out", folder)
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert {name: a for name, a in files(folder).items() if name != ".lock"} == {
        name: a for name, a in before.items() if name != ".lock"
    }
    assert checkpoint_step(folder) == 4
    assert train("--resume", "--out", folder).code == 0, "the lock is free again"


def test_ctrl_c_before_the_first_step_ends_without_a_traceback_and_without_a_false_promise(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = loop.progress_bar

    def interrupted(training: Loop) -> Any:
        bar = plain(training)

        @contextlib.contextmanager
        def stop_request() -> Iterator[Any]:
            with stopping() as stop:
                interrupt()
                yield stop

        monkeypatch.setattr(loop, "stop_request", stop_request)
        return bar

    stopping = loop.stop_request
    monkeypatch.setattr(loop, "progress_bar", interrupted)
    ended = train("--epochs", 3, "--out", tmp_path / "run")
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert "saved" not in ended.out or (tmp_path / "run" / "checkpoint.safetensors").exists()


# --- what resuming refuses


@pytest.mark.parametrize(
    ("flag", "value", "was"), [("--lr", "1e-3", "0.0003"), ("--batch-size", "8", "16"), ("--seed", "1", "0")]
)
def test_what_would_make_another_run_cannot_change_when_resuming(
    flag: str, value: str, was: str, train: Train, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    train("--steps", 2, "--out", folder)
    before = files(folder)
    complaint = train("--resume", "--steps", 4, flag, value, "--out", folder).complaint
    assert flag in complaint
    assert was in complaint
    assert files(folder) == before
    assert train("--resume", "--steps", 4, flag, was, "--out", folder).code == 0, "the same value is no change"


def test_resuming_without_a_run_says_so_and_makes_nothing(train: Train, tmp_path: Path) -> None:
    assert "holds no run" in train("--resume", "--out", tmp_path / "run").complaint
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("how", [["--steps", "2"], ["--epochs", "1"]], ids=["steps", "epochs"])
def test_resuming_a_finished_run_says_so_and_names_the_flag_that_goes_on(how: list[str], train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(*how, "--out", folder)
    before = files(folder)
    ended = train("--resume", "--out", folder)
    assert ended.code == 0
    assert "is finished" in ended.out
    assert files(folder) == before
    assert how[0] in ended.out, "more --epochs do not go on from an end that --steps has set"


def test_resuming_and_overwriting_at_once_is_refused_with_both_flags_named(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 2, "--out", folder)
    before = files(folder)
    ended = train("--resume", "--overwrite", "--out", folder)
    assert ended.code in (1, 2)
    assert "--resume" in ended.err
    assert "--overwrite" in ended.err
    assert "None" not in ended.err
    assert files(folder) == before


def test_resuming_on_other_data_is_refused(train: Train, digits: Path, tmp_path: Path) -> None:
    """Such as when the digits were synthetic for want of a network that is there the next day."""
    folder, other = tmp_path / "run", tmp_path / "other"
    train("--steps", 2, "--out", folder)
    before = files(folder)
    write_idx(other / IMAGES, np.full((40, 28, 28), 9, np.uint8))
    complaint = train("--resume", "--data", other, "--epochs", 4, "--steps", 7, "--out", folder).complaint
    assert "72" in complaint or "data" in complaint
    assert files(folder) == before


def test_resuming_follows_the_same_data_to_another_folder(train: Train, digits: Path, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--epochs", 3, "--steps", 5, "--out", folder)
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / f"{IMAGES}.gz").write_bytes(gzip.compress((digits / IMAGES).read_bytes()))
    assert train("--resume", "--data", tmp_path / "moved", "--steps", 12, "--out", folder).code == 0
    assert state(folder) == state(whole)
    told = json.loads((folder / "config.json").read_text())
    assert told["data"]["source"] == str(tmp_path / "moved" / f"{IMAGES}.gz")
    assert told["config"]["data"] == str(tmp_path / "moved")
    assert told["config"]["steps"] == 12


def damaged(good: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "one byte": good[:1],
        "cut in the header": good[:500],
        "cut in half": good[: len(good) // 2],
        "one byte short": good[:-1],
        "one byte long": good + b"\0",
        "rubbish": b"rubbish" * 1000,
        "zeros": bytes(len(good)),
    }


def test_a_damaged_checkpoint_gives_one_sentence_and_nothing_is_lost(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 5, "--out", folder)
    good = (folder / "checkpoint.safetensors").read_bytes()
    for name, content in damaged(good).items():
        (folder / "checkpoint.safetensors").write_bytes(content)
        before = files(folder)
        complaint = train("--resume", "--epochs", 3, "--out", folder).complaint
        assert "checkpoint.safetensors" in complaint, name
        assert files(folder) == before, name


FOREIGN: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "other names": lambda saved: {"w": np.ones(3)},
    "no optimizer": lambda saved: {name: a for name, a in saved.items() if "optimizer" not in name},
    "no random state": lambda saved: {name: a for name, a in saved.items() if name != "random.counter"},
    "a random state of four": lambda saved: {**saved, "random.counter": np.zeros(4, np.int64)},
    "an infinite random state": lambda saved: {**saved, "random.counter": np.array(np.inf)},
    "other shapes": lambda saved: {**saved, "generator.0.weight": np.zeros((256, 50), np.float32)},
    "a moment of another shape": lambda saved: {**saved, "g_optimizer.first.0": np.zeros((2, 2), np.float32)},
    "metrics of unequal numbers of steps": lambda saved: {**saved, "pending.00.d_loss": np.zeros(3)},
    "steps of another shape": lambda saved: {**saved, "d_optimizer.steps": np.zeros(2, np.int64)},
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_checkpoint_that_does_not_fit_gives_one_sentence(change: Any, train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 5, "--out", folder)
    path = folder / "checkpoint.safetensors"
    mg.save(path, change(mg.load(path)), {"step": "5"})
    before = files(folder)
    complaint = train("--resume", "--epochs", 3, "--out", folder).complaint
    assert "checkpoint.safetensors" in complaint
    assert files(folder) == before


@pytest.mark.parametrize(
    "change",
    [{"epochs": "many"}, {"epochs": 0}, {"batch_size": 0}, {"batch_size": 16.5}, {"lr": None}, {"lr": -1}, {"seed": -1},
     {"seed": "x"}, {"steps": []}, {"sample_every": 0}, {"backend": "tpu"}, {"data": 7}],
    ids=str,
)  # fmt: skip
def test_wrong_values_in_config_json_give_one_sentence(change: dict[str, Any], train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 2, "--out", folder)
    told = json.loads((folder / "config.json").read_text())
    told["config"].update(change)
    (folder / "config.json").write_text(json.dumps(told))
    before = files(folder)
    given = [] if "steps" in change else ["--steps", 3]
    assert train("--resume", *given, "--out", folder).complaint
    assert files(folder) == before


def test_a_run_of_another_trainer_is_not_resumed(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 2, "--out", folder)
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**told, "trainer": "dcgan"}))
    assert "dcgan" in train("--resume", "--steps", 4, "--out", folder).complaint


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


def test_a_run_that_another_process_makes_while_the_data_loads_is_not_overwritten(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plain = tmp_path / "run", MnistGAN.load_images
    monkeypatch.setattr(MnistGAN, "load_images", plain)

    def slow(self: MnistGAN) -> Any:
        monkeypatch.setattr(MnistGAN, "load_images", plain)
        assert train("--steps", 5, "--out", folder).code == 0  # the other one, faster
        before.update(files(folder))
        return plain(self)

    before: dict[str, bytes] = {}
    monkeypatch.setattr(MnistGAN, "load_images", slow)
    ended = train("--steps", 1, "--out", folder)
    assert before
    assert {n: a for n, a in files(folder).items() if n != ".lock"} == {n: a for n, a in before.items() if n != ".lock"}
    assert "already holds a run" in ended.complaint


@pytest.mark.parametrize("where", ["a file", "below a file", "a name too long"])
def test_a_folder_that_cannot_be_is_refused_in_one_sentence(where: str, train: Train, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    out = {"a file": file, "below a file": file / "run", "a name too long": tmp_path / ("x" * 300)}[where]
    assert str(out) in train("--steps", 1, "--out", out).complaint
    assert file.read_text() == "kept"


@pytest.mark.parametrize(
    ("write", "number"), [(5, errno.EIO), (5, errno.EACCES), *((write, errno.ENOSPC) for write in range(1, 13))]
)
def test_a_disk_that_fails_at_any_write_leaves_a_run_that_goes_on(
    write: int, number: int, train: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writes: config, the first grid, then grid, checkpoint and weights of each of the 3 epochs, then the GIF."""
    folder, calls, sync = tmp_path / "run", [], os.fsync

    def fails(handle: int) -> None:
        calls.append(handle)
        if len(calls) == write:
            raise OSError(number, os.strerror(number))
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        assert os.strerror(number) in train("--epochs", 3, "--out", folder).complaint
    assert not [name for name in files(folder) if "/." in f"/{name}" and name != ".lock"], "nothing half-written is left"
    if (folder / "checkpoint.safetensors").exists():
        assert checkpoint_step(folder) in ((write - 3) // 3 * 4, (write - 2) // 3 * 4)
        ended = train("--resume", "--out", folder)
    else:
        ended = train("--epochs", 3, "--out", folder, *(["--overwrite"] if (folder / "config.json").exists() else []))
    assert ended.code == 0, ended.err
    assert state(folder) == state(whole)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_checkpoint_that_the_system_refuses_to_hold_keeps_the_one_before(train: Train, tmp_path: Path) -> None:
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


# --- NaN and infinity


def finite(path: Path) -> bool:
    return all(np.isfinite(a).all() for a in mg.load(path).values())


@pytest.mark.parametrize("rate", ["1e12", "1e20", "1e39", "1e300"])
def test_a_rate_far_too_large_ends_the_run_with_the_op_and_the_step(rate: str, train: Train, tmp_path: Path) -> None:
    complaint = train("--lr", rate, "--epochs", 10, "--out", tmp_path / "run").complaint
    assert " step 1: Linear(" in complaint
    assert "NaN" in complaint or "infinite" in complaint
    assert "--lr" in complaint


def test_nan_in_the_data_ends_the_run_with_the_op_and_the_step_and_keeps_the_checkpoint(
    train: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plain = tmp_path / "run", Batches.__getitem__

    def spoiled(self: Batches, step: int) -> tuple[mg.Tensor]:
        (batch,) = plain(self, step)
        if step == 5:
            batch.data[3, 0, 14, 14] = np.nan
        return (batch,)

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "__getitem__", spoiled)
        complaint = train("--epochs", 3, "--out", folder).complaint
    assert " step 6: Concatenate(" in complaint
    assert "1 NaN" in complaint
    assert "checkpoint of step 4 is kept" in complaint
    assert checkpoint_step(folder) == 4
    assert finite(folder / "checkpoint.safetensors")
    assert train("--resume", "--out", folder).code == 0
    assert state(folder) == state(whole)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("network", "name"), [("discriminator", "3.bias"), ("generator", "2.weight")])
def test_a_gradient_that_is_not_finite_is_reported_by_its_parameters_name(
    network: str, name: str, value: float, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, steps = mg.grad, []

    def poisoned(output: mg.Tensor, inputs: Any, *rest: Any) -> Any:
        grads = plain(output, inputs, *rest)
        steps.append(output)
        if len(steps) > 8:  # two calls a step: from step 5 on
            names = list(wanted)
            if len(inputs) == len(names) and [p.shape for p in inputs] == [wanted[n].shape for n in names]:
                grads[names.index(name)].data.flat[0] = value
        return grads

    wanted = getattr(MnistGAN(Config(backend="numpy")), network).named_parameters()
    monkeypatch.setattr(mg, "grad", poisoned)
    complaint = train("--epochs", 3, "--out", tmp_path / "run").complaint
    assert f" step 5: the gradient of {network}.{name} is not finite" in complaint
    assert checkpoint_step(tmp_path / "run") == 4
    assert finite(tmp_path / "run" / "checkpoint.safetensors")


@pytest.mark.parametrize("step", [3, 4, 9, 10, 12])
def test_a_loss_that_is_not_finite_is_reported_with_its_own_step(
    step: int, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, calls = MnistGAN.step, []

    def infinite(self: MnistGAN, real: mg.Tensor) -> Any:
        calls.append(real)
        return {**plain(self, real), **({"g_loss": mg.Tensor(np.inf)} if len(calls) == step else {})}

    monkeypatch.setattr(MnistGAN, "step", infinite)
    complaint = train("--epochs", 3, "--out", tmp_path / "run").complaint
    assert f" step {step}: g_loss is inf" in complaint


@pytest.mark.parametrize("bad", ["generator.2.weight", "discriminator.3.bias", "g_optimizer.second.1"])
def test_weights_that_are_not_finite_never_replace_a_good_checkpoint_or_its_pictures(
    bad: str, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plain, calls = tmp_path / "run", MnistGAN.step, []

    def spoiling(self: MnistGAN, real: mg.Tensor) -> Any:
        metrics = plain(self, real)
        calls.append(real)
        if len(calls) == 8:  # the last of an epoch: saved right after
            self.state_dict()[bad].flat[0] = np.inf
        return metrics

    monkeypatch.setattr(MnistGAN, "step", spoiling)
    complaint = train("--epochs", 3, "--out", folder).complaint
    assert " step 8: " in complaint
    assert bad in complaint or "optimizer" in bad
    assert checkpoint_step(folder) == 4
    assert finite(folder / "checkpoint.safetensors")
    assert finite(folder / "generator.safetensors")


def test_a_rate_too_large_leaves_no_checkpoint_with_nan_where_an_epoch_is_one_step(train: Train, tmp_path: Path) -> None:
    complaint = train("--batch-size", 64, "--lr", "1e10", "--epochs", 5, "--out", tmp_path / "run").complaint
    assert "step " in complaint
    for path in (tmp_path / "run").glob("*.safetensors"):
        assert finite(path), path.name


# --- dry run


def test_a_dry_run_makes_a_step_and_writes_nothing_anywhere(train: Train, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    for more in ([], ["--out", tmp_path / "new" / "run"]):
        ended = train("--dry-run", *more)
        assert ended.code == 0
        assert "293,136" in ended.out
        assert "267,009" in ended.out
        assert "d_loss" in ended.out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_of_a_resumed_run_leaves_it_alone(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 2, "--out", folder)
    before = files(folder)
    assert train("--resume", "--dry-run", "--steps", 4, "--out", folder).code == 0
    assert files(folder) == before


def test_a_dry_run_with_a_rate_too_large_ends_with_one_sentence(train: Train) -> None:
    assert "step 1: " in train("--dry-run", "--lr", "1e30").complaint


# --- the algorithm


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
    assert len(shown) == 4 + 1 + 2  # epochs 0-3; 0; 2 and 4
    assert all(np.array_equal(latent, shown[0]) for latent in shown)
    assert shown[0].shape == (base.SAMPLES, 100)
    assert len(set(map(bytes, shown[0]))) == base.SAMPLES
    train("--steps", 1, "--seed", 1, "--out", tmp_path / "c")
    assert not set(map(bytes, shown[-1])) & set(map(bytes, shown[0]))


def test_sampling_does_not_disturb_training(train: Train, whole: Path, tmp_path: Path) -> None:
    train("--epochs", 3, "--sample-every", 3, "--out", tmp_path / "seldom")
    seldom = {name: a for name, a in state(tmp_path / "seldom").items() if not name.endswith(".gif")}
    assert {name for name in state(whole) if name not in seldom} == {
        "training.gif", "samples/epoch-0001.png", "samples/epoch-0002.png",
    }  # fmt: skip
    assert seldom.items() <= state(whole).items()


def test_the_fixed_noise_is_none_of_the_noise_of_training(trainer: MnistGAN) -> None:
    fixed = trainer.fixed_noise(64, seed=0).numpy()
    counter = random.default_generator.counter
    np.testing.assert_array_equal(trainer.fixed_noise(64, seed=0).numpy(), fixed)
    assert random.default_generator.counter == counter
    mg.manual_seed(0)
    training = np.concatenate([trainer.noise(128).numpy() for _ in range(20)])
    assert abs(np.corrcoef(fixed.ravel(), training[:64].ravel())[0, 1]) < 0.05
    assert not set(map(bytes, fixed)) & set(map(bytes, training))


def test_the_fixed_noise_is_normal_and_differs_by_seed(trainer: MnistGAN) -> None:
    first, second = trainer.fixed_noise(100, 3).numpy(), trainer.fixed_noise(100, 4).numpy()
    assert first.dtype == np.float32
    assert abs(first.mean()) < 0.05
    assert abs(first.std() - 1) < 0.05
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


def test_images_are_made_in_evaluation_mode_and_training_mode_comes_back(trainer: MnistGAN) -> None:
    modes: list[bool] = []

    class Spy(mg.nn.Module):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            modes.append(self.training)
            assert not x.requires_grad
            return x

    setattr(trainer.generator, "7", Spy())
    trainer.generator.train()
    images = trainer.generate(trainer.fixed_noise(5, 0))
    assert modes == [False]
    assert all(module.training for module in trainer.generator.modules())
    assert images.shape == (5, 1, 28, 28)
    assert images.dtype == np.uint8


def test_minus_one_becomes_black_and_one_white(trainer: MnistGAN) -> None:
    class Constant(mg.nn.Module):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            return mg.Tensor(np.array([-1.2, -1, 0, 1, 1.2], np.float32).reshape(5, 1, 1, 1))

    trainer.generator = Constant()
    assert trainer.generate(mg.Tensor(np.zeros((5, 100), np.float32))).ravel().tolist() == [0, 0, 128, 255, 255]


def test_each_half_of_a_step_changes_its_own_network_alone(
    trainer: MnistGAN, real: mg.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def weights(net: mg.nn.Module) -> dict[str, bytes]:
        return {name: a.tobytes() for name, a in net.state_dict().items()}

    def watched(step: Callable[[Any], None], own: mg.nn.Module, other: mg.nn.Module) -> Callable[[Any], None]:
        def run(grads: Any) -> None:
            order.append(own)
            before = weights(own), weights(other)
            step(grads)
            assert weights(other) == before[1]
            assert [name for name, a in weights(own).items() if a == before[0][name]] == []

        return run

    order: list[mg.nn.Module] = []
    D, G = trainer.discriminator, trainer.generator
    at_start = weights(G)
    monkeypatch.setattr(trainer.d_optimizer, "step", watched(trainer.d_optimizer.step, D, G))
    monkeypatch.setattr(trainer.g_optimizer, "step", watched(trainer.g_optimizer.step, G, D))
    trainer.step(real)
    assert order == [D, G]
    assert weights(G) != at_start
    assert all(p.grad is None for p in [*D.parameters(), *G.parameters()]), "gradients are not piled up"


def test_no_gradient_is_computed_that_nobody_uses(trainer: MnistGAN, real: mg.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The discriminator's half reaches no weight of the generator, and the generator's half none of the discriminator."""
    products: list[tuple[int, ...]] = []
    halves: list[list[tuple[int, ...]]] = []
    matmul, grad = cpu.matmul, mg.grad

    def watched_matmul(*arguments: Any, **options: Any) -> Any:
        result = matmul(*arguments, **options)
        products.append(result.shape)
        return result

    def watched_grad(*arguments: Any, **options: Any) -> Any:
        products.clear()
        result = grad(*arguments, **options)
        halves.append(list(products))
        return result

    monkeypatch.setattr(cpu, "matmul", watched_matmul)
    monkeypatch.setattr(mg, "grad", watched_grad)
    trainer.step(real)
    of_d, of_g = halves
    d_weights, g_weights = {(256, 784), (256, 256), (1, 256)}, {(256, 100), (256, 256), (784, 256)}
    assert d_weights <= set(of_d)
    assert len([s for s in of_d if s[0] != 32]) == 3
    assert g_weights <= set(of_g)
    assert len([s for s in of_g if s[0] != 16]) == 3
    assert (32, 784) not in of_d, "nobody asked for the gradient of the pictures"
    assert (16, 100) not in of_g, "nobody asked for the gradient of the noise"


def test_a_step_draws_noise_once_and_reports_four_numbers(trainer: MnistGAN, real: mg.Tensor) -> None:
    before = random.default_generator.counter
    metrics = trainer.step(real)
    assert random.default_generator.counter - before == 16 * 100 // 4
    assert list(metrics) == list(MnistGAN.captions) == ["d_loss", "g_loss", "D(x)", "D(G(z))"]
    values = {name: value.item() for name, value in metrics.items()}
    assert abs(values["d_loss"] - 2 * np.log(2)) < 0.1
    assert abs(values["g_loss"] - np.log(2)) < 0.1
    assert all(abs(values[name] - 0.5) < 0.05 for name in ("D(x)", "D(G(z))"))
    assert not any(value.requires_grad for name, value in metrics.items() if name.startswith("D("))


def test_the_networks_are_those_of_the_issue(trainer: MnistGAN) -> None:
    assert [p.shape for p in trainer.discriminator.parameters()] == [(256, 784), (256,), (256, 256), (256,), (1, 256), (1,)]
    assert [p.shape for p in trainer.generator.parameters()] == [(256, 100), (256,), (256, 256), (256,), (784, 256), (784,)]
    for optimizer in (trainer.g_optimizer, trainer.d_optimizer):
        assert (type(optimizer).__name__, optimizer.lr) == ("Adam", 3e-4)


def test_steps_do_not_make_memory_grow_without_the_garbage_collector(trainer: MnistGAN, real: mg.Tensor) -> None:
    import gc
    import tracemalloc

    for _ in range(3):
        trainer.step(real)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        begin = tracemalloc.get_traced_memory()[0]
        for _ in range(30):
            trainer.step(real)
        grown = tracemalloc.get_traced_memory()[0] - begin
    finally:
        tracemalloc.stop()
        gc.enable()
    assert grown < 100_000, f"{grown} bytes in 30 steps without the garbage collector"


# --- data

BAD_DATA: dict[str, Callable[[bytes], bytes | None]] = {
    "no file": lambda good: None,
    "empty": lambda good: b"",
    "cut in the header": lambda good: good[:9],
    "cut short": lambda good: good[:-1],
    "too long": lambda good: good + b"\0",
    "wrong magic": lambda good: b"\x01\x02" + good[2:],
    "labels for images": lambda good: b"\0\0\x08\x01" + (72).to_bytes(4, "big") + bytes(72),
    "images of another size": lambda good: b"\0\0\x08\x03" + np.array([2, 32, 32], ">u4").tobytes() + bytes(2 * 32 * 32),
    "no images": lambda good: b"\0\0\x08\x03" + np.array([0, 28, 28], ">u4").tobytes(),
    "fewer than a batch": lambda good: b"\0\0\x08\x03" + np.array([15, 28, 28], ">u4").tobytes() + bytes(15 * 784),
    "a damaged gzip file": lambda good: gzip.compress(good)[:-20] + bytes(20),
    "a gzip file cut short": lambda good: gzip.compress(good)[:-100],
    "a web page": lambda good: b"<!DOCTYPE html><title>404</title>",
}


@pytest.mark.parametrize("spoil", BAD_DATA.values(), ids=BAD_DATA.keys())
def test_bad_data_gives_one_sentence_and_nothing_is_written(
    spoil: Callable[[bytes], bytes | None], train: Train, digits: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    content = spoil((digits / IMAGES).read_bytes())
    if content is not None:
        (data / IMAGES).write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    ended = train("--epochs", 1, "--out", tmp_path / "run", data=data)
    assert str(data) in ended.complaint or "--batch-size" in ended.complaint
    assert ended.out == ""
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("case", ["missing folder", "cut short"])
def test_bad_data_ends_the_real_command_with_code_1_and_one_line(case: str, start: Start, digits: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    if case == "cut short":
        data.mkdir()
        (data / IMAGES).write_bytes((digits / IMAGES).read_bytes()[:1000])
    process = start("gans.mnist_gan", "--data", data, "--out", tmp_path / "run")
    out, err = process.communicate()
    assert (process.returncode, out, err.count("\n")) == (1, "", 1), err
    assert err.startswith("python -m gans.mnist_gan: ")
    assert str(data) in err
    assert not (tmp_path / "run").exists()


def test_bad_data_leaves_a_run_that_is_resumed_as_it_was(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("--steps", 2, "--out", folder)
    before = files(folder)
    assert "cannot be opened" in train("--resume", "--steps", 4, "--data", tmp_path / "missing", "--out", folder).complaint
    assert files(folder) == before


def test_a_gpu_that_is_not_there_is_told_in_one_sentence(train: Train, tmp_path: Path) -> None:
    if mg.backend.why_no_gpu() is None:  # type: ignore[attr-defined]
        pytest.skip("there is a GPU")
    assert "cannot run here" in train("--backend", "cupy", "--out", tmp_path / "run").complaint
    assert not (tmp_path / "run").exists()
