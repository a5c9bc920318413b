"""DCGAN and LSGAN: networks, steps, data, samples, resuming, the running average, refused settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from gans.dcgan import DCGAN, Config
from gans.lsgan import LSGAN
from gans.training.average import follow
from gans.training.cli import main
from gans.training.images import read_png
from minigrad import nn
from tests.gans.conftest import Ended, run_here

TRAINERS = pytest.mark.parametrize("trainer_class", [DCGAN, LSGAN], ids=lambda c: c.name)


def make(trainer_class: type[DCGAN] = DCGAN, **settings: Any) -> DCGAN:
    mg.manual_seed(0)
    return trainer_class(Config(backend="numpy", **settings))


def batch(trainer: DCGAN, size: int) -> mg.Tensor:
    channels = 1 if trainer.image_size == 28 else 3
    values = np.random.default_rng(0).uniform(-1, 1, (size, trainer.image_size, trainer.image_size, channels))
    return mg.Tensor(values.astype(np.float32).transpose(0, 3, 1, 2))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 20 small images, one of them in a subfolder."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "below").mkdir()
    for i, colour in enumerate(np.random.default_rng(0).integers(0, 256, (20, 2, 2, 3), dtype=np.uint8)):
        Image.fromarray(colour).resize((40, 36)).save((folder / "below" if i == 7 else folder) / f"{i}.png")
    return folder


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plots_stubbed: None) -> Callable[..., Ended]:
    """`python -m gans.dcgan ...`, or another trainer's, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, trainer_class: type[DCGAN] = DCGAN) -> Ended:
        return run_here(lambda argv: main(trainer_class, argv), arguments)

    return run


class TestNetworks:
    def test_the_canonical_networks_have_the_papers_parameter_counts(self) -> None:
        trainer = make()
        assert sum(p.size for p in trainer.generator.parameters()) == 3_576_704
        assert sum(p.size for p in trainer.discriminator.parameters()) == 2_765_568

    @pytest.mark.parametrize(
        ("settings", "size", "channels"),
        [
            ({"arch": "k4"}, 64, 3),
            ({"arch": "k4", "image_size": 32}, 32, 3),
            ({"arch": "k4", "image_size": 128}, 128, 3),
            ({"arch": "k5"}, 64, 3),
            ({"arch": "k5", "image_size": 32}, 32, 3),
            ({"arch": "28"}, 28, 1),
            ({"arch": "stacked"}, 28, 3),
        ],
        ids=str,
    )
    def test_images_and_logits_have_the_size_asked_for(self, settings: dict[str, Any], size: int, channels: int) -> None:
        trainer = make(**settings)
        with mg.no_grad():
            images = trainer.generator(trainer.noise(2))
            assert images.shape == (2, channels, size, size)
            assert trainer.discriminator(images).shape == (2, 1)

    def test_initial_weights_are_the_papers(self) -> None:
        trainer = make()
        convolutions = [x for net in trainer.networks().values() for x in net if isinstance(x, nn.Conv2d | nn.ConvTranspose2d)]
        for layer in convolutions:
            assert abs(layer.weight.data.mean()) < 0.002
            assert layer.weight.data.std() == pytest.approx(0.02, rel=0.1)
        gains = np.concatenate([x.weight.data for x in trainer.generator if isinstance(x, nn.BatchNorm2d)])
        assert gains.mean() == pytest.approx(1, abs=0.01)
        assert gains.std() == pytest.approx(0.02, rel=0.2)

    def test_the_learning_rate_is_the_architectures_unless_given(self) -> None:
        assert [make(arch=arch).g_optimizer.lr for arch in ("k4", "28")] == [2e-4, 1e-3]
        assert make(arch="28", lr=5e-5).d_optimizer.lr == 5e-5


