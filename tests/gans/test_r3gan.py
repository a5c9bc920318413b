"""R3GAN as its users meet it: Stacked MNIST, resuming, and the modes of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from gans.data.drawn.digits import synthetic_digits
from gans.data.idx import write_idx
from gans.data.images import load_training_images, stacked
from gans.networks.residual import Bottleneck, residual_discriminator, residual_generator
from gans.r3gan import R3GAN
from gans.training.cli import main
from gans.training.images import read_png
from minigrad import nn
from tests.gans.conftest import Ended, run_here, state

pytestmark = pytest.mark.usefixtures("plots_stubbed")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all four files of MNIST."""
    folder = tmp_path_factory.mktemp("labelled")
    for split, count in (("train", 72), ("t10k", 40)):
        images, labels = synthetic_digits(count, 0)
        write_idx(folder / f"{split}-images-idx3-ubyte", images)
        write_idx(folder / f"{split}-labels-idx1-ubyte", labels)
    return folder


@pytest.fixture
def command(labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """`python -m gans.r3gan ...` on narrow networks, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Ended:
        given = () if "--resume" in arguments else ("--data", labelled, "--width", 4, "--batch-size", 16)
        return run_here(lambda argv: main(R3GAN, argv), (*given, *arguments))

    return run


def test_each_channel_of_a_stacked_image_is_a_digit_of_the_data_set(labelled: Path) -> None:
    digits, _ = load_training_images(str(labelled), 28)
    images, _ = load_training_images(str(labelled), 28, channels=3)
    assert images.shape == (72, 3, 28, 28)
    known = {digit.tobytes() for digit in digits}
    assert all(channel.tobytes() in known for image in images for channel in image)
    assert any(image[0].tobytes() != image[1].tobytes() for image in images)


def test_stacked_images_are_those_of_the_seed_in_the_number_asked_for() -> None:
    digits = np.arange(10, dtype=np.uint8).repeat(784).reshape(10, 28, 28)
    few, many = stacked(digits, 20), stacked(digits, 5000)
    assert np.array_equal(few, many[:20]) and not np.array_equal(few, stacked(digits, 20, seed=1))
    assert len({tuple(image[:, 0, 0]) for image in many}) > 980  # of 1,000 modes


@pytest.mark.parametrize(
    "network", [residual_generator(3, 4), residual_discriminator(3, 4)], ids=["generator", "discriminator"]
)
def test_every_block_starts_as_the_identity(network: nn.Sequential) -> None:
    blocks = [layer for layer in network.modules() if isinstance(layer, Bottleneck)]
    assert len(blocks) == 2
    for block in blocks:
        x = mg.randn((2, block.body[0].weight.shape[1], 5, 5))
        np.testing.assert_array_equal(block(x).numpy(), x.numpy())


@pytest.mark.parametrize(("arch", "channels"), [("stacked", 3), ("28", 1)])
def test_an_interrupted_and_resumed_run_is_bit_identical(command: Callable[..., Ended], arch: str, channels: int) -> None:
    assert command("--arch", arch, "--steps", 7, "--out", "whole").code == 0
    assert command("--arch", arch, "--steps", 3, "--out", "parts").code == 0
    assert command("--steps", 7, "--out", "parts", "--resume").code == 0
    assert state(Path("whole")) == state(Path("parts"))
    grid = read_png(max(Path("whole/samples").iterdir()))
    assert (grid[..., :1] == grid).all() == (channels == 1)


def test_a_run_on_stacked_digits_is_measured_by_its_modes(
    command: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from gans.evaluate import main as evaluate

    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("gans.measures.report._picture", lambda *_: b"stub")
    monkeypatch.setattr("gans.measures.evaluation.frechet_distance", lambda *_: 0.0)  # seconds with so many features
    command("--steps", 1, "--out", "run")
    ended = run_here(evaluate, ("run",))
    assert (ended.code, ended.err) == (0, "")
    floor, ours = json.loads(Path("run/evaluation.json").read_text())["results"].values()
    for measured in (floor, ours):  # of at most 72 images
        assert len(measured["modes"]) == 3 and 1 <= min(measured["modes"]) <= max(measured["modes"]) <= 72
        assert np.log(1000 / 72) < min(measured["KL"]) <= max(measured["KL"]) < np.log(1001)
    assert "reads each colour channel" in ended.out and "classes" not in ours
    assert "FD" in next(iter(ours)), "runs are ranked by their first measure, the smallest first: by the distance, not by modes"
