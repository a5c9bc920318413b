"""A plan has every target once, with the taps and pixels that the definition of a convolution says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from drawn_convolutions import geometries
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minigrad.kernels.cpu.taps import Plan, plan
from minigrad.kernels.cpu.vectors import ROWS
from minigrad.kernels.geometry import Geometry, Size

Term = tuple[int, int, int]  # of a convolution's sum: target, tap, source pixel
DIRECTIONS = pytest.mark.parametrize("transposed", [False, True], ids=["conv2d", "conv_transpose2d"])


def terms(geometry: Geometry, transposed: bool) -> set[Term]:
    """By the definition of a convolution, tap by tap, without those in the padding."""
    g = geometry
    found = set()
    for i, j in np.ndindex(*g.positions):
        for a, b in np.ndindex(*g.kernel):
            y = i * g.stride[0] - g.padding[0] + a * g.dilation[0]
            x = j * g.stride[1] - g.padding[1] + b * g.dilation[1]
            if 0 <= y < g.image.height and 0 <= x < g.image.width:
                position, pixel = i * g.positions.width + j, y * g.image.width + x
                target, source = (pixel, position) if transposed else (position, pixel)
                found.add((target, a * g.kernel[1] + b, source))
    return found


def planned(found: Plan, source: Size) -> tuple[list[int], list[Term]]:
    """All targets of a plan, and its terms, without those in the margins."""
    down, across = found.margins
    width = source.width + 2 * across
    targets, found_terms = [], []
    for one in found.classes:
        for i, j in np.ndindex(one["down"], one["across"]):
            target = one["first"] + i * one["target_down"] + j * one["target_across"]
            targets.append(int(target))
            for pixel, tap in found.runs[one["run"] : one["run"] + one["runs"]]:
                for step in range(one["length"]):
                    place = pixel + step + i * one["source_down"] + j * one["source_across"]
                    y, x = place // width - down, place % width - across
                    if 0 <= y < source.height and 0 <= x < source.width:
                        found_terms.append((int(target), int(tap) + step, int(y * source.width + x)))
    return targets, found_terms


@DIRECTIONS
@given(geometry=geometries(leave_some_out=True), n=st.sampled_from([1, ROWS, 20 * ROWS]))
@example(geometry=Geometry(Size(9, 8), (1, 1), (3, 2)), n=1)  # most pixels have no tap
@example(geometry=Geometry(Size(1, 1), (3, 3), (1, 1), (4, 2), (2, 1)), n=1)  # some positions have no tap
@settings(max_examples=150, deadline=None)
def test_every_target_sums_the_terms_of_the_definition(transposed: bool, geometry: Geometry, n: int) -> None:
    target, source = geometry.positions, geometry.image
    if transposed:
        target, source = source, target
    targets, found_terms = planned(plan(geometry, transposed, n), source)
    assert sorted(targets) == list(range(target.height * target.width))
    assert len(set(found_terms)) == len(found_terms)
    assert set(found_terms) == terms(geometry, transposed)


SMALL = Geometry(Size(6, 6), (3, 3), (1, 1), (1, 1))


@DIRECTIONS
@pytest.mark.parametrize(
    ("n", "good"),
    [(1, lambda found: max(found.margins) == 1 and len(found.classes) < 9), (1000, lambda found: found.margins == (0, 0))],
    ids=["one image", "many images"],
)
def test_only_few_images_are_padded_with_zeros(transposed: bool, n: int, good: Callable[[Plan], bool]) -> None:
    assert good(plan(SMALL, transposed, n))


@DIRECTIONS
def test_with_many_images_padding_costs_nothing(transposed: bool) -> None:
    classes = plan(SMALL, transposed, 1000).classes
    assert (classes["down"] * classes["across"] * classes["runs"] * classes["length"]).sum() == len(terms(SMALL, transposed))