@TRAINERS
class TestSteps:
    def test_each_step_changes_both_networks_and_the_metrics_are_those_with_captions(self, trainer_class: type[DCGAN]) -> None:
        trainer = make(trainer_class, arch="28")
        before = {name: a.copy() for name, a in trainer.state_dict().items()}
        metrics = trainer.step(batch(trainer, 4))
        assert metrics.keys() == trainer.captions.keys()
        after = trainer.state_dict()
        parameters = {f"{n}.{k}" for n, net in trainer.networks().items() for k, _ in net.named_parameters()}
        frozen = {name for name in parameters if np.array_equal(before[name], after[name])}
        assert not frozen

    def test_the_discriminator_learns_to_tell_white_images_from_noise(self, trainer_class: type[DCGAN]) -> None:
        trainer = make(trainer_class, arch="28")
        real = mg.Tensor(np.full((8, 1, 28, 28), 0.9, np.float32))
        rows = [{name: value.item() for name, value in trainer.step(real).items()} for _ in range(12)]
        assert rows[-1]["d_loss"] < rows[0]["d_loss"]
        assert rows[-1]["D(x)"] > rows[-1]["D(G(z))"]


@TRAINERS
class TestRuns:
    def test_an_interrupted_and_resumed_run_is_bit_identical_to_an_uninterrupted_one(
        self, trainer_class: type[DCGAN], command: Callable[..., Ended], digits: Path
    ) -> None:
        settings = ("--arch", "28", "--data", digits, "--batch-size", 16, "--ema", 0.9)
        command(*settings, "--epochs", 2, "--out", "whole", trainer_class=trainer_class)
        command(*settings, "--epochs", 2, "--steps", 3, "--out", "parts", trainer_class=trainer_class)
        ended = command("--resume", "--steps", 8, "--out", "parts", trainer_class=trainer_class)
        assert ended.code == 0, ended.err
        whole, parts = (mg.load(Path(name, "checkpoint.safetensors")) for name in ("whole", "parts"))
        assert whole.keys() == parts.keys()
        for name, expected in whole.items():
            np.testing.assert_array_equal(parts[name], expected, err_msg=name)
        for sample in Path("whole", "samples").iterdir():
            assert Path("parts", "samples", sample.name).read_bytes() == sample.read_bytes()

    def test_generate_makes_the_images_of_the_last_checkpoint(
        self, trainer_class: type[DCGAN], command: Callable[..., Ended], generate: Callable[..., Ended], digits: Path
    ) -> None:
        command("--arch", 28, "--data", digits, "--batch-size", 16, "--epochs", 1, "--out", "run", trainer_class=trainer_class)
        assert generate("run", "--count", 4, "--out", "four.png").code == 0
        assert read_png(Path("four.png")).shape == (2 * 62, 2 * 62, 3)
        assert json.loads(Path("run", "config.json").read_text())["samples"] == "fixed noise, generator in evaluation mode"


class TestSamples:
    def test_they_are_made_in_evaluation_mode_and_training_mode_is_restored(self) -> None:
        trainer = make(arch="28")
        trainer.step(batch(trainer, 4))
        before = {name: a.copy() for name, a in trainer.generator.state_dict().items()}
        latent = trainer.fixed_noise(5, 0)
        np.testing.assert_array_equal(trainer.generate(latent[:1])[0], trainer.generate(latent)[0])  # no batch statistics
        assert all(module.training for module in trainer.generator.modules())
        for name, a in trainer.generator.state_dict().items():
            np.testing.assert_array_equal(a, before[name])

    def test_with_ema_they_come_from_the_running_average(self) -> None:
        trainer = make(arch="28", ema=0.75)
        assert trainer.average is not None
        start = [p.data.copy() for p in trainer.average.parameters()]
        trainer.step(batch(trainer, 4))
        for a, before, p in zip(trainer.average.parameters(), start, trainer.generator.parameters(), strict=True):
            np.testing.assert_allclose(a.data, 0.75 * before + 0.25 * p.data, rtol=1e-5, atol=1e-7)
        for a, b in zip(trainer.average.buffers(), trainer.generator.buffers(), strict=True):
            np.testing.assert_array_equal(a.data, b.data)
        assert trainer.sampler is trainer.average

    def test_config_json_says_that_samples_come_from_the_average(self, command: Callable[..., Ended], digits: Path) -> None:
        command("--arch", "28", "--data", digits, "--batch-size", 16, "--steps", 1, "--ema", 0.5, "--out", "run")
        assert "running average" in json.loads(Path("run", "config.json").read_text())["samples"]

    def test_an_average_with_decay_1_is_constant_and_with_decay_0_is_a_copy(self) -> None:
        average, network = nn.Linear(2, 3), nn.Linear(2, 3)
        before = average.weight.data.copy()
        follow(average, network, 1.0)
        np.testing.assert_array_equal(average.weight.data, before)
        follow(average, network, 0.0)
        np.testing.assert_allclose(average.weight.data, network.weight.data, rtol=1e-6)

    def test_many_at_once_are_made_in_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from gans.training import latent as module

        trainer = make(arch="28")
        whole = trainer.generate(trainer.fixed_noise(5, 0))
        monkeypatch.setattr(module, "AT_ONCE", 2)
        np.testing.assert_array_equal(trainer.generate(trainer.fixed_noise(5, 0)), whole)


