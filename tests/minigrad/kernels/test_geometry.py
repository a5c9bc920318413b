"""How a window slides over an image: the number of positions, and the errors where it does not fit."""

from __future__ import annotations

from typing import Any

import pytest
from drawn_convolutions import geometries
from hypothesis import given

from minigrad.kernels.geometry import Geometry, Size

AS_DRAWN = {"image": Size(5, 6), "kernel": (3, 2), "stride": (1, 2), "padding": (0, 1), "dilation": (2, 1)}


@given(geometry=geometries())
def test_positions_are_all_places_where_the_window_fits(geometry: Geometry) -> None:
    """Counted by trying every place of the image with its padding."""
    for axis in (0, 1):
        first, beyond = -geometry.padding[axis], geometry.image[axis] + geometry.padding[axis]
        reach = geometry.dilation[axis] * (geometry.kernel[axis] - 1)
        places = [start for start in range(first, beyond, geometry.stride[axis]) if start + reach < beyond]
        assert geometry.positions[axis] == len(places)


def test_positions_of_well_known_layers() -> None:
    assert Geometry(Size(64, 64), (4, 4), (2, 2), (1, 1)).positions == (32, 32)  # DCGAN: each layer halves
    assert Geometry(Size(28, 28), (5, 5)).positions == (24, 24)
    assert Geometry(Size(224, 112), (7, 7), (2, 2), (3, 3)).positions == Size(height=112, width=56)
    assert Geometry(Size(9, 9), (3, 3), dilation=(4, 4)).positions == (1, 1)


def test_by_default_the_window_moves_by_one_pixel_inside_the_image() -> None:
    assert Geometry(Size(5, 6), (3, 2)) == Geometry(Size(5, 6), (3, 2), (1, 1), (0, 0), (1, 1))


@pytest.mark.parametrize(("name", "value", "least"), [
    ("kernel", (0, 2), 1), ("stride", (1, 0), 1), ("padding", (-1, 0), 0), ("dilation", (0, 1), 1),
])  # fmt: skip
def test_numbers_out_of_range_are_named(name: str, value: Any, least: int) -> None:
    with pytest.raises(ValueError, match=rf"{name} is \({value[0]}, {value[1]}\); it must be {least} or more"):
        Geometry(**{**AS_DRAWN, name: value})


def test_positions_at_the_end_may_be_left_out() -> None:
    full = Geometry(**AS_DRAWN)
    assert Geometry(**AS_DRAWN, positions=full.positions) == full
    assert Geometry(Size(9, 9), (2, 2), positions=Size(3, 8)).positions == (3, 8)
    for wrong in (Size(9, 8), Size(8, 9), Size(0, 8), Size(8, 0), Size(-1, 8)):
        with pytest.raises(ValueError):
            Geometry(Size(9, 9), (2, 2), positions=wrong)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5)])
def test_images_without_pixels_are_refused(size: tuple[int, int]) -> None:
    """Even if the padding alone has room for the window."""
    with pytest.raises(ValueError, match=rf"images of \({size[0]}, {size[1]}\) have no pixels"):
        Geometry(Size(*size), (2, 2), padding=(3, 3))


def test_a_window_larger_than_the_image_is_refused() -> None:
    """It spans dilation (kernel - 1) + 1 = 10 pixels of the image with its padding."""
    settings: dict[str, Any] = {"kernel": (4, 4), "padding": (2, 2), "dilation": (3, 3)}
    assert Geometry(Size(6, 6), **settings).positions == (1, 1)
    for size in (Size(5, 6), Size(6, 5)):
        with pytest.raises(ValueError, match=r"the kernel \(4, 4\) \(dilation \(3, 3\)\) does not fit into images of"):
            Geometry(size, **settings)


def test_a_geometry_is_a_value() -> None:
    """Comparable, hashable and immutable."""
    assert Geometry(**AS_DRAWN) == Geometry(**AS_DRAWN)
    assert len({Geometry(**AS_DRAWN), Geometry(**AS_DRAWN), Geometry(Size(5, 6), (3, 2))}) == 2
    with pytest.raises(AttributeError):
        Geometry(**AS_DRAWN).stride = (2, 2)  # type: ignore[misc]
