"""samples/real.png: the first training images in the form of the sample grids, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gans.data.idx import read_idx
from gans.training.images import GAP, read_png
from tests.gans.conftest import TRAIN_IMAGES, Train


def shown(path: Path, side: int = 28) -> set[bytes]:
    """The images of a grid."""
    sheet = read_png(path)[::2, ::2, 0]
    places = range(GAP, len(sheet) - GAP, side + GAP)
    return {sheet[top : top + side, left : left + side].tobytes() for top in places for left in places}


def test_the_sheet_shows_64_training_images_or_those_of_an_epoch(train: Train, digits: Path) -> None:
    images = {image.tobytes() for image in read_idx(digits / TRAIN_IMAGES)}
    assert train("--steps", 1, "--out", "run").code == 0
    found = shown(Path("run", "samples", "real.png"))
    assert len(found) == 64 and found <= images
    assert train("--steps", 1, "--batch-size", 30, "--out", "large").code == 0
    found = shown(Path("large", "samples", "real.png"))
    assert len(found - {bytes([255]) * 784}) == 60, "two batches are an epoch"
    sheets = [read_png(Path("run", "samples", name)).shape for name in ("real.png", "step-000000.png")]
    assert sheets[0] == sheets[1]


@pytest.mark.usefixtures("plots_stubbed")
def test_a_resumed_run_keeps_the_sheet_or_writes_it_and_overwriting_replaces_it(train: Train) -> None:
    assert train("--steps", 1, "--out", "run").code == 0
    path = Path("run", "samples", "real.png")
    before = path.read_bytes()
    path.write_bytes(b"mine")
    assert train("--steps", 2, "--resume", "--out", "run").code == 0
    assert path.read_bytes() == b"mine"
    path.unlink()
    assert train("--steps", 3, "--resume", "--out", "run").code == 0
    assert path.read_bytes() == before
    path.write_bytes(b"of an older run")
    assert train("--steps", 1, "--overwrite", "--out", "run").code == 0
    assert path.read_bytes() == before
