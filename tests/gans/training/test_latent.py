"""`--latent uniform` and `--redraw`: what they change, in every trainer that has them, captured and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from benchmarks.cases import random_batch
from gans.generate import images, latent_vectors, walks
from gans.trainers import TRAINERS, load_run, trainer_named
from gans.training.latent import GANConfig, LatentConfig, LatentTrainer
from tests.gans.conftest import Train, state
from tests.gans.test_trainers_copied import SMALL

LATENT = [name for name in TRAINERS if issubclass(trainer_named(name).config_class, LatentConfig)]
GANS = [name for name in TRAINERS if issubclass(trainer_named(name).config_class, GANConfig)]


def make(name: str, **settings: Any) -> Any:
    kind = trainer_named(name)
    mg.manual_seed(0)
    return kind(kind.config_class(backend="numpy", batch_size=2, **SMALL.get(name, {}), **settings))


@pytest.mark.parametrize("name", LATENT)
def test_uniform_latent_vectors_fill_the_cube_evenly(name: str) -> None:
    trainer = make(name, latent="uniform")
    for z in (trainer.noise(400).numpy(), trainer.fixed_noise(400, 3).numpy()):
        assert z.dtype == np.float32 and z.shape == (400, trainer.latent_size)
        assert -1 < z.min() < -0.999 and 0.999 < z.max() < 1
        counts = np.histogram(z, 20, (-1, 1))[0] / z.size
        np.testing.assert_allclose(counts, 0.05, atol=0.005)


@pytest.mark.usefixtures("plots_stubbed")
def test_a_run_with_uniform_latent_vectors_generates_from_them_and_its_walks_stay_in_the_cube(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train("--steps", 1, "--latent", "uniform", "--out", "run").code == 0
    trainer = load_run(Path("run"), "numpy")
    assert isinstance(trainer, LatentTrainer)
    z = latent_vectors(trainer, 5, 0)
    assert np.abs(z).max() < 1 and abs(z.std() - 3**-0.5) < 0.05
    made = np.stack(list(images(trainer, 5, 3)))
    np.testing.assert_array_equal(made, trainer.generate(mg.Tensor(z))[:3])
    seen: list[np.ndarray] = []
    plain = trainer.generate
    monkeypatch.setattr(trainer, "generate", lambda z: seen.append(z.numpy()) or plain(z))
    np.testing.assert_array_equal(next(walks(trainer, 5, 3)), made)
    assert np.abs(seen).max() == 1, "some numbers of a walk along the sphere would leave the cube"


@pytest.mark.parametrize("redraw", [False, True])
@pytest.mark.parametrize("name", GANS)
def test_redraw_gives_the_generators_step_new_noise(name: str, redraw: bool) -> None:
    """G gets two batches of latent vectors in a step, without --redraw one, and the same labels. D judges what G then makes."""
    trainer = make(name, redraw=redraw)
    inputs: list[tuple[np.ndarray, ...]] = []
    outputs: list[mg.Tensor] = []
    judged: list[mg.Tensor] = []
    G, D = trainer.generator.forward, trainer.discriminator.forward

    def generate(*given: mg.Tensor) -> mg.Tensor:
        inputs.append(tuple(x.numpy().copy() for x in given))
        outputs.append(G(*given))
        return outputs[-1]

    def judge(x: mg.Tensor, *labels: mg.Tensor) -> mg.Tensor:
        judged.append(x)
        return D(x, *labels)

    trainer.generator.forward, trainer.discriminator.forward = generate, judge
    trainer.step(*map(mg.Tensor, random_batch(trainer, np.random.default_rng(0))))
    assert len(inputs) == len(outputs) == 1 + redraw
    assert judged[-1] is outputs[-1] or name == "ssgan", "whose step of G takes D's features"
    (first, *labels), (last, *same) = inputs[0], inputs[-1]
    assert first.shape == last.shape and (first != last).any() == redraw
    for a, b in zip(labels, same, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("plots_stubbed")
def test_both_flags_are_kept_when_a_captured_run_is_resumed_op_by_op(train: Train) -> None:
    flags = "--latent", "uniform", "--redraw"
    assert train(*flags, "--steps", 9, "--out", "whole").code == 0
    assert train(*flags, "--steps", 5, "--out", "parts").code == 0
    assert "without --redraw" not in train("--resume", "--steps", 9, "--no-capture", "--out", "parts").err
    whole, parts = state(Path("whole")), state(Path("parts"))
    for name in ("checkpoint.safetensors", "generator.safetensors", "samples/step-000009.png"):
        assert whole[name] == parts[name]
    assert train("--steps", 9, "--out", "plain").code == 0
    assert state(Path("plain"))["generator.safetensors"] != whole["generator.safetensors"]
    assert "was started with --latent uniform" in train("--resume", "--latent", "normal", "--out", "parts").complaint


def test_a_flag_that_an_older_run_did_not_have_counts_as_its_default(train: Train) -> None:
    assert train("--steps", 1, "--out", "run").code == 0
    path = Path("run", "config.json")
    settings = json.loads(path.read_text())
    del settings["config"]["latent"], settings["config"]["redraw"]
    path.write_text(json.dumps(settings))
    assert train("--resume", "--steps", 2, "--latent", "normal", "--out", "run").code == 0
    assert "was started with --latent normal" in train("--resume", "--latent", "uniform", "--out", "run").complaint
