"""Overhead: both sides compute the same values."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.measure import overhead
from benchmarks.settings import Settings

pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("operation", overhead.OPERATIONS)
def test_both_sides_give_the_same_values_and_gradients(operation: str) -> None:
    function, shapes = overhead.OPERATIONS[operation]
    found = []
    for side in (overhead.Ours(Settings(threads=1)), overhead.Theirs(Settings(threads=1))):
        rng = np.random.default_rng(0)
        inputs = [side.tensor(rng.random(shape, np.float32)) for shape in shapes]
        y = function(side.functional, *inputs)
        grads = side.grad(y, inputs, side.tensor(np.ones(tuple(y.shape), np.float32)))
        found.append([np.array(a.detach().numpy()) for a in (y, *grads)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_forward_takes_less_time_than_forward_and_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "REPEATS", 5)
    ours = overhead.Ours(Settings())
    forward, both = np.min([ours.time("linear") for _ in range(20)], axis=0)  # other programs take some turns
    assert 0 < forward < both
