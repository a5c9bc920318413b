"""Training works without `minigrad.capture`: where it cannot be imported, every GAN trains bit-identically."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_trainers import MAKERS, as_numbers, batches, make

from minigrad.capture import WARM_UP, Captured

STEPS = WARM_UP + 2

WITHOUT_CAPTURE = f"""
import json, sys
sys.modules["minigrad.capture"] = None  # importing it, or anything in it, is now an error
from tiny_trainers import MAKERS, as_numbers, batches, make
losses = {{}}
for which in MAKERS:
    trainer = make(which, "numpy")
    losses[which] = as_numbers([trainer.step(*batch) for batch in batches(trainer, {STEPS})])
import gans.training.loop
print(json.dumps(losses))
"""


@pytest.fixture(scope="module")
def losses_without_capture() -> dict[str, list[dict[str, float]]]:
    here = Path(__file__).parent
    path = os.pathsep.join(map(str, (here, here.parents[1])))
    command = [sys.executable, "-c", WITHOUT_CAPTURE]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("which", MAKERS)
def test_every_trainer_gets_the_same_losses_with_and_without_capture(
    which: str, losses_without_capture: dict[str, list[dict[str, float]]]
) -> None:
    trainer = make(which, "numpy")
    step = Captured(trainer.step)
    assert as_numbers([step(*batch) for batch in batches(trainer, STEPS)]) == losses_without_capture[which]
    assert step.program is not None
