"""`--tensorboard`: TensorBoard's own reader finds the rows of metrics.csv, also after resuming."""

from __future__ import annotations

import importlib.util
import time
import warnings
from pathlib import Path

import pytest

from gans.training.loop import Loop
from gans.training.metrics import MetricsFile
from tests.gans.conftest import Train
from tests.gans.training.conftest import PowerCut, at_step, cut_power

pytestmark = pytest.mark.usefixtures("plots_stubbed")
written = pytest.mark.skipif(importlib.util.find_spec("tensorboardX") is None, reason="tensorboardX is not installed")


def scalars(run: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard shows of a run: for each curve its values by step."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages that TensorBoard imports
        accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
        reader = accumulators.EventAccumulator(str(run / "tensorboard"))
        reader.Reload()
        return {tag: {event.step: event.value for event in reader.Scalars(tag)} for tag in reader.Tags()["scalars"]}


def table(run: Path) -> dict[str, dict[int, float]]:
    steps, metrics = MetricsFile(run / "metrics.csv").read()
    return {name: dict(zip(map(int, steps), values.tolist(), strict=True)) for name, values in metrics.items()}


def check_equal(run: Path) -> None:
    found, expected = scalars(run), table(run)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-5), name


@written
def test_tensorboard_reads_the_curves_of_an_interrupted_and_resumed_run(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = "--no-capture", "--save-every", "15steps", "--steps", 44, "--tensorboard", "--out", "run"
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "guarded_step", at_step(40, cut_power))
        with pytest.raises(PowerCut):
            train(*flags)
    (first,) = Path("run", "tensorboard").iterdir()
    now = time.time()
    monkeypatch.setattr("gans.training.tensorboard.time.time", lambda: now + 5)
    assert train("--resume", "--out", "run").code == 0
    assert len(list(Path("run", "tensorboard").iterdir())) == 2
    check_equal(Path("run"))
    assert list(table(Path("run"))["d_loss"]) == [10, 20, 30, 40, 44]
    assert train("--steps", 12, "--overwrite", "--tensorboard", "--out", "run").code == 0
    assert not first.exists()
    check_equal(Path("run"))


def test_without_tensorboardx_one_sentence_says_what_to_install(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install tensorboardX" in train("--steps", 2, "--tensorboard", "--out", "run").complaint
    assert not Path("run").exists()
