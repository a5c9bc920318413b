"""Relative links in the pages point to existing files or folders, and the diffs in CONTRIBUTING fit the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from benchmarks.cases import random_batch

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
        assert not (ROOT / path).exists()
    else:
        code = (ROOT / path).read_text(encoding="utf-8")
        assert before == f"a/{path}" and lines_with(" -", hunk) in code and lines_with(" +", hunk) not in code


def test_the_trainer_in_contributing_makes_a_step() -> None:
    (added,) = [hunk for _, path, hunk in HUNKS if path == "gans/smooth_gan.py"]
    module: dict[str, Any] = {"__name__": "gans.smooth_gan"}
    exec(lines_with("+", added), module)
    trainer = module["SmoothGAN"](module["SmoothGAN"].config_class(backend="numpy", batch_size=4))
    metrics = trainer.step(*(mg.Tensor(x) for x in random_batch(trainer, np.random.default_rng(0))))
    assert metrics.keys() == trainer.captions.keys()
