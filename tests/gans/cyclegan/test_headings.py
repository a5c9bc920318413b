from __future__ import annotations

import numpy as np
import pytest

from gans.cyclegan.headings import with_headings
from gans.training.images import grid


@pytest.mark.parametrize("size", [28, 32, 64, 256])
def test_headings_stand_above_their_columns(size: int) -> None:
    labels = ["a", "G(a)", "F(G(a))", "b", "", "G(F(b))"]
    plain = grid(np.random.default_rng(0).integers(0, 200, (6, 3, size, size), np.uint8), 6)
    headed = with_headings(plain, labels)
    np.testing.assert_array_equal(headed[-len(plain) :], plain)
    strip = headed[: -len(plain)]
    assert 15 <= len(strip) <= 40
    ink = np.flatnonzero((strip < 128).any(axis=(0, 2)))
    column = plain.shape[1] / 6
    inked = [((i * column <= ink) & (ink < (i + 1) * column)).sum() for i in range(6)]
    assert inked[4] == 0, "no column runs into the next"
    assert min(inked[:4]) > 0 and inked[5] > inked[1] > inked[0]
    assert not (strip < 128)[0].any() and not (strip < 128)[-1].any(), "nothing is cut off"
    for i, label in enumerate(labels):
        if label:
            own = ink[(i * column <= ink) & (ink < (i + 1) * column)]
            assert abs((own[0] + own[-1]) / 2 - (i + 0.5) * column) < 3
