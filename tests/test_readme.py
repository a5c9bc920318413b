"""Relative links in the pages point to existing files or folders, and the diffs in CONTRIBUTING fit the code."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

import minigrad as mg
from benchmarks.cases import random_batch
from minigrad import nn
from minigrad.gradcheck import gradcheck

ROOT = Path(__file__).parents[1]
LINKS = [
    (page, target)
    for page in (
        "README.md",
        "benchmarks/README.md",
        ".github/CONTRIBUTING.md",
        "minigrad/capture/README.md",
        "minigrad/kernels/cpu/README.md",
    )
    for target in re.findall(r'(?:\]\(|src=")([^)"]+)', (ROOT / page).read_text(encoding="utf-8"))
    if "://" not in target
]


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_a_relative_link_points_to_a_file_or_folder(page: str, target: str) -> None:
    assert (ROOT / page).parent.joinpath(target.partition("#")[0]).exists()


CONTRIBUTING = (ROOT / ".github/CONTRIBUTING.md").read_text(encoding="utf-8")
HUNKS = [
    (before, path, hunk)
    for before, path, hunks in re.findall(
        r"^--- (\S+)\n\+\+\+ b/(\S+)\n((?:@@\n(?:[ +-].*\n)+?)+)(?=--- |```)", CONTRIBUTING, re.MULTILINE
    )
    for hunk in hunks.removeprefix("@@\n").split("@@\n")
]


def lines_with(signs: str, hunk: str) -> str:
    return "".join(line[1:] for line in hunk.splitlines(keepends=True) if line[0] in signs)


@pytest.mark.parametrize(("before", "path", "hunk"), HUNKS)
def test_a_diff_in_contributing_fits_the_code_and_is_not_part_of_it(before: str, path: str, hunk: str) -> None:
    if before == "/dev/null":
        assert not (ROOT / path).exists(), f"{path} exists: CONTRIBUTING needs another example"
    else:
        code = (ROOT / path).read_text(encoding="utf-8")
        fits = before == f"a/{path}" and lines_with(" -", hunk) in code and lines_with(" +", hunk) not in code
        assert fits, f"{path} is not what a diff in CONTRIBUTING starts from: update the diff"


def test_all_diffs_of_contributing_were_found() -> None:
    assert len({path for _, path, _ in HUNKS}) == len(re.findall(r"^\+\+\+ ", CONTRIBUTING, re.MULTILINE))
    assert len(HUNKS) == len(re.findall(r"^@@", CONTRIBUTING, re.MULTILINE))


def added_to(path: str) -> str:
    """The lines that CONTRIBUTING adds to a file, without those that replace others."""
    return "".join(lines_with("+", hunk) for _, where, hunk in HUNKS if where == path and not lines_with("-", hunk))


def test_the_op_and_the_layer_in_contributing_work() -> None:
    from minigrad.nn import activations as layers
    from minigrad.ops import activations as ops

    op = dict(vars(ops))
    exec(added_to("minigrad/ops/activations.py"), op)
    x = mg.Tensor(np.array([-2.0, -0.3, 0.4, 3.0]), requires_grad=True)
    np.testing.assert_allclose(op["softsign"](x).data, x.data / (1 + np.abs(x.data)))
    gradcheck(op["softsign"], [x])
    layer = {**vars(layers), "F": SimpleNamespace(softsign=op["softsign"])}
    exec(added_to("minigrad/nn/activations.py"), layer)
    np.testing.assert_array_equal(layer["Softsign"]()(x).data, op["softsign"](x).data)


def test_the_trainer_in_contributing_makes_a_step() -> None:
    module: dict[str, Any] = {"__name__": "gans.smooth_gan"}
    exec(added_to("gans/smooth_gan.py"), module)
    trainer = module["SmoothGAN"](module["SmoothGAN"].config_class(backend="numpy", batch_size=4))
    with mock.patch.object(nn.Dropout, "forward", lambda self, x: x):  # so that D gives an image the same logit twice
        (real,) = (mg.Tensor(x) for x in random_batch(trainer, np.random.default_rng(0)))
        mg.manual_seed(1)
        logits = [trainer.discriminator(x).data.astype(float) for x in (real, trainer.generator(trainer.noise(4)))]
        mg.manual_seed(1)
        metrics = trainer.step(real)
    d, d_fake = (1 / (1 + np.exp(-logit)) for logit in logits)
    expected = -(0.9 * np.log(d) + 0.1 * np.log(1 - d)).mean() - np.log(1 - d_fake).mean()
    assert metrics["d_loss"].item() == pytest.approx(expected, rel=1e-5)
    assert metrics.keys() == trainer.captions.keys()
