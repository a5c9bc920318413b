"""R3GAN as its users meet it: Stacked MNIST, resuming, and the modes of a run."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from gans.data.images import load_training_images, stacked
from gans.networks.residual import Bottleneck, residual_discriminator, residual_generator
from gans.r3gan import R3GAN
from gans.trainers import load_run
from gans.training.cli import main
from gans.training.images import read_png
from minigrad import nn
from tests.gans.conftest import Ended, run_here, state

pytestmark = pytest.mark.usefixtures("plots_stubbed")


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


class Reader:
    """Reads digits from 0 to 3 in any image: 64 modes, so that 72 images share some."""

    def measure(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return images.reshape(len(images), -1)[:, 300:304].astype(float), np.eye(10)[self.read(images)]

    @staticmethod
    def read(images: np.ndarray) -> np.ndarray:
        return images.sum(axis=(-2, -1), dtype=int).reshape(len(images), -1).squeeze() % 4


def modes_and_kl(images: np.ndarray) -> tuple[int, float]:
    """Counted one by one."""
    counts = Counter(map(tuple, Reader.read(images).tolist()))
    return len(counts), sum(n / len(images) * np.log(1000 * n / len(images)) for n in counts.values())


def test_the_modes_of_a_run_are_counted_after_training_and_while_it_lasts(
    command: Callable[..., Ended], labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gans.evaluate import main as evaluate

    captions: dict[str, str] = {}
    monkeypatch.setattr("gans.measures.real.load_classifier", lambda *_: Reader())
    monkeypatch.setattr("gans.measures.report._picture", lambda *_: b"stub")
    monkeypatch.setattr("gans.training.run_folder.plot_curves", lambda path, steps, curves, found: captions.update(found))
    assert command("--steps", 1, "--evaluate-every", "1steps", "--out", "run").code == 0
    ended = run_here(evaluate, ("run",))
    assert (ended.code, ended.err) == (0, "")
    floor, ours = json.loads(Path("run/evaluation.json").read_text())["results"].values()
    modes, kl = modes_and_kl(load_training_images(str(labelled), 28, channels=3)[0])  # all 72, whatever the seed
    assert floor["modes"] == [modes] * 3 and floor["KL"] == pytest.approx([kl] * 3)
    gan = load_run(Path("run"), "numpy")
    assert isinstance(gan, R3GAN)
    made = [modes_and_kl(gan.generate(*gan.fixed_inputs(72, seed))) for seed in range(3)]
    assert ours["modes"] == [modes for modes, _ in made] and ours["KL"] == pytest.approx([kl for _, kl in made])
    assert "reads each colour channel" in ended.out and "classes" not in ours
    assert "FD" in next(iter(ours)), "runs are ranked by their first measure, the smallest first: by the distance, not by modes"

    with Path("run/metrics.csv").open(newline="") as file:
        (row,) = (row for row in csv.DictReader(file) if row["modes"])
    assert (row["step"], int(row["modes"])) == ("1", made[0][0]) and float(row["KL"]) == pytest.approx(made[0][1], rel=1e-5)
    assert list(captions)[-5:] == ["classifier-FD", "precision", "recall", "modes", "KL"]
    assert captions["modes"].endswith(f"Of 72 images; for real ones it is {modes}")
    assert captions["KL"].endswith(f"Of 72 images; for real ones it is {kl:.4g}")
