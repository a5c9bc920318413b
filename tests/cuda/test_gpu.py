"""The tests of kernels, engine and captured steps again, with the real CuPy on a GPU, and some in full size.

Skipped, with the reason, on machines without a GPU.
"""

from __future__ import annotations

from typing import Any

import capture_report
import numpy as np
import pytest
import tiny_trainers
from test_captured_runs import *  # noqa: F403
from test_captured_steps import *  # noqa: F403
from test_conv_kernels import *  # noqa: F403
from test_cublas import *  # noqa: F403
from test_dispatch import *  # noqa: F403
from test_kernels import *  # noqa: F403
from test_norm_kernels import *  # noqa: F403
from test_pool_kernels import *  # noqa: F403

from benchmarks.cases import CASES, Case
from minigrad.arrays import backend
from minigrad.capture import Captured

pytestmark = pytest.mark.gpu

if reason := backend.why_no_gpu():
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture(scope="module")
def cupy() -> Any:
    return backend.cupy_module()


@pytest.fixture(scope="module")
def name() -> str:
    return "cupy"


@pytest.fixture
def xp(cupy: Any) -> Any:
    return cupy


@pytest.fixture(scope="module")
def order() -> str:
    """A GPU has its own thread order."""
    return "the GPU's"


@pytest.mark.parametrize("name", CASES)
def test_captured_steps_of_full_size_are_bit_identical_to_eager_steps(cupy: Any, name: str) -> None:
    eager, captured = (capture_report.train(CASES[name], captured) for captured in (False, True))
    assert not captured.refusal
    assert not capture_report.differences(eager, captured)


CURVES = {
    "mnist_gan": Case("mnist_gan", 64),
    "wgan": Case("wgan", 32),
    "wgan_gp": Case("wgan_gp", 16),
    "dcgan": Case("dcgan", 8, {"arch": "k4", "image_size": 32}),
}


def curve(case: Case, name: str, dtype: Any) -> np.ndarray:
    """The losses of the first 50 steps."""
    trainer = case.trainer(dtype, name)
    step, given = Captured(trainer.step), tiny_trainers.batches(trainer, 50)
    return np.array([list(row.values()) for row in tiny_trainers.as_numbers([step(*batch) for batch in given])])


@pytest.mark.parametrize("which", CURVES)
def test_the_first_fifty_losses_differ_from_the_cpu_by_no_more_than_float32_explains(cupy: Any, which: str) -> None:
    """Training amplifies rounding.

    The CPU in float32 against float64 shows by how much; the GPU may differ ten times that.
    """
    ways = (("numpy", np.float64), ("numpy", np.float32), ("cupy", np.float32))
    exact, on_cpu, on_gpu = (curve(CURVES[which], *way) for way in ways)
    scale = np.abs(exact).max()
    for steps in (5, 20, 50):
        rounding = np.abs(on_cpu - exact)[:steps].max() + 1e-6 * scale
        assert np.abs(on_gpu - exact)[:steps].max() < 10 * rounding, f"in the first {steps} steps"
