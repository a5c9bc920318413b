"""`Geometry`: how a window slides over an image. Convolutions, their gradients and pooling share one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

Pair = tuple[int, int]  # along the height, along the width


class Size(NamedTuple):
    """Height and width in pixels, or a count of positions in both directions."""

    height: int
    width: int


@dataclass(frozen=True)
class Geometry:
    """A window of kernel[0] x kernel[1] taps, `dilation` pixels apart, put onto an image at every `stride`-th place.

    The image counts as having `padding` more pixels on each side. At position (i, j) tap (a, b) sees the pixel
    (i stride[0] - padding[0] + a dilation[0], j stride[1] - padding[1] + b dilation[1]).

    Raises
    ------
    ValueError : if the window does not fit into the image, or a number is out of range
    """

    image: Size
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    def __post_init__(self) -> None:
        for name, least in (("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            if min(getattr(self, name)) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {least} or more")
        if min(self.positions) < 1:
            raise ValueError(
                f"the kernel {self.kernel} (dilation {self.dilation}) does not fit into images of {tuple(self.image)} with "
                f"padding {self.padding}"
            )

    @property
    def positions(self) -> Size:
        """How many places the window takes: the size of a convolution's result."""
        return Size(*(self._along(axis) for axis in (0, 1)))

    def _along(self, axis: int) -> int:
        free = self.image[axis] + 2 * self.padding[axis] - self.dilation[axis] * (self.kernel[axis] - 1) - 1
        return free // self.stride[axis] + 1


def pair(value: int | Pair) -> Pair:
    """A number for both directions, or one for each."""
    if isinstance(value, int):
        return value, value
    height, width = value
    return height, width
