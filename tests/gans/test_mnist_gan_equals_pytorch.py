"""200 training steps give PyTorch's losses and weights, to 1e-9 relative in float64."""

from __future__ import annotations

import numpy as np
import pytest
from reference import gan_runs

import minigrad as mg

Run = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def ours() -> Run:
    return gan_runs.run_minigrad()


def test_losses_and_weights_equal_the_recorded_ones(ours: Run) -> None:
    recorded = mg.load(gan_runs.RECORDED)
    found = gan_runs.fingerprint(ours)
    assert found.keys() == recorded.keys()
    np.testing.assert_allclose(found.pop("metrics"), recorded["metrics"], rtol=1e-9)
    for name, probes in found.items():
        np.testing.assert_allclose(probes, recorded[name], rtol=0, atol=1e-9, err_msg=name)


def test_losses_and_weights_equal_those_of_a_live_run(ours: Run) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed; the recorded run is compared with all the same")
    theirs = gan_runs.run_torch()
    assert ours.keys() == theirs.keys()
    np.testing.assert_allclose(ours["metrics"], theirs["metrics"], rtol=1e-9)
    for name in ours.keys() - {"metrics"}:
        error = np.abs(ours[name] - theirs[name]).max() / np.abs(theirs[name]).max()
        assert error < 1e-9, f"{name}: {error:.1e}"


def test_the_run_is_long_enough_to_tell(ours: Run) -> None:
    """Weights that had hardly moved would agree whatever the step does."""
    start = gan_runs.trainer()
    for name, network in start.networks().items():
        for key, parameter in network.named_parameters().items():
            moved = np.abs(ours[f"{name}.{key}"] - parameter.data).max()
            assert moved > 1e-3, f"{name}.{key} moved by {moved}"
