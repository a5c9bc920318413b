"""`python -m gans.cyclegan` from its flags to its files, and its sample grids."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from gans.cyclegan import CycleGAN
from gans.data.unpaired import load_unpaired_folder
from gans.training.images import GAP, read_png
from gans.training.loop import Loop
from tests.gans.conftest import Ended, checkpoint_step, files, state
from tests.gans.cyclegan.test_step import A, B, make
from tests.gans.training.conftest import at_step, interrupt

pytestmark = pytest.mark.usefixtures("plots_stubbed")

Command = Callable[..., Ended]
UNET = ("--generator", "unet", "--pool", 6)  # the fastest of the generators, and a pool that is soon full


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# --- translations and sheets


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_images_are_translated_in_evaluation_mode_in_parts_without_changing_the_trainer(
    norm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gans.cyclegan import trainer as module

    trainer = make(norm=norm)
    trainer.step(A, B)
    before = {name: np.array(a) for name, a in trainer.state_dict().items()}
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    whole = trainer.translate(images, "AtoB")
    assert whole.shape == images.shape and whole.dtype == np.uint8
    monkeypatch.setattr(module, "AT_ONCE", 2)
    np.testing.assert_allclose(trainer.translate(images, "AtoB").astype(int), whole, atol=1)
    assert not np.array_equal(trainer.translate(images, "BtoA"), whole)
    assert all(m.training for network in trainer.networks().values() for m in network.modules())
    for name, a in trainer.state_dict().items():
        np.testing.assert_array_equal(a, before[name])


def tiles(sheet: np.ndarray, across: int) -> np.ndarray:
    """The images of a sample grid, (rows, columns, 3, 32, 32), which shows them at twice their size."""
    step = 32 + GAP
    strip = (len(sheet) - 2 * GAP) % (2 * step)  # the headings
    sheet = sheet[strip::2, ::2]
    assert (sheet.shape[1] - GAP) // step == across
    rows = (sheet.shape[0] - GAP) // step
    shown = [[sheet[GAP + r * step :, GAP + c * step :][:32, :32] for c in range(across)] for r in range(rows)]
    return np.array(shown).transpose(0, 1, 4, 2, 3)


@pytest.mark.parametrize(("count_a", "count_b", "shown"), [(3, 5, 3), (20, 9, 8), (1, 4, 1)])
def test_a_row_of_the_grid_shows_an_image_its_translation_and_its_reconstruction_of_both_kinds(
    count_a: int, count_b: int, shown: int
) -> None:
    trainer = make()
    rng = np.random.default_rng(0)
    trainer.test_a, trainer.test_b = (rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8) for n in (count_a, count_b))
    sheet = tiles(trainer.sample_sheet(), across=6)
    assert len(sheet) == shown
    for held_out, column, there, back in ((trainer.test_a, 0, "AtoB", "BtoA"), (trainer.test_b, 3, "BtoA", "AtoB")):
        image, translated, returned = (sheet[:, column + i] for i in range(3))
        numbers = [next(i for i, x in enumerate(held_out) if np.array_equal(x, tile)) for tile in image]
        assert sorted(set(numbers)) == numbers
        assert shown == 1 or (numbers[0], numbers[-1]) == (0, len(held_out) - 1), "from the first to the last"
        np.testing.assert_array_equal(translated, trainer.translate(image, there))
        np.testing.assert_array_equal(returned, trainer.translate(translated, back))


def test_what_is_kept_are_the_weights_of_both_generators() -> None:
    trainer, other = make(), make()
    trainer.step(A, B)
    images = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32), dtype=np.uint8)
    kept = trainer.weights()
    assert {name.partition(".")[0] for name in kept} == {"a_to_b", "b_to_a"}
    other.load_weights(kept)
    for direction in ("AtoB", "BtoA"):
        np.testing.assert_array_equal(other.translate(images, direction), trainer.translate(images, direction))


def test_held_out_images_are_the_centres_of_what_was_loaded(two_domains: Path) -> None:
    trainer = make(data=str(two_domains), load_size=40)
    stream = trainer.load_batches()
    np.testing.assert_array_equal(trainer.test_a, load_unpaired_folder(two_domains, 40).test_a[:, :, 4:36, 4:36])
    assert stream.per_epoch == trainer.steps_per_epoch == 13
    assert [x.shape for x in stream[0]] == list(trainer.batch_shapes) == [(2, 3, 32, 32)] * 2
    a, b = (x.numpy() for x in stream[0])
    assert (a[:, 0] == 1).all() and (b[:, 2] == 1).all(), "red ones are A, blue ones B"


@pytest.mark.parametrize(("no_mirror", "load_size", "whole"), [(True, 32, True), (False, 32, False), (True, 40, False)])
def test_crops_and_mirror_images_are_as_asked_for(two_domains: Path, no_mirror: bool, load_size: int, whole: bool) -> None:
    trainer = make(data=str(two_domains), load_size=load_size, no_mirror=no_mirror, batch_size=18)
    (a, _) = trainer.load_batches()[0]
    cut = np.rint((a.numpy() + 1) * 127.5).astype(np.uint8)
    resized = {x.tobytes() for x in trainer.data.train_a}
    assert ({x.tobytes() for x in cut} == resized) == whole


def test_palettes_have_the_colours_of_the_domain_that_a_generator_paints(two_domains: Path) -> None:
    trainer = make(data=str(two_domains), generator="retouch", palette=2)
    trainer.load_batches()
    red_of_a, blue_of_b = trainer.b_to_a.palette.colours.numpy()[:, 0], trainer.a_to_b.palette.colours.numpy()[:, 2]
    assert (red_of_a > 0.9).all() and (blue_of_b > 0.9).all(), "A is reddish, B bluish"


# --- runs


def test_a_run_writes_sheets_a_gif_and_eight_curves(cyclegan: Command) -> None:
    ended = cyclegan(*UNET, "--epochs", 2, "--out", "run")
    assert ended.code == 0, ended.err
    assert "44 images" in ended.out
    assert set(files(Path("run"))) - {".lock"} == {
        "config.json", "metrics.csv", "losses.png", "training.gif", "checkpoint.safetensors", "generator.safetensors",
        "report.md", *(f"samples/step-{step:06d}.png" for step in (0, 6, 12)),
    }  # fmt: skip
    header, *rows = Path("run", "metrics.csv").read_text().splitlines()
    assert header == "step,d_loss_a,d_loss_b,g_loss_ab,g_loss_ba,cycle_a,cycle_b,identity_a,identity_b"
    assert [row.split(",")[0] for row in rows] == ["10", "12"], "6 steps per epoch: 26 images B, four at a time"
    with Image.open("run/training.gif") as gif:
        assert gif.n_frames == 3
    saved = json.loads(Path("run", "config.json").read_text())
    assert saved["samples"] == "held-out images, in rows: a, G(a), F(G(a)), b, F(b), G(F(b))"
    assert (saved["config"]["load_size"], saved["config"]["generator"]) == (36, "unet")


def test_a_runs_sheets_show_the_same_held_out_images_each_time(cyclegan: Command, two_domains: Path) -> None:
    cyclegan(*UNET, "--epochs", 2, "--out", "run")
    first, _, last = (tiles(read_png(path), across=6) for path in sorted(Path("run", "samples").glob("step-*")))
    held_out = load_unpaired_folder(two_domains, 36)
    for column, images in ((0, held_out.test_a), (3, held_out.test_b)):
        np.testing.assert_array_equal(first[:, column], last[:, column])
        assert {x.tobytes() for x in first[:, column]} <= {x[:, 2:34, 2:34].tobytes() for x in images}
        for made in (column + 1, column + 2):
            assert not np.array_equal(first[:, made], last[:, made])


@pytest.mark.parametrize(
    ("settings", "stops"),
    [
        ((), [1]),
        ((), [6]),
        ((), [2, 9]),
        (("--gan-loss", "wgan"), [7]),
        (("--gan-loss", "wgan-gp"), [7]),
        (("--norm", "batch", "--identity", 0), [7]),
        (("--pool", 0, "--gan-loss", "bce", "--colour-waves", 2), [7]),
        (("--generator", "retouch", "--palette", 4), [7]),
    ],
    ids=str,
)
def test_a_run_in_pieces_is_bit_identical_to_a_whole_one(
    settings: tuple[object, ...], stops: list[int], cyclegan: Command, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = tmp_path_factory.getbasetemp() / f"whole-{'-'.join(map(str, settings))}"
    if not whole.exists():
        assert cyclegan(*UNET, *settings, "--epochs", 2, "--out", whole).code == 0
    assert cyclegan(*UNET, *settings, "--epochs", 2, "--steps", stops[0], "--out", "pieces").code == 0
    for stop in [*stops[1:], 12]:
        ended = cyclegan("--resume", "--steps", stop, "--out", "pieces")
        assert ended.code == 0, ended.err
        assert checkpoint_step(Path("pieces")) == stop
    assert state(Path("pieces")) == state(whole)
    assert Path("pieces", "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


def test_a_checkpoint_contains_both_pools_and_resuming_continues_the_schedule(
    cyclegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates, plain = [], CycleGAN.rate
    monkeypatch.setattr(CycleGAN, "rate", lambda self: rates.append(plain(self)) or rates[-1])
    cyclegan(*UNET, "--epochs", 2, "--steps", 8, "--out", "run")
    saved = mg.load("run/checkpoint.safetensors")
    for name in ("pool_a", "pool_b"):
        assert saved[f"{name}.images"].shape == (6, 3, 32, 32) and saved[f"{name}.images"].any(axis=(1, 2, 3)).all()
        assert saved[f"{name}.seen"] == 8 * 4
    assert not np.array_equal(saved["pool_a.images"], saved["pool_b.images"])
    cyclegan("--resume", "--steps", 12, "--out", "run")
    assert rates == pytest.approx([2e-4] * 7 + [2e-4 * k / 6 for k in (5, 4, 3, 2, 1)]), "by --epochs, not by --steps"


def test_ctrl_c_finishes_the_step_and_the_printed_command_resumes(cyclegan: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loop, "guarded_step", at_step(4, interrupt))
    ended = cyclegan(*UNET, "--epochs", 2, "--out", "run")
    assert ended.code == 130 and checkpoint_step(Path("run")) == 4
    words = shlex.split(ended.out.rstrip().splitlines()[-1].partition("gans.cyclegan ")[2])
    assert cyclegan(*words).code == 0
    assert cyclegan(*UNET, "--epochs", 2, "--out", "whole").code == 0
    assert state(Path("run")) == state(Path("whole"))


@pytest.mark.parametrize("part", ["images", "seen"])
def test_a_checkpoint_with_another_pool_gives_one_sentence_and_nothing_is_lost(part: str, cyclegan: Command) -> None:
    cyclegan(*UNET, "--steps", 1, "--out", "run")
    saved = mg.load("run/checkpoint.safetensors")
    mg.save("run/checkpoint.safetensors", {k: a for k, a in saved.items() if k != f"pool_b.{part}"}, {"step": "1"})
    before = files(Path("run"))
    assert "checkpoint.safetensors does not fit" in cyclegan("--resume", "--steps", 2, "--out", "run").complaint
    assert files(Path("run")) == before


@pytest.mark.parametrize("flag", ["--pool", "--identity", "--load-size", "--width"])
def test_settings_that_define_the_run_cannot_change_when_resuming(flag: str, cyclegan: Command) -> None:
    cyclegan(*UNET, "--steps", 1, "--out", "run")
    before = files(Path("run"))
    assert f"was started with {flag} " in cyclegan("--resume", "--steps", 2, flag, 40, "--out", "run").complaint
    assert files(Path("run")) == before


@pytest.fixture
def few_landscapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drawn landscapes are 5 of each domain and 3 held-out pairs."""
    from gans.data import unpaired
    from gans.data.drawn import landscapes

    monkeypatch.setattr(landscapes, "TEST_COUNT", 3)
    load = unpaired.load_landscapes
    monkeypatch.setattr(unpaired, "load_landscapes", lambda size: load(size, count=5))
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "cache"))


