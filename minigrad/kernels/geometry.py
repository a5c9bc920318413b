"""`Geometry`: how a window slides over an image. A convolution, its gradients and pooling share one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

Pair = tuple[int, int]  # along the height and the width


class Size(NamedTuple):
    """The height and width of an image in pixels, or the rows and columns of positions."""

    height: int
    width: int


ALL = Size(0, 0)  # stands for every position there is room for


@dataclass(frozen=True)
class Geometry:
    """A window of kernel[0] x kernel[1] taps, `dilation` pixels apart, that moves over an image by `stride` pixels.

    The image is padded by `padding` pixels on each side. At position (i, j), tap (a, b) is on pixel
    (i stride[0] - padding[0] + a dilation[0], j stride[1] - padding[1] + b dilation[1]).

    `positions` are the rows and columns of positions that the window takes; by default all that
    fit. Fewer make sense for a transposed convolution with output padding, whose image is larger
    than its positions need.

    Raises
    ------
    ValueError : if the window does not fit into the image, or a number is out of range
    """

    image: Size
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    positions: Size = ALL

    def __post_init__(self) -> None:
        for name, least in (("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            if min(getattr(self, name)) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {least} or more")
        if min(self.image) < 1:
            raise ValueError(f"images of {tuple(self.image)} have no pixels")
        room = Size(self._along(0), self._along(1))
        if self.positions is ALL:
            object.__setattr__(self, "positions", room)  # the way to set a field of a frozen dataclass
        if not all(1 <= n <= most for n, most in zip(self.positions, room, strict=True)):
            raise ValueError(
                f"the kernel {self.kernel} (dilation {self.dilation}) does not fit into images of {tuple(self.image)} with "
                f"padding {self.padding}"
            )

    def _along(self, axis: int) -> int:
        """How many positions fit along an axis."""
        free = self.image[axis] + 2 * self.padding[axis] - self.dilation[axis] * (self.kernel[axis] - 1) - 1
        return free // self.stride[axis] + 1
