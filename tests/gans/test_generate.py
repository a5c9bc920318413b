"""`python -m gans.generate` with finished, running and damaged runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from gans.generate import images, latent_vectors, latent_walk, walks
from gans.trainers import load_run
from gans.training.images import GAP, read_png
from gans.training.latent import LatentTrainer
from gans.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("plots_stubbed")

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "one"


@pytest.fixture
def run(train: Command, made: Path, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    if not made.exists():
        assert train("--epochs", 2, "--out", made).code == 0
    return Path(shutil.copytree(made, tmp_path / "run"))


def frames(path: Path) -> list[np.ndarray]:
    with Image.open(path) as image:
        shown = []
        for i in range(image.n_frames):
            image.seek(i)
            shown.append(np.asarray(image.convert("L")).astype(float))
        return shown


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(("count", "across", "down"), [(1, 1, 1), (3, 2, 2), (10, 4, 3), (100, 10, 10)])
def test_the_grid_has_the_requested_number_of_images(
    count: int, across: int, down: int, generate: Command, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "some.png"
    ended = generate(run, "--count", count, "--out", out)
    assert (ended.code, ended.err, ended.out) == (0, "", f"{out}\n")
    sheet = read_png(out)[::2, ::2]
    assert sheet.shape == (down * (28 + GAP) + GAP, across * (28 + GAP) + GAP, 3)
    filled = [
        not (sheet[top : top + 28, left : left + 28] == 255).all()
        for top in range(GAP, len(sheet), 28 + GAP)
        for left in range(GAP, sheet.shape[1], 28 + GAP)
    ]
    assert filled == [True] * count + [False] * (across * down - count)


def test_the_images_equal_a_forward_pass_written_out_in_numpy(generate: Command, run: Path, tmp_path: Path) -> None:
    generate(run, "--count", 1, "--seed", 5, "--out", tmp_path / "one.png")
    weights = mg.load(run / "generator.safetensors")
    h = mg.Generator(5).randn((1, 100)).numpy().astype(np.float64)
    for layer in (0, 2, 4):
        h = h @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"]
        h = np.maximum(h, 0) if layer < 4 else np.tanh(h)
    shown = read_png(tmp_path / "one.png")[::2, ::2, 0][GAP:-GAP, GAP:-GAP]
    np.testing.assert_allclose(shown, (h.reshape(28, 28) + 1) * 127.5, atol=0.51)


def test_an_image_depends_on_the_seed_and_its_number_alone(generate: Command, run: Path, tmp_path: Path) -> None:
    trainer = load_run(run, "numpy")
    assert isinstance(trainer, LatentTrainer)
    longest = np.stack(list(images(trainer, 5, 300)))
    assert len(set(map(bytes, longest))) == 300
    for count in (1, 7, 16, 17, 64):
        np.testing.assert_array_equal(np.stack(list(images(trainer, 5, count))), longest[:count])
    for first in (0, 160):
        z = latent_vectors(trainer, 5, first)
        np.testing.assert_array_equal(trainer.generate(mg.Tensor(z)), longest[first : first + 16])
        assert abs(z.mean()) < 0.1 and abs(z.std() - 1) < 0.1, "normal numbers, not the same ones again and again"
    frame = next(walks(trainer, 5, 17))
    np.testing.assert_array_equal(frame, longest[:17], "an interpolation starts from the same images")
    np.testing.assert_array_equal(next(walks(trainer, 5, 3)), longest[:3])


def test_one_thread_makes_the_same_images_as_two(run: Path) -> None:
    pytest.importorskip("numba")
    from minigrad.kernels.cpu.threads import get_num_threads, set_num_threads

    trainer, before = load_run(run, "numpy"), get_num_threads()
    assert isinstance(trainer, LatentTrainer)
    several = np.stack(list(images(trainer, 5, 40)))
    set_num_threads(1)
    try:
        np.testing.assert_array_equal(np.stack(list(images(trainer, 5, 7))), several[:7])
    finally:
        set_num_threads(before)


@pytest.mark.parametrize("out", ["made/", "folder", "deep/er/{}.webp", "{}.PNG"])
def test_each_image_gets_a_file_where_the_path_says_so(out: str, generate: Command, run: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    ended = generate(run, "--count", 3, "--seed", 5, "--out", f"{tmp_path}/{out}")
    pattern = tmp_path / (out if "{}" in out else f"{out}/seed5-{{}}.png")
    paths = [Path(str(pattern).replace("{}", f"00000{i}")) for i in range(3)]
    assert (ended.code, ended.err, ended.out) == (0, "", f"{paths[0]} to {paths[2].name}\n")
    assert sorted(paths[0].parent.glob("*0*.*")) == paths
    trainer = load_run(run, "numpy")
    assert isinstance(trainer, LatentTrainer)
    for path, image in zip(paths, images(trainer, 5, 3), strict=True):
        with Image.open(path) as shown:
            np.testing.assert_array_equal(np.asarray(shown.convert("L")), image[0])


def test_files_in_a_folder_keep_others_and_equal_those_of_a_longer_series(generate: Command, run: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine.png").write_bytes(b"kept")
    generate(run, "--count", 2, "--out", f"{tmp_path}/a")
    before = listing(tmp_path / "a")
    generate(run, "--count", 5, "--out", f"{tmp_path}/a")
    assert before.items() <= listing(tmp_path / "a").items()
    assert before["mine.png"] == b"kept"


@pytest.mark.parametrize("scale", [1, 2, 3, 10])
def test_scale_repeats_each_pixel(scale: int, generate: Command, run: Path, tmp_path: Path) -> None:
    for out, height in ((f"{tmp_path}/grid.png", 28 + 2 * GAP), (f"{tmp_path}/{{}}.png", 28)):
        assert generate(run, "--count", 1, "--scale", scale, "--out", out).code == 0
        shown = read_png(Path(out.replace("{}", "000000")))
        assert shown.shape == (height * scale, height * scale, 3)
        np.testing.assert_array_equal(shown[::scale, ::scale].repeat(scale, 0).repeat(scale, 1), shown)


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "JPG", "webp"])
def test_a_grid_has_the_format_of_its_suffix_and_says_how_it_was_made(
    suffix: str, generate: Command, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"a.{suffix}"
    assert generate(run, "--count", 4, "--seed", 12, "--out", out).code == 0
    generate(run, "--count", 4, "--seed", 12, "--out", tmp_path / "grid.png")
    with Image.open(out) as image:
        assert image.format == {"png": "PNG", "webp": "WEBP"}.get(suffix, "JPEG")
        difference = np.abs(np.asarray(image).astype(float) - read_png(tmp_path / "grid.png"))
        assert difference.mean() < (6 if image.format == "JPEG" else 1e-9)
        about = image.info if suffix == "png" else image.getexif()[0x010E]
    facts = {"seed": "12", "trainer": "mnist_gan", "run": "run", "Software": f"minigrad {mg.__version__}"}
    for key, value in facts.items():
        assert about[key] == value if suffix == "png" else f"{key} {value}" in about


def test_a_gif_and_a_single_image_say_how_they_were_made(generate: Command, run: Path, tmp_path: Path) -> None:
    generate(run, "--count", 1, "--seed", 12, "--interpolate", "--out", tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as image:
        assert b"seed 12, trainer mnist_gan, run run" in image.info["comment"]
    generate(run, "--count", 3, "--seed", 12, "--out", tmp_path / "{}.png")
    with Image.open(tmp_path / "000002.png") as image:
        assert (image.info["seed"], image.info["image"]) == ("12", "2")


@pytest.mark.parametrize("name", ["wörk", b"\xff\xfe".decode("utf-8", "surrogateescape"), "数字"])
def test_a_run_with_any_name_can_be_named_in_the_metadata(name: str, generate: Command, run: Path, tmp_path: Path) -> None:
    try:
        run.rename(tmp_path / name)
    except OSError:
        pytest.skip("this file system refuses the name")
    shown = name if name.isprintable() else r"\udcff\udcfe"
    for out in ("a.png", "a.jpg", "a.gif"):
        more = ["--interpolate"] if out == "a.gif" else []
        assert generate(tmp_path / name, "--count", 1, "--out", tmp_path / out, *more).code == 0
    with Image.open(tmp_path / "a.png") as png, Image.open(tmp_path / "a.gif") as gif:
        assert png.info["run"] == shown and f"run {shown}," in gif.info["comment"].decode()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--count", 10_001), "--out DIR/"),
        (("--count", 10_000, "--scale", 64), "give a smaller one"),
        (("--count", 1, "--interpolate", "--out", "{}.png"), ".gif"),
    ],
    ids=str,
)
def test_files_too_large_are_refused_before_any_work(
    arguments: tuple[object, ...], complaint: str, generate: Command, run: Path, tmp_path: Path
) -> None:
    before = listing(tmp_path)
    assert complaint in generate(run, *arguments).complaint
    assert listing(tmp_path) == before


def test_equal_seeds_give_equal_files_and_other_seeds_do_not(generate: Command, run: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2), ("d", 2**64 - 1)):
        assert generate(run, "--count", 4, "--seed", seed, "--out", tmp_path / f"{name}.png").code == 0
    a, b, c, d = ((tmp_path / f"{name}.png").read_bytes() for name in "abcd")
    assert a == b
    assert len({a, c, d}) == 3


def test_without_out_the_image_goes_to_the_run_folder_and_nothing_else_changes(generate: Command, run: Path) -> None:
    before = listing(run)
    assert generate(run).out == f"{run / 'generated.png'}\n"
    assert generate(run, "--interpolate", "--count", 2).out == f"{run / 'generated.gif'}\n"
    after = listing(run)
    assert set(after) - set(before) == {"generated.png", "generated.gif"}
    assert {name: after[name] for name in before} == before
    assert read_png(run / "generated.png").shape[:2] == (2 * (8 * 30 + 2),) * 2, "64 images by default"


def test_images_of_a_run_in_progress_come_from_its_last_checkpoint(generate: Command, run: Path, tmp_path: Path) -> None:
    generate(run, "--out", tmp_path / "finished.png")
    for name in ("metrics.csv", "losses.png", "training.gif", "checkpoint.safetensors"):
        (run / name).unlink(missing_ok=True)
    with RunFolder(run).locked():
        assert generate(run, "--out", tmp_path / "running.png").code == 0
    assert (tmp_path / "running.png").read_bytes() == (tmp_path / "finished.png").read_bytes()


def test_an_interpolation_is_a_gif_with_small_steps_that_loops_seamlessly(generate: Command, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "walk.gif"
    assert generate(run, "--interpolate", "--count", 4, "--seed", 3, "--out", out).code == 0
    shown = frames(out)
    assert len(shown) == 80
    steps = [np.abs(a - b).mean() for a, b in zip(shown, [*shown[1:], shown[0]], strict=True)]
    assert min(steps) > 0
    assert steps[-1] <= max(steps[:-1]), "the step from the last frame to the first is like any other"
    assert max(steps) < 0.5 * np.abs(shown[0] - shown[16]).mean(), "steps are small compared with the distance of waypoints"
    with Image.open(out) as image:
        assert image.info["loop"] == 0
        assert image.info["duration"] == 60


def test_a_latent_walk_passes_through_its_waypoints_and_stays_near_the_sphere() -> None:
    waypoints = [mg.Generator(0, 1000 * i).randn((3, 100)).numpy() for i in range(4)]
    path = latent_walk(waypoints, 8)
    assert len(path) == 32
    assert all(z.dtype == np.float32 and z.shape == (3, 100) for z in path)
    for i, waypoint in enumerate(waypoints):
        np.testing.assert_allclose(path[8 * i], waypoint, atol=1e-5)
    lengths = np.array([np.linalg.norm(z, axis=1) for z in path])
    assert lengths.min() > 0.85 * np.linalg.norm(waypoints, axis=2).min(), "a straight line would pass through the inside"
    steps = [np.linalg.norm(a - b) for a, b in zip(path, [*path[1:], path[0]], strict=True)]
    assert max(steps) < 1.6 * min(steps)


# --- errors


@pytest.mark.parametrize(
    "argv",
    [[], ["--count"], ["--count", "0"], ["--count", "-3"], ["--count", "1.5"], ["--count", "x"], ["--count", "²"],
     ["--backend", "tpu"], ["--seed", "x"], ["--nonsense"], ["another"]],
    ids=str,
)  # fmt: skip
def test_a_wrong_command_line_gives_one_line_and_exit_code_2(argv: list[str], generate: Command, tmp_path: Path) -> None:
    ended = generate(*([tmp_path] if argv else []), *argv)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended.err
    assert ended.err.startswith("python -m gans.generate: ")


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_an_error_in_one_line(seed: int, generate: Command, run: Path, tmp_path: Path) -> None:
    ended = generate(run, "--seed", seed, "--out", tmp_path / "a.png")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert f"argument --seed: '{seed}' is not an integer from 0 to 18,446,744,073,709,551,615" in ended.err


def test_a_folder_without_a_run_is_an_error(generate: Command, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        assert str(folder) in generate(folder).complaint
    (tmp_path / "file").touch()
    assert "file" in generate(tmp_path / "file").complaint


def test_a_name_too_long_for_the_file_system_is_an_error_in_one_sentence(generate: Command, tmp_path: Path) -> None:
    assert generate(tmp_path / ("x" * 300)).complaint


@pytest.mark.parametrize("trainer", ["os", "biggan", "../evil", "", "training.cli"])
def test_a_run_of_an_unknown_trainer_is_an_error(trainer: str, generate: Command, run: Path) -> None:
    settings = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**settings, "trainer": trainer}))
    assert repr(trainer) in generate(run).complaint


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"trainer": "mnist_gan"}', b'{"trainer": "mnist_gan", "config": 3}']
)
def test_a_damaged_config_file_is_an_error_in_one_sentence(content: bytes, generate: Command, run: Path) -> None:
    (run / "config.json").write_bytes(content)
    before = listing(run)
    assert "config.json" in generate(run).complaint
    assert listing(run) == before


def test_a_run_without_weights_is_an_error_that_says_when_they_are_saved(generate: Command, run: Path) -> None:
    (run / "generator.safetensors").unlink()
    assert "generator.safetensors" in (complaint := generate(run).complaint)
    assert "next checkpoint" in complaint


@pytest.mark.parametrize("keep", [0, 1, 8, 100, 100_000, -1])
def test_truncated_weights_are_an_error_in_one_sentence(keep: int, generate: Command, run: Path) -> None:
    path = run / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    before = listing(run)
    assert "generator.safetensors" in generate(run).complaint
    assert listing(run) == before


@pytest.mark.parametrize(
    "weights",
    [{"w": np.ones(3)}, {}, {"0.weight": np.ones((256, 50), np.float32)}],
    ids=["other names", "none", "other shapes"],
)
def test_weights_of_another_network_are_an_error_in_one_sentence(weights: dict[str, Any], generate: Command, run: Path) -> None:
    path = run / "generator.safetensors"
    whole = mg.load(path)
    mg.save(path, {**whole, **weights} if "0.weight" in weights else weights)
    assert "generator.safetensors" in generate(run).complaint


@pytest.mark.parametrize("options", [[], ["--interpolate"]], ids=str)
@pytest.mark.parametrize("name", ["a.tiff", "a", "a.txt"])
def test_an_output_name_with_the_wrong_suffix_is_an_error(
    name: str, options: list[str], generate: Command, run: Path, tmp_path: Path
) -> None:
    assert (".gif" if options else ".png") in generate(run, *options, "--out", tmp_path / name).complaint
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("options", [[], ["--interpolate", "--count", "1"]], ids=["png", "gif"])
def test_an_output_in_a_missing_folder_is_an_error(options: list[str], generate: Command, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "missing" / ("a.gif" if options else "a.png")
    assert str(out) in generate(run, *options, "--out", out).complaint
    assert not out.parent.exists()


def test_a_folder_with_the_name_of_the_output_is_an_error_and_is_kept(generate: Command, run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    assert "a.png" in generate(run, "--out", tmp_path / "a.png").complaint
    assert (tmp_path / "a.png").is_dir()


def test_a_run_loads_on_the_requested_backend_not_on_that_of_its_training(run: Path) -> None:
    settings = json.loads((run / "config.json").read_text())
    settings["config"] |= {"backend": "cupy", "a setting of a later version": 1}
    (run / "config.json").write_text(json.dumps(settings))
    assert load_run(run, "numpy").backend == "numpy"
