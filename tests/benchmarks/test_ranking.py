"""The ranking of the trainers: equal time, medians over the seeds, and a ranking that was stopped continues."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import ranking
from benchmarks.ranking import FLOOR, TRAINERS, Entry, ranked, table
from gans.data.drawn.digits import synthetic_digits
from gans.data.idx import write_idx
from gans.trainers import TRAINERS as ALL
from gans.training.run_folder import RunFolder
from minigrad.kernels.cpu.threads import get_num_threads, set_num_threads

SECONDS = 20.0  # of a step, as steps.json says: three steps a minute


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    for split, count, seed in (("train", 200, 0), ("t10k", 40, 1)):
        images, labels = synthetic_digits(count, seed)
        write_idx(folder / f"{split}-images-idx3-ubyte", images)
        write_idx(folder / f"{split}-labels-idx1-ubyte", labels)
    return folder


@pytest.fixture
def run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The arguments of a ranking whose steps are timed already. The number of threads is restored after the test."""
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "steps.json").write_text(json.dumps({"mnist_gan": SECONDS, "wgan": SECONDS}))
    threads = get_num_threads()
    yield ["--minutes", "1", "--seeds", "1", "--data", str(data), "--out", str(tmp_path)]
    set_num_threads(threads)


def test_it_ranks_every_trainer_of_mnist() -> None:
    assert {command.split()[0] for command in TRAINERS} == {*ALL} - {"cyclegan"}