class TestData:
    def test_images_from_a_folder(self, command: Callable[..., Ended], images: Path) -> None:
        ended = command("--data", images, "--image-size", 32, "--batch-size", 5, "--steps", 1, "--out", "run")
        assert ended.code == 0, ended.err
        assert "20 images" in ended.out
        assert json.loads(Path("run", "config.json").read_text())["data"]["images"] == 20

    def test_a_default_that_the_architecture_chose_cannot_change_when_resuming(
        self, command: Callable[..., Ended], digits: Path
    ) -> None:
        command("--arch", "28", "--data", digits, "--batch-size", 16, "--steps", 1, "--out", "run")
        assert "was started without --lr" in command("--resume", "--lr", 0.1, "--out", "run").complaint

    def test_without_a_folder_faces_are_drawn(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        from gans.data.drawn import faces as module

        monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path))
        draw = module.synthetic_faces
        monkeypatch.setattr(module, "synthetic_faces", lambda count, seed, size: draw(3, seed, size))
        images, source = make(image_size=32).load_images()
        assert images.shape == (3, 3, 32, 32)
        assert "synthetic faces" in source

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (("--arch", "28", "--image-size", 64), "--arch 28 is for 28 x 28 images"),
            (("--data", "nowhere"), "nowhere"),
            (("--arch", "28", "--batch-size", 1), "--batch-size 1 is too small"),
            (("--data", "digits"), "For MNIST's files, use --arch 28"),
            (("--arch", "28", "--data", "images"), "take folders of images, with another --arch"),
            (("--data", "."), "has no images"),
        ],
        ids=str,
    )
    def test_settings_that_cannot_work_are_refused_in_one_sentence(
        self, command: Callable[..., Ended], digits: Path, images: Path, arguments: tuple[object, ...], complaint: str
    ) -> None:
        folders = {"digits": digits, "images": images}
        assert complaint in command(*(folders.get(str(a), a) for a in arguments)).complaint

    def test_a_refused_batch_of_one_does_not_overwrite_a_run(self, command: Callable[..., Ended], digits: Path) -> None:
        settings = ("--arch", "28", "--data", digits, "--out", "run")
        command(*settings, "--batch-size", 16, "--steps", 1)
        before = {path: path.read_bytes() for path in Path("run").iterdir() if path.is_file()}
        assert "too small" in command(*settings, "--batch-size", 1, "--overwrite").complaint
        assert {path: path.read_bytes() for path in before} == before

    def test_a_run_is_resumed_from_another_folder(
        self, command: Callable[..., Ended], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(images.parent)
        run = tmp_path / "run"
        command("--data", images.name, "--image-size", 32, "--batch-size", 5, "--steps", 1, "--out", run)
        monkeypatch.chdir(tmp_path)
        assert command("--resume", "--steps", 2, "--out", run).code == 0

    @pytest.mark.parametrize("flag", [("--image-size", "48"), ("--arch", "k3"), ("--ema", "1"), ("--ema", "-0.1")], ids=str)
    def test_wrong_values_are_refused_before_anything_is_made(
        self, command: Callable[..., Ended], flag: tuple[str, str]
    ) -> None:
        ended = command(*flag)
        assert ended.code == 2
        assert ended.err.count("\n") == 1 and flag[0] in ended.err
        assert not list(Path.cwd().iterdir())
