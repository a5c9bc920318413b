"""Several processes make the steps, the files and the end of one. Skipped without mpi4py and mpiexec."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cuda_emulator
import numpy as np
import pytest
from ranks import BATCH, normalised, of_networks, trained
from tiny_trainers import MAKERS

import gans
from gans.data.idx import write_idx
from gans.mnist_gan import MnistGAN
from gans.training.cli import main
from gans.training.metrics import MetricsFile
from minigrad.io.safetensors import load_with_metadata
from tests.gans.conftest import TRAIN_IMAGES, Ended, checkpoint_step, run_here

ROOT = Path(gans.__file__).parents[1]
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))

pytest.importorskip("mpi4py", reason="mpi4py is not installed: pip install -e '.[mpi]'", exc_type=ImportError)
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="there is no mpiexec: pip install -e '.[mpi]'")


def started(count: int, *arguments: object) -> subprocess.Popen[str]:
    """Several processes that have been started."""
    command = [str(MPIEXEC), "-n", str(count), sys.executable, *map(str, arguments)]
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "cuda")))
    environment = {**os.environ, "PYTHONPATH": path, "MPLBACKEND": "Agg"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


def alone(*flags: object) -> Ended:
    return run_here(lambda argv: main(MnistGAN, argv), flags)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    write_idx(folder / TRAIN_IMAGES, np.random.default_rng(0).integers(0, 256, (60, 28, 28), np.uint8))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    """The folder with what ranks.py makes."""
    folder = tmp_path_factory.mktemp("parallel")
    new = ("--data", digits, "--batch-size", BATCH, "--watch-gradients", "--steps")
    assert alone(*new, 4, "--out", folder / "begun-by-one").code == 0
    assert alone(*new, 8, "--out", folder / "by-one").code == 0
    with started(4, Path(__file__).parent / "ranks.py", folder, digits) as process:
        try:
            _, err = process.communicate(timeout=300)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, err
    return folder


def ends(made: Path, name: str, count: int = 4) -> list[dict[str, Any]]:
    """How a command ended on each rank."""
    return [json.loads((made / f"{name}.{rank}.json").read_text()) for rank in range(count)]


def sentence(made: Path, name: str) -> str:
    """The one sentence of rank 0 when all ranks ended with an error."""
    each = ends(made, name)
    assert [end["code"] for end in each] == [1] * 4
    assert not any(end["out"] or end["err"] for end in each[1:])
    *_, last = each[0]["err"].replace("\r", "\n").strip().split("\n")
    return last


expected = functools.cache(trained)


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("which", MAKERS)
def test_ranks_make_the_step_that_one_makes_with_the_whole_batch(which: str, count: int, made: Path) -> None:
    found = np.load(made / f"{count}.{which}.npz")
    assert found["captured"]
    np.testing.assert_allclose(found["metrics"], expected(which)["metrics"], rtol=0, atol=1e-10)
    assert set(found) == set(expected(which))
    for name in found:  # Adam divides by |g|: rounding errors of a gradient of 0 become 1e-9
        np.testing.assert_allclose(found[name], expected(which)[name], rtol=0, atol=1e-8, err_msg=name)


def test_batch_normalisation_is_of_the_whole_batch_or_with_a_switch_of_each_ranks_rows(made: Path) -> None:
    synchronised, local, whole = np.load(made / "synchronised.npz"), np.load(made / "local.npz"), normalised()
    np.testing.assert_allclose(synchronised["y"], whole["y"], atol=1e-12)
    np.testing.assert_allclose(synchronised["weight"], whole["weight"], atol=1e-12)
    for own in (local["y"][:2], local["y"][2:]):
        np.testing.assert_allclose(own.mean(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("evaluated", [False, True])
def test_gradients_through_users_networks_and_of_their_outputs_are_those_of_one(evaluated: bool, made: Path) -> None:
    found, whole = np.load(made / f"networks-{evaluated}.npz"), of_networks(evaluated)
    assert set(found) == set(whole)
    for name in whole:
        np.testing.assert_allclose(found[name], whole[name], rtol=1e-9, atol=1e-12, err_msg=name)
    assert np.abs(whole["slope"]).min() > 1e-6


def test_captured_graphs_contain_the_exchanges_of_the_stand_in_for_nccl(made: Path) -> None:
    if reason := cuda_emulator.why_not():
        pytest.skip(reason)
    found = np.load(made / "emulated.npz")
    assert found["captured"]
    np.testing.assert_allclose(found["metrics"], expected("dcgan")["metrics"], rtol=1e-3)


@pytest.mark.parametrize("name", ["continued-by-one", "begun-by-one"])
def test_a_run_continues_with_another_number_of_ranks(name: str, made: Path) -> None:
    if name == "continued-by-one":
        assert [end["code"] for end in ends(made, "first-half")] == [0] * 4
        assert alone("--out", made / name, "--resume", "--steps", 8).code == 0
    a, b = (load_with_metadata(made / folder / "checkpoint.safetensors") for folder in (name, "by-one"))
    assert a[1] == b[1]
    assert a[0].keys() == b[0].keys()
    for key in b[0]:
        np.testing.assert_allclose(a[0][key], b[0][key], rtol=1e-2, atol=1e-4, err_msg=key)  # float32
    rows, of_one = (MetricsFile(made / folder / "metrics.csv").read() for folder in (name, "by-one"))
    assert rows[1].keys() == of_one[1].keys()
    for metric, values in of_one[1].items():
        np.testing.assert_allclose(rows[1][metric], values, rtol=1e-2, atol=1e-4, err_msg=metric)
    assert (made / name / "config.json").read_bytes() == (made / "by-one" / "config.json").read_bytes()


def test_a_signal_to_one_rank_stops_all_after_the_same_step(made: Path) -> None:
    each = ends(made, "interrupted")
    assert [(end["code"], end["steps"]) for end in each] == [(130, 3)] * 4
    again = f"mpiexec -n 4 python -m gans.mnist_gan --parallel --out {made / 'interrupted'} --resume"
    assert each[0]["out"].rstrip().splitlines()[-1] == f"Interrupted and saved. To resume: {again}"
    assert checkpoint_step(made / "interrupted") == 3


def test_a_signal_that_comes_while_the_ranks_agree_stops_all_after_the_next_step(made: Path) -> None:
    assert [(end["code"], end["steps"]) for end in ends(made, "agreeing")] == [(130, 3)] * 4


def test_a_signal_that_reaches_a_rank_late_while_rank_0_saves_is_not_a_second_one(made: Path) -> None:
    assert {end["code"] for end in ends(made, "passed-on")} == {130}
    assert ends(made, "passed-on")[0]["out"].rstrip().splitlines()[-1].startswith("Interrupted and saved.")


def test_a_signal_after_the_last_step_stops_all(made: Path) -> None:
    assert [(end["code"], end["steps"]) for end in ends(made, "late")] == [(130, 4)] * 4


def test_all_wait_until_rank_0_has_saved(made: Path) -> None:
    assert np.load(made / "waited.npz")["all"].tolist() == [[True]] * 4


def test_a_plateau_that_rank_0_finds_ends_all_also_when_the_run_is_resumed(made: Path) -> None:
    each = ends(made, "plateau")
    assert [(end["code"], end["steps"]) for end in each] == [(0, 4)] * 4, each[0]["err"]
    assert "Done at step 4: distance was best at step 2" in each[0]["out"]
    assert [(end["code"], end["steps"]) for end in ends(made, "finished")] == [(0, 0)] * 4


def test_a_nan_on_one_rank_is_everybodys(made: Path) -> None:
    assert "step 7: " in sentence(made, "nan")
    assert "the checkpoint of step 4 is kept" in sentence(made, "nan")
    assert checkpoint_step(made / "nan") == 4


@pytest.mark.parametrize(("name", "steps"), [("evaluation", 2), ("report", 4)])
def test_an_error_that_rank_0_meets_alone_ends_all_with_one_sentence(name: str, steps: int, made: Path) -> None:
    assert "digits cannot be downloaded (http://a: gone)" in sentence(made, name)
    assert [end["steps"] for end in ends(made, name)] == [steps] * 4


def test_ranks_that_have_drawn_different_random_numbers_end_with_a_sentence(made: Path) -> None:
    assert "step 0: the processes have drawn different amounts of random numbers" in sentence(made, "drawn")


def test_different_data_are_refused(made: Path) -> None:
    assert sentence(made, "other-data").startswith("python -m gans.mnist_gan: the processes have different training data")
    assert not (made / "b").exists()


def test_local_norm_needs_two_images_in_each_process(made: Path) -> None:
    assert sentence(made, "local-norm").endswith("needs at least 2 images in each process, with --local-norm")


def test_batches_and_data_sets_too_small_to_share_are_refused_in_a_sentence(made: Path) -> None:
    assert sentence(made, "too-small-batch") == "python -m gans.mnist_gan: --batch-size 3 cannot be shared among 4 processes"
    assert "the data set has 60 images, fewer than one batch of 100" in sentence(made, "too-few-images")
    assert not (made / "a").exists()


# --- the whole command, through mpiexec


def endless(folder: Path, digits: Path, count: int = 2) -> subprocess.Popen[str]:
    """A training run that has written its first checkpoint."""
    flags = (
        "--parallel",
        "--data",
        digits,
        "--batch-size",
        BATCH,
        "--epochs",
        100_000,
        "--save-every",
        "10steps",
        "--out",
        folder,
    )
    process = started(count, "-m", "gans.mnist_gan", *flags)
    while not (folder / "checkpoint.safetensors").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    return process


def processes_of(folder: Path) -> list[int]:
    """The numbers of the ranks: Python processes with the folder in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            program, *arguments = (process / "cmdline").read_bytes().split(b"\0")
            if b"python" in program and str(folder).encode() in arguments:
                found.append(int(process.name))
    return found