def test_runs_are_trained_measured_and_shown_once(
    run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ranking.main(["mnist_gan", *run])
    assert RunFolder(tmp_path / "mnist_gan-0").settings()["config"]["seed"] == 0
    measures = json.loads((tmp_path / "ranking.json").read_text())["measures"]
    assert list(measures) == [FLOOR, "mnist_gan-0"]
    assert measures[FLOOR]["classifier-FD"] < measures["mnist_gan-0"]["classifier-FD"], "three steps draw noise"
    text = (tmp_path / "ranking.md").read_text()
    assert "| `mnist_gan` | 3 | 20000.0 |" in text
    assert text in capsys.readouterr().out
    with Image.open(tmp_path / "ranking.png") as image:
        assert image.width > 5 * image.height, "one row of images"

    monkeypatch.delattr("gans.measures.evaluation.Comparison.fidelity")  # nothing is measured again, ...
    shutil.rmtree(tmp_path / "mnist_gan-0")
    ranking.main(["mnist_gan", *run])
    assert (tmp_path / "ranking.md").read_text() == text
    assert not (tmp_path / "mnist_gan-0").exists(), "... or trained again"


def test_what_is_missing_of_a_measured_run_is_made_again(run: list[str], tmp_path: Path) -> None:
    ranking.main(["mnist_gan", *run])
    for name in ("mnist_gan-0.png", "ranking.json"):
        before = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        ranking.main(["mnist_gan", *run])
        assert (tmp_path / name).read_bytes() == before


def test_other_digits_and_longer_runs_are_refused(
    run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], data: Path
) -> None:
    def complaint(*arguments: str) -> str:
        with pytest.raises(SystemExit) as end:
            ranking.main(["mnist_gan", *run, *arguments])
        return f"{end.value}{capsys.readouterr().err}"

    ranking.main(["mnist_gan", *run, "--minutes", "2"])
    assert "mnist_gan-0 has been trained for 6 steps, not for 3" in complaint()
    shutil.copytree(data, tmp_path / "others")
    write_idx(tmp_path / "others" / "train-images-idx3-ubyte", synthetic_digits(200, 7)[0])
    assert "compares runs with other digits" in complaint("--data", str(tmp_path / "others"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ranking.json", "{"),
        ("ranking.json", "[]"),
        ("ranking.json", '{"digits": "x", "measures": {}}'),
        ("steps.json", '{"mnist_gan": 1'),
        ("steps.json", '{"mnist_gan": 0}'),
        ("steps.json", '{"mnist_gan": "fast"}'),
        ("steps.json", "[]"),
    ],
)
def test_a_damaged_file_is_named(
    name: str, content: str, run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SystemExit) as end:
        ranking.main(["mnist_gan", *run])
    assert f"{name} is damaged" in f"{end.value}{capsys.readouterr().err}"
    assert (tmp_path / name).read_text() == content


def test_a_run_that_fails_ends_the_ranking_with_its_name(
    run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wgan-0").write_text("a file where the run's folder should be")
    with pytest.raises(SystemExit) as end:
        ranking.main(["wgan", *run])
    assert "wgan-0 ended with exit code 1" in f"{end.value}{capsys.readouterr().err}"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("nogan", "no trainer of digits is called 'nogan'; they are mnist_gan, "),
        (" ", "no trainer of digits is called ''"),
        ("cyclegan", "no trainer of digits is called 'cyclegan'"),
        ("wgan --nope", "unrecognized arguments: --nope"),
        ("dcgan", "dcgan: its images are (3, 64, 64), not MNIST's digits"),
        ("wgan --seed 3", "wgan --seed 3: the ranking sets --seed itself"),
        ("wgan --backend=cupy", "the ranking sets --backend itself"),
        ("wgan --dry-run", "the ranking sets --dry-run itself, or does without it"),
        ("mnist_gan --lr 1e30", "mnist_gan --lr 1e30: the gradient of parameter 0"),
    ],
)
def test_an_entry_that_cannot_be_ranked_is_refused_before_any_training(
    command: str, sentence: str, run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        ranking.main([command, *run])
    assert sentence in f"{end.value}{capsys.readouterr().err}"
    assert [path.name for path in tmp_path.iterdir()] == ["steps.json"]


def test_steps_are_timed_once_and_fill_the_minutes(run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "seconds_of_a_step", lambda command, data: {"cgan": 0.5}[command])
    arguments = ranking.argument_parser().parse_args(["cgan", "wgan", *run])
    assert ranking.entries_of(arguments) == [Entry("cgan", 0.5, 120), Entry("wgan", SECONDS, 3)]
    assert json.loads((tmp_path / "steps.json").read_text())["cgan"] == 0.5


def test_a_step_is_timed_in_processor_seconds(data: Path) -> None:
    assert 0 < ranking.seconds_of_a_step("mnist_gan --batch-size 8", str(data)) < 1


def test_trainers_are_sorted_by_the_median_of_their_distances() -> None:
    good, bad = Entry("good", 0.1, 10), Entry("bad --arch x", 0.001, 1000)
    results = {FLOOR: {"FD": 0.5, "recall": 0.9}}
    for entry, values in ((bad, (3.0, 9.0, 1.0)), (good, (2.0, 2.5, 99.0))):
        results |= {entry.run(seed): {"FD": value, "recall": seed / 10} for seed, value in enumerate(values)}
    ranking = ranked([bad, good], results, seeds=3)
    assert list(ranking) == [good, bad]
    assert table(ranking, results[FLOOR]).splitlines() == [
        "| `python -m gans.` | steps | ms a step | FD | recall |",
        "| --- | --: | --: | --: | --: |",
        "| `good` | 10 | 100.0 | 2.50 (2.00 to 99.00) | 10 % |",
        "| `bad --arch x` | 1,000 | 1.0 | 3.00 (1.00 to 9.00) | 10 % |",
        "| real images (the floor) | | | 0.50 | 90 % |",
    ]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no process groups")
@pytest.mark.parametrize("how", ["SIGTERM", "another run fails"])
def test_trainings_end_with_the_ranking(how: str, run: list[str], tmp_path: Path) -> None:
    """One of a thousand minutes ends at once, and has saved."""
    (tmp_path / "steps.json").write_text(json.dumps({"mnist_gan": 0.01, "wgan": SECONDS}))
    if how == "another run fails":
        (tmp_path / "wgan-0").write_text("a file where the run's folder should be")
    flags = ["mnist_gan", *["wgan"][: how != "SIGTERM"], *run, "--minutes", "1000", "--jobs", "2"]
    command = [sys.executable, "-m", "benchmarks.ranking", *flags]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        metrics = tmp_path / "mnist_gan-0" / "metrics.csv"
        while how == "SIGTERM" and not metrics.exists() and process.poll() is None:
            time.sleep(0.05)
        if how == "SIGTERM":
            process.terminate()
        _, complaint = process.communicate(timeout=60)
        with pytest.raises(ProcessLookupError):  # the trainings have ended too
            os.killpg(process.pid, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == (143 if how == "SIGTERM" else 1)
    assert ("stopped by SIGTERM" if how == "SIGTERM" else "wgan-0 ended with exit code 1") in complaint
    assert how != "SIGTERM" or (tmp_path / "mnist_gan-0" / "checkpoint.safetensors").exists()
