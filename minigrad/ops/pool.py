"""Pooling: one number for each window that slides over an image, the window's largest or its mean.

Both are linear in the image once it is known where the maxima are. So each comes with its transpose, which spreads numbers over
windows, and since the transpose of the transpose is the function itself, gradients of any order need nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

from minigrad.backend import empty, kernels, zeros
from minigrad.engine import Op
from minigrad.kernels.geometry import Geometry, Pair, Size, pair
from minigrad.tensor import Array, Tensor


class _OfWindows(Op):
    """An op that knows how its windows slide."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry


class PickMax(_OfWindows):
    """h at the place of the largest x in each window: linear in h, and constant in x almost everywhere.

    Max-pooling is PickMax(x, x). Its differential is PickMax(dx, x), because the places stay where they are.
    """

    def forward(self, h: Array, x: Array) -> Array:
        return kernels(x).max_pool_pick(h, x, self.geometry)

    def backward_h(self, g: Tensor, x: Tensor) -> Tensor:
        return PlaceMax(self.geometry)(g, x)


class PlaceMax(_OfWindows):
    """Zeros with the number g of each window added at the place of its largest x: the transpose of `PickMax`."""

    def forward(self, g: Array, x: Array) -> Array:
        return kernels(x).max_pool_place(g, x, self.geometry)

    def backward_g(self, h: Tensor, x: Tensor) -> Tensor:
        return PickMax(self.geometry)(h, x)


class SumWindows(_OfWindows):
    """The sum over each window; padding counts as 0."""

    def forward(self, x: Array) -> Array:
        pixels = x.transpose(0, 2, 3, 1)
        n, _, _, channels = pixels.shape
        out = zeros((n, *self.geometry.positions, channels), x)
        for seen, positions in _taps(self.geometry):
            out[positions] += pixels[seen]
        return out.transpose(0, 3, 1, 2)

    def backward_x(self, g: Tensor) -> Tensor:
        return SpreadWindows(self.geometry)(g)


class SpreadWindows(_OfWindows):
    """Zeros with the number g of each window added to all its pixels: the transpose of `SumWindows`."""

    def forward(self, g: Array) -> Array:
        numbers = g.transpose(0, 2, 3, 1)
        n, rows, columns, channels = numbers.shape
        height, width = self.geometry.kernel
        shape = n, *self.geometry.image, channels
        if _side_by_side(self.geometry):
            out = empty(shape, g)
            out.reshape(n, rows, height, columns, width, channels)[...] = numbers[:, :, None, :, None]
        else:
            out = zeros(shape, g)
            for seen, positions in _taps(self.geometry):
                out[seen] += numbers[positions]
        return out.transpose(0, 3, 1, 2)

    def backward_g(self, h: Tensor) -> Tensor:
        return SumWindows(self.geometry)(h)


Key = tuple[slice, slice, slice]  # images, rows, columns of an (n, height, width, channels) array


def _taps(geometry: Geometry) -> Iterator[tuple[Key, Key]]:
    """For each tap of the kernel the pixels that it sees as the window slides, and the positions from which it sees them."""
    for a in range(geometry.kernel[0]):
        for b in range(geometry.kernel[1]):
            (rows, i), (columns, j) = _seen(geometry, 0, a), _seen(geometry, 1, b)
            yield (slice(None), rows, columns), (slice(None), i, j)


def _seen(geometry: Geometry, axis: int, tap: int) -> tuple[slice, slice]:
    """Along one axis the pixels start, start + stride, ... inside the image that a tap sees, and the positions in order."""
    stride, offset = geometry.stride[axis], tap - geometry.padding[axis]
    first = max(0, -(offset // stride))  # the first position with position * stride + offset >= 0
    end = min((geometry.image[axis] - 1 - offset) // stride + 1, geometry.positions[axis])
    start, count = first * stride + offset, max(end - first, 0)
    return slice(start, start + count * stride, stride), slice(first, first + count)


def _side_by_side(geometry: Geometry) -> bool:
    """Whether the windows cover the image, each pixel once."""
    (rows, columns), (height, width) = geometry.positions, geometry.kernel
    covered = rows * height, columns * width
    return geometry.stride == geometry.kernel and geometry.padding == (0, 0) and geometry.image == covered


def max_pool2d(x: Tensor, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> Tensor:
    """The largest pixel in each window, for each channel: (n, channels, height, width) to (n, channels, rows, columns).

    Parameters
    ----------
    kernel_size : height and width of the window, or one number for both
    stride : how far it moves, by default its own size: windows lie side by side
    padding : pixels on each side that the image counts as having more, at most half the window; they are never the largest

    The cotangent goes to the first of equal pixels; a NaN counts as the largest. All as in PyTorch.
    """
    return PickMax(_windows("max_pool2d", x, kernel_size, stride, padding))(x, x)


def avg_pool2d(x: Tensor, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> Tensor:
    """The mean over each window, arguments as for `max_pool2d`. Padding counts as zeros, also where pixels are counted."""
    if x.dtype.kind != "f":
        raise TypeError(f"avg_pool2d: the images are floating-point numbers, not {x.dtype}")
    geometry = _windows("avg_pool2d", x, kernel_size, stride, padding)
    return SumWindows(geometry)(x) / (geometry.kernel[0] * geometry.kernel[1])


def _windows(caller: str, x: Tensor, kernel_size: int | Pair, stride: int | Pair | None, padding: int | Pair) -> Geometry:
    if x.ndim != 4:
        raise ValueError(f"{caller}: x is {x.shape}; it must be images (n, channels, height, width)")
    kernel, pads = pair(kernel_size, f"{caller}: kernel_size"), pair(padding, f"{caller}: padding", least=0)
    steps = kernel if stride is None else pair(stride, f"{caller}: stride")
    if 2 * pads[0] > kernel[0] or 2 * pads[1] > kernel[1]:
        raise ValueError(f"{caller}: padding {pads} is more than half the kernel {kernel}; some windows would see no pixel")
    try:
        return Geometry(Size(*x.shape[2:]), kernel, steps, pads)
    except ValueError as error:
        raise ValueError(f"{caller}: {error}") from error
