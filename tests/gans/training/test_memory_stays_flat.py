"""20,000 steps of each trainer, on tiny networks, take no more memory than the first ones: `pytest -m long`."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_trainers import MAKERS, batches, make

import minigrad as mg
from gans.training.loop import Loop
from gans.training.run_folder import RunFolder
from tests.gans.training.conftest import SETTINGS

pytestmark = [
    pytest.mark.long,
    pytest.mark.usefixtures("plots_stubbed"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]
STEPS, PER_EPOCH = 20_000, 1000
KILOBYTES = 100  # of growth per 1,000 steps: in a day of a million such steps, 100 MB


class Repeated:
    """The same few batches again and again. `memory` has the resident kilobytes at the start of each epoch."""

    source, count, digest, batch_size, per_epoch = "repeated", 8, "", 1, PER_EPOCH

    def __init__(self, few: list[tuple[mg.Tensor, ...]]) -> None:
        self.few = few
        self.memory: list[float] = []

    def __getitem__(self, step: int) -> tuple[mg.Tensor, ...]:
        if step % PER_EPOCH == 0:
            gc.collect()
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.memory.append(pages * os.sysconf("SC_PAGE_SIZE") / 1000)
        return self.few[step % len(self.few)]


@pytest.mark.parametrize("which", MAKERS)
def test_memory_stays_flat(which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(which, "numpy")
    monkeypatch.setattr(type(trainer), "sample_sheet", lambda self, samples: np.zeros((8, 8, 3), np.uint8))
    stream, folder = Repeated(batches(trainer, 8)), RunFolder(tmp_path / "run")
    folder.start(SETTINGS)
    loop = Loop(trainer, stream, folder)
    loop.last_step = STEPS
    assert loop.run() == 0
    settled = np.array(stream.memory[len(stream.memory) // 4 :])
    growth = np.polyfit(np.arange(len(settled)), settled, 1)[0]
    print(f"{which}: {growth:+.1f} KB per 1,000 steps; at the start of each epoch {np.round(settled - settled[0]).tolist()}")
    assert growth < KILOBYTES, stream.memory