@pytest.mark.long
def test_ctrl_c_in_the_terminal_saves_and_stops_all(digits: Path, tmp_path: Path) -> None:
    process = endless(tmp_path / "run", digits)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out.rstrip().splitlines()[-1].startswith("Interrupted and saved. To resume: ")
    assert alone("--out", tmp_path / "run", "--resume", "--epochs", 1).code == 0


UNEXPECTED = """
from minigrad import parallel
ranks = parallel.start()
assert ranks.rank == 0, "rank 1 cannot go on"
ranks.comm.Barrier()
"""

ALONE = """
import sys
from gans.data.errors import DataError
from gans.mnist_gan import MnistGAN
from gans.training import cli, loop, one_voice
from minigrad import parallel

def step(self):
    if parallel.current().rank == 1:
        raise DataError("the disk is gone")
    return plain(self)

plain, loop.Loop.guarded_step, one_voice.PATIENCE = loop.Loop.guarded_step, step, 0.5
cli.main(MnistGAN, sys.argv[1:])
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("program", "said"),
    [(UNEXPECTED, "AssertionError: rank 1 cannot go on"), (ALONE, "rank 1: python -m gans.mnist_gan: the disk is gone")],
    ids=["in a program", "in training"],
)
def test_an_error_on_one_rank_alone_ends_the_others_too(program: str, said: str, digits: Path, tmp_path: Path) -> None:
    flags = ("--parallel", "--data", digits, "--batch-size", BATCH, "--out", tmp_path / "run")
    _, err = started(2, "-c", program, *flags).communicate(timeout=60)
    assert err.count(said) == 1, err


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are found in /proc")
def test_a_rank_that_is_killed_ends_all_and_leaves_a_good_checkpoint(digits: Path, tmp_path: Path) -> None:
    process = endless(tmp_path / "run", digits)
    os.kill(processes_of(tmp_path / "run")[-1], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == signal.SIGKILL
    assert "Killed (signal 9)" in out + err  # mpiexec says it
    assert not processes_of(tmp_path / "run")
    assert alone("--out", tmp_path / "run", "--resume", "--epochs", 1).code == 0
