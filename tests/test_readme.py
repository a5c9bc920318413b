"""Relative links in the READMEs and in CONTRIBUTING point to existing files or folders."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