def test_only_the_drawn_landscapes_are_compared_with_the_truth(cyclegan: Command, few_landscapes: None) -> None:
    assert cyclegan(*UNET, "--steps", 1, "--out", "folder").code == 0
    table = Path("folder", "report.md").read_text()
    assert "cycle L1" in table and "PSNR" not in table
    ended = cyclegan(*UNET, "--steps", 1, "--out", "drawn", data=None)
    assert ended.code == 0, ended.err
    report = Path("drawn", "report.md").read_text()
    assert "Translations of 3 held-out images" in report and report in ended.out
    assert "landscapes" in ended.out


# --- refusals


def copy_without(two_domains: Path, folder: Path, missing: str) -> Path:
    for name in ("trainA", "trainB", "testA", "testB"):
        if name != missing:
            (folder / name).mkdir(parents=True)
            for path in (two_domains / name).iterdir():
                (folder / name / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("missing", ["trainA", "trainB"])
def test_a_folder_without_training_images_is_refused_in_one_sentence(
    missing: str, cyclegan: Command, two_domains: Path, tmp_path: Path
) -> None:
    data = copy_without(two_domains, tmp_path / "data", missing)
    assert f"has no folder {missing}" in cyclegan("--out", "run", data=data).complaint
    (data / missing).mkdir()
    assert f"{missing} has no images" in cyclegan("--out", "run", data=data).complaint
    assert not Path("run").exists()


@pytest.mark.parametrize("missing", ["testA", "testB"])
def test_without_test_images_some_training_images_are_held_out(
    missing: str, cyclegan: Command, two_domains: Path, tmp_path: Path
) -> None:
    ended = cyclegan(*UNET, "--steps", 1, "--out", "run", data=copy_without(two_domains, tmp_path / "data", missing))
    assert ended.code == 0
    assert f"no {missing}" in ended.err and "are held out" in ended.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--batch-size", 19), "18 images, fewer than one batch of 19"),
        (("--image-size", 33), "not a multiple of 4"),
        (("--generator", "unet", "--image-size", 36), "--generator unet"),
        (("--load-size", 31), "--load-size 31"),
        (("--gan-loss", "wgan-gp", "--norm", "batch"), "--norm batch"),
        (("--epochs", 2, "--decay-epochs", 3), "--decay-epochs 3"),
    ],
    ids=str,
)
def test_contradicting_settings_are_refused_in_one_sentence_and_nothing_is_written(
    arguments: tuple[object, ...], complaint: str, cyclegan: Command
) -> None:
    assert complaint in cyclegan(*arguments, "--out", "run").complaint
    assert not list(Path.cwd().iterdir())


