"""The Wasserstein GANs as their users meet them: networks, clipping, data, resuming, samples, refusals."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from gans import wgan_gp
from gans.networks.critics import PAIRS
from gans.training.cli import main
from gans.training.config import ConfigError
from gans.training.images import read_png
from gans.wgan import WGAN
from gans.wgan_gp import WGANGP
from minigrad import nn, optim
from tests.gans.conftest import Ended, run_here

TRAINERS = pytest.mark.parametrize("trainer_class", [WGAN, WGANGP], ids=lambda c: c.name)


def make(trainer_class: type[WGAN], **settings: Any) -> WGAN:
    mg.manual_seed(0)
    return trainer_class(trainer_class.config_class(backend="numpy", **settings))


def fixed_data(trainer: WGAN) -> mg.Tensor:
    """White squares on black, each step the same."""
    images = np.full((trainer.images_per_step, 1, 28, 28), -1, np.float32)
    images[:, :, 8:20, 8:20] = 1
    return mg.Tensor(images)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plots_stubbed: None) -> Callable[..., Ended]:
    """`python -m gans.wgan ...` or `gans.wgan_gp` in this process."""
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "no-cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(trainer_class: type[WGAN], *arguments: object) -> Ended:
        return run_here(lambda argv: main(trainer_class, argv), arguments)

    return run


class TestNetworks:
    @pytest.mark.parametrize(
        ("pair", "channels"), [(("mlp", 28), 1), (("conv", 28), 1), (("stacked", 28), 3), (("conv", 64), 3)], ids=str
    )
    def test_a_critic_scores_the_images_of_its_generator(self, pair: tuple[str, int], channels: int) -> None:
        trainer = make(WGANGP, arch=pair[0], image_size=pair[1])
        with mg.no_grad():
            images = trainer.generator(trainer.noise(2))
            assert images.shape == (2, channels, pair[1], pair[1])
            assert trainer.critic(images).shape == (2, 1)

    @pytest.mark.parametrize("pair", PAIRS, ids=str)
    def test_no_critic_has_batch_normalisation(self, pair: tuple[str, int]) -> None:
        assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in PAIRS[pair].make_critic().modules())

    def test_the_dense_networks_have_these_sizes(self) -> None:
        trainer = make(WGANGP)
        sizes = {
            name: [layer.weight.shape[::-1] for layer in net if isinstance(layer, nn.Linear)]
            for name, net in trainer.networks().items()
        }
        assert sizes == {
            "generator": [(100, 128), (128, 256), (256, 784)],
            "critic": [(784, 256), (256, 128), (128, 1)],
        }

    def test_settings_are_the_papers(self) -> None:
        clipped, penalised = make(WGAN), make(WGANGP)
        assert clipped.config.critic_steps == penalised.config.critic_steps == 5
        assert clipped.config.clip == 0.01
        assert penalised.config.penalty_weight == 10
        for optimizer in clipped.optimizers().values():
            assert isinstance(optimizer, optim.RMSprop) and optimizer.lr == 5e-5 and optimizer.alpha == 0.99
        for optimizer in penalised.optimizers().values():
            assert isinstance(optimizer, optim.Adam) and optimizer.lr == 1e-4 and optimizer.betas == (0.5, 0.9)


class Steps:
    """Records the order of the steps of both optimizers."""

    def __init__(self, trainer: WGAN, monkeypatch: pytest.MonkeyPatch) -> None:
        self.order: list[str] = []
        for name, optimizer in (("critic", trainer.critic_optimizer), ("generator", trainer.g_optimizer)):
            monkeypatch.setattr(optimizer, "step", self.logged(name, optimizer.step))

    def logged(self, name: str, step: Callable[[Any], None]) -> Callable[[Any], None]:
        def run(grads: Any) -> None:
            self.order.append(name)
            step(grads)

        return run


@TRAINERS
class TestSteps:
    @pytest.mark.parametrize("critic_steps", [1, 5])
    def test_each_generator_step_follows_several_critic_steps_on_different_images(
        self, trainer_class: type[WGAN], critic_steps: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trainer = make(trainer_class, batch_size=4, critic_steps=critic_steps)
        assert trainer.images_per_step == 4 * critic_steps
        steps = Steps(trainer, monkeypatch)
        seen: list[np.ndarray] = []
        forward = trainer.critic.forward
        monkeypatch.setattr(trainer.critic, "forward", lambda x: (seen.append(x.data), forward(x))[1])
        real = np.random.default_rng(0).uniform(-1, 1, (4 * critic_steps, 1, 28, 28)).astype(np.float32)
        trainer.step(mg.Tensor(real))
        assert steps.order == ["critic"] * critic_steps + ["generator"]
        scored = np.concatenate(seen)
        times = [(scored == image).all(axis=(1, 2, 3)).sum() for image in real]
        assert times == [1] * len(real)

    def test_each_step_changes_both_networks_and_the_metrics_are_those_with_captions(self, trainer_class: type[WGAN]) -> None:
        trainer = make(trainer_class, batch_size=4)
        before = {name: a.copy() for name, a in trainer.state_dict().items()}
        metrics = trainer.step(fixed_data(trainer))
        assert metrics.keys() == trainer.captions.keys()
        after = trainer.state_dict()
        frozen = {name for name in before if np.array_equal(before[name], after[name])}
        assert frozen <= {"critic.5.bias", "critic_optimizer.square.5", "critic_optimizer.first.5", "critic_optimizer.second.5"}

    def test_the_estimate_is_real_minus_generated_and_rises_from_the_start_on_fixed_data(
        self, trainer_class: type[WGAN]
    ) -> None:
        trainer = make(trainer_class, batch_size=8)
        real = fixed_data(trainer)
        estimates = [trainer.step(real)["wasserstein"].item() for _ in range(8)]
        assert estimates == sorted(estimates) and estimates[-1] > 2 * abs(estimates[0])
        with mg.no_grad():
            now = trainer.critic(real).mean() - trainer.critic(trainer.generator(trainer.noise(200))).mean()
        assert now.item() == pytest.approx(estimates[-1], rel=0.2)

    def test_the_generator_raises_the_critics_score_of_its_images(
        self, trainer_class: type[WGAN], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trainer = make(trainer_class, batch_size=8, critic_steps=1, lr=1e-3)
        monkeypatch.setattr(trainer.critic_optimizer, "step", lambda grads: None)
        latent, scores = trainer.noise(50), []
        for _ in range(6):
            metrics = trainer.step(fixed_data(trainer))
            with mg.no_grad():
                scores.append(trainer.critic(trainer.generator(latent)).mean().item())
        assert scores == sorted(scores)
        assert metrics["g_loss"].item() == pytest.approx(-scores[-1], rel=0.5)

    def test_captions_say_which_sign_each_curve_has(self, trainer_class: type[WGAN]) -> None:
        assert "the negative of the critic's loss" in trainer_class.captions["wasserstein"]
        assert "- mean f(G(z))" in trainer_class.captions["g_loss"]

    def test_the_last_bias_of_the_critic_has_no_effect(self, trainer_class: type[WGAN]) -> None:
        """Adding a constant to f changes neither its estimate nor its slope."""
        runs = []
        for shift in (0.0, 0.005):
            trainer = make(trainer_class, batch_size=4)
            trainer.critic.parameters()[-1].assign(shift)
            runs.append(trainer.step(fixed_data(trainer))["wasserstein"].item())
        assert runs[0] == pytest.approx(runs[1], rel=1e-3)


class TestClipping:
    @pytest.mark.parametrize(("clip", "arch"), [(0.01, "mlp"), (0.003, "mlp"), (0.01, "conv")])
    def test_clipping_holds_after_every_critic_step(self, clip: float, arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
        trainer = make(WGAN, batch_size=2, critic_steps=3, clip=clip, arch=arch)
        largest: list[float] = []
        forward = trainer.critic.forward

        def watched(x: mg.Tensor) -> mg.Tensor:
            largest.append(max(np.abs(p.data).max() for p in trainer.critic.parameters()))
            return forward(x)

        monkeypatch.setattr(trainer.critic, "forward", watched)
        trainer.step(fixed_data(trainer))
        bound = np.float32(clip)
        assert len(largest) == 2 * 3 + 1
        assert largest[0] > clip and max(largest[2:]) == bound  # of each critic step after the first, and the generator's
        assert max(np.abs(p.data).max() for p in trainer.critic.parameters()) == bound

    def test_clipping_does_not_change_the_generator(self) -> None:
        trainer = make(WGAN, batch_size=2, clip=1e-4)
        trainer.step(fixed_data(trainer))
        assert max(np.abs(p.data).max() for p in trainer.generator.parameters()) > 0.05

    def test_wgan_gp_does_not_clip_and_has_no_flag_for_it(self) -> None:
        trainer = make(WGANGP, batch_size=2)
        trainer.step(fixed_data(trainer))
        assert max(np.abs(p.data).max() for p in trainer.critic.parameters()) > 0.05
        assert "clip" not in {field.name for field in dataclasses.fields(wgan_gp.Config)}


@TRAINERS
class TestRuns:
    @pytest.mark.parametrize("arch", ["mlp", "conv"])
    def test_an_interrupted_and_resumed_run_is_bit_identical_to_an_uninterrupted_one(
        self, trainer_class: type[WGAN], arch: str, command: Callable[..., Ended], digits: Path
    ) -> None:
        settings = ("--arch", arch, "--data", digits, "--batch-size", 6, "--critic-steps", 2)
        command(trainer_class, *settings, "--epochs", 2, "--out", "whole")
        command(trainer_class, *settings, "--epochs", 2, "--steps", 4, "--out", "parts")
        ended = command(trainer_class, "--resume", "--steps", 12, "--out", "parts")
        assert ended.code == 0, ended.err
        whole, parts = (mg.load(Path(name, "checkpoint.safetensors")) for name in ("whole", "parts"))
        assert whole.keys() == parts.keys()
        for name, expected in whole.items():
            np.testing.assert_array_equal(parts[name], expected, err_msg=name)
        assert Path("whole", "metrics.csv").read_bytes() == Path("parts", "metrics.csv").read_bytes()
        for sample in Path("whole", "samples").iterdir():
            assert Path("parts", "samples", sample.name).read_bytes() == sample.read_bytes()

    def test_the_images_of_all_critic_steps_count_for_the_length_of_an_epoch(
        self, trainer_class: type[WGAN], command: Callable[..., Ended], digits: Path
    ) -> None:
        command(trainer_class, "--data", digits, "--batch-size", 4, "--critic-steps", 5, "--epochs", 2, "--out", "run")
        assert Path("run", "metrics.csv").read_text().splitlines()[-1].startswith("6,")  # 72 images, 20 a step, twice

    def test_generate_makes_the_images_of_the_last_checkpoint(
        self, trainer_class: type[WGAN], command: Callable[..., Ended], generate: Callable[..., Ended], digits: Path
    ) -> None:
        command(trainer_class, "--arch", "conv", "--data", digits, "--batch-size", 6, "--steps", 1, "--out", "run")
        assert generate("run", "--count", 4, "--out", "four.png").code == 0
        assert read_png(Path("four.png")).shape == (2 * 62, 2 * 62, 3)
        assert json.loads(Path("run", "config.json").read_text())["trainer"] == trainer_class.name


@TRAINERS
class TestData:
    def test_digits_at_28_from_a_folder(self, trainer_class: type[WGAN], digits: Path) -> None:
        for arch in ("mlp", "conv"):
            images, source = make(trainer_class, arch=arch, data=str(digits)).load_images()
            assert images.shape == (72, 1, 28, 28) and str(digits) in source

    def test_images_at_64_from_a_folder(self, trainer_class: type[WGAN], tmp_path: Path) -> None:
        for i, colour in enumerate(np.random.default_rng(0).integers(0, 256, (16, 2, 2, 3), dtype=np.uint8)):
            Image.fromarray(colour).resize((70, 66)).save(tmp_path / f"{i}.png")
        images, source = make(trainer_class, arch="conv", image_size=64, data=str(tmp_path)).load_images()
        assert images.shape == (16, 3, 64, 64) and str(tmp_path) in source

    def test_drawn_faces_at_64_without_a_folder(
        self, trainer_class: type[WGAN], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        from gans.data.drawn import faces as module

        monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path))
        draw = module.synthetic_faces
        monkeypatch.setattr(module, "synthetic_faces", lambda count, seed, size: draw(3, seed, size))
        images, source = make(trainer_class, arch="conv", image_size=64).load_images()
        assert images.shape == (3, 3, 64, 64) and "synthetic faces" in source


@TRAINERS
class TestRefusals:
    def test_dense_networks_for_large_images(self, trainer_class: type[WGAN], command: Callable[..., Ended]) -> None:
        with pytest.raises(ConfigError, match="use --arch conv with --image-size 64"):
            make(trainer_class, arch="mlp", image_size=64)
        assert "--arch mlp is for 28 x 28 images" in command(trainer_class, "--image-size", 64).complaint

    def test_fewer_images_than_a_step_needs(
        self, trainer_class: type[WGAN], command: Callable[..., Ended], digits: Path
    ) -> None:
        complaint = command(trainer_class, "--data", digits, "--batch-size", 16).complaint
        assert "72 images" in complaint and "80" in complaint
        assert not list(Path.cwd().iterdir())

    def test_a_resumed_run_keeps_its_critic_steps(
        self, trainer_class: type[WGAN], command: Callable[..., Ended], digits: Path
    ) -> None:
        command(trainer_class, "--data", digits, "--batch-size", 4, "--critic-steps", 2, "--steps", 1, "--out", "run")
        complaint = command(trainer_class, "--resume", "--critic-steps", 3, "--out", "run").complaint
        assert "was started with --critic-steps 2" in complaint

    @pytest.mark.parametrize(
        "flag",
        [("--image-size", "32"), ("--arch", "k4"), ("--critic-steps", "0"), ("--batch-size", "0"), ("--lr", "-1")],
        ids=" ".join,
    )
    def test_wrong_values_before_anything_is_made(
        self, trainer_class: type[WGAN], command: Callable[..., Ended], flag: tuple[str, str]
    ) -> None:
        ended = command(trainer_class, *flag)
        assert ended.code == 2
        assert ended.err.count("\n") == 1 and flag[0] in ended.err
        assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("flag", [("--penalty", "three-sided"), ("--penalty-weight", "-1")], ids=" ".join)
def test_wrong_penalties_are_refused(flag: tuple[str, str], command: Callable[..., Ended]) -> None:
    ended = command(WGANGP, *flag)
    assert ended.code == 2 and flag[0] in ended.err


def test_another_trainers_run_is_not_resumed(command: Callable[..., Ended], digits: Path) -> None:
    command(WGAN, "--data", digits, "--batch-size", 4, "--critic-steps", 2, "--steps", 1, "--out", "run")
    assert "a run of gans.wgan, not of gans.wgan_gp" in command(WGANGP, "--resume", "--out", "run").complaint
