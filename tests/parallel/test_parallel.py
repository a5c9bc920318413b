"""Several processes make the steps, the files and the end of one. Skipped without mpi4py and mpiexec."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gans
from minigrad.io.safetensors import load_with_metadata

ROOT = Path(gans.__file__).parents[1]
HERE = Path(__file__).parent
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))

pytest.importorskip("mpi4py", reason="mpi4py is not installed: pip install -e '.[mpi]'", exc_type=ImportError)
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="there is no mpiexec: pip install -e '.[mpi]'")


def ranks(count: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(MPIEXEC), "-n", str(count), sys.executable, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    return subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, cwd=ROOT)


def train(count: int, folder: Path, *flags: object) -> subprocess.CompletedProcess[str]:
    common = ("--data", "synthetic", "--batch-size", 6, "--out", folder)
    return ranks(count, "-m", "gans.mnist_gan", "--parallel", *common, *flags)


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_with_metadata(folder / "checkpoint.safetensors")[0]


@pytest.mark.parametrize(("count", "cases"), [(2, ()), (4, ("mnist_gan", "softmax_gan", "dragan", "cyclegan batch norm"))])
def test_ranks_make_the_step_that_one_makes_with_the_whole_batch(count: int, cases: tuple[str, ...]) -> None:
    ended = ranks(count, HERE / "steps.py", *cases)
    assert ended.returncode == 0, ended.stderr
    for case, found in json.loads(ended.stdout).items():
        assert found["captured"], case
        assert found["metrics"] < 1e-10, (case, found)
        assert found["state"] < 1e-8, (case, found)  # Adam divides by |g|: rounding errors of a gradient of 0 become 1e-9


def test_a_run_of_two_ranks_continues_with_one_and_the_files_say_nothing_of_ranks(tmp_path: Path) -> None:
    ended = train(2, tmp_path / "a", "--steps", 6)
    assert ended.returncode == 0, ended.stderr
    assert train(1, tmp_path / "a", "--steps", 12, "--resume").returncode == 0
    assert train(1, tmp_path / "b", "--steps", 12).returncode == 0
    assert (tmp_path / "a" / "config.json").read_bytes() == (tmp_path / "b" / "config.json").read_bytes()
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert a.keys() == b.keys()
    for name in b:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-2, atol=1e-4, err_msg=name)  # float32


def test_an_error_of_all_ranks_is_one_sentence(tmp_path: Path) -> None:
    ended = ranks(2, "-m", "gans.mnist_gan", "--parallel", "--batch-size", 1, "--data", "synthetic", "--out", tmp_path / "a")
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines() == ["python -m gans.mnist_gan: --batch-size 1 cannot be shared among 2 processes"]