def test_a_learning_rate_far_too_large_ends_the_run_with_the_op_and_the_step(cyclegan: Command) -> None:
    complaint = cyclegan(*UNET, "--lr", "1e30", "--out", "run").complaint
    assert "step 2: " in complaint and "A lower --lr" in complaint
    assert not Path("run", "checkpoint.safetensors").exists()


@pytest.mark.parametrize("settings", [(), ("--identity", 0), ("--gan-loss", "wgan-gp"), ("--norm", "batch")], ids=str)
def test_a_dry_run_runs_one_step_and_writes_nothing(settings: tuple[object, ...], cyclegan: Command) -> None:
    ended = cyclegan(*UNET, *settings, "--dry-run")
    assert ended.code == 0, ended.err
    assert "one step: d_loss_a" in ended.out and ("identity_b" in ended.out) == ("--identity" not in settings)
    assert not list(Path.cwd().iterdir())


def test_resuming_writes_a_report_that_was_interrupted(
    cyclegan: Command, few_landscapes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: CycleGAN) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CycleGAN, "report", interrupted)
        assert cyclegan(*UNET, "--steps", 1, "--out", "run", data=None).code == 130
    assert not Path("run", "report.md").exists()
    assert cyclegan("--resume", "--out", "run", data=None).code == 0
    assert "held-out images" in Path("run", "report.md").read_text()


def test_resuming_a_finished_run_replaces_its_report(cyclegan: Command, few_landscapes: None) -> None:
    assert cyclegan(*UNET, "--steps", 1, "--out", "run", data=None).code == 0
    before = Path("run", "report.md").read_text()
    assert cyclegan("--resume", "--steps", 2, "--out", "run", data=None).code == 0
    assert Path("run", "report.md").read_text() != before


def test_a_refusal_names_the_flag_that_was_not_given(cyclegan: Command) -> None:
    cyclegan(*UNET, "--steps", 1, "--out", "run")
    assert "was started without --no-mirror;" in cyclegan("--resume", "--no-mirror", "--out", "run").complaint
