"""Pooling: the maximum or the mean of each window that slides over an image.

Once the places of the maxima are known, both are linear in the image. So each op comes with its transpose,
which spreads a number over a window. The transpose of the transpose is the op itself, so gradients of any
order need nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

from minigrad.arrays.backend import empty, kernels, zeros, zeros_like
from minigrad.checks import pair
from minigrad.engine import Op
from minigrad.kernels.geometry import Geometry, Pair, Size
from minigrad.tensor import Array, Tensor

__all__ = ["avg_pool2d", "max_pool2d"]


class _Windows(Op):
    """Base of the ops on windows: they share the geometry."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry


class PickMax(_Windows):
    """h at the place of the maximum of x in each window: linear in h.

    Max-pooling is PickMax(x, x), with the differential PickMax(dx, x). No backward_x: a small change of x
    moves no maximum, so the derivative through the places is zero almost everywhere.
    """

    def forward(self, h: Array, x: Array) -> Array:
        return kernels(x).max_pool_pick(h, x, self.geometry)

    def backward_h(self, g: Tensor, x: Tensor) -> Tensor:
        return PlaceMax(self.geometry)(g, x)


class PlaceMax(_Windows):
    """Zeros, plus each window's number g at the place of its maximum of x: the transpose of `PickMax`. No backward_x either."""

    def forward(self, g: Array, x: Array) -> Array:
        return kernels(x).max_pool_place(g, x, self.geometry)

    def backward_g(self, h: Tensor, x: Tensor) -> Tensor:
        return PickMax(self.geometry)(h, x)


class SumWindows(_Windows):
    """The sum over each window; padding counts as 0."""

    def forward(self, x: Array) -> Array:
        pixels = x.transpose(0, 2, 3, 1)
        n, _, _, channels = pixels.shape
        out = zeros((n, *self.geometry.positions, channels), x)
        _add([(positions, pixels[seen]) for seen, positions in _taps(self.geometry)], out)
        return out.transpose(0, 3, 1, 2)

    def backward_x(self, g: Tensor) -> Tensor:
        return SpreadWindows(self.geometry)(g)


class SpreadWindows(_Windows):
    """Zeros, plus each window's number g at all of its pixels: the transpose of `SumWindows`."""

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
            _add([(seen, numbers[positions]) for seen, positions in _taps(self.geometry)], out)
        return out.transpose(0, 3, 1, 2)

    def backward_g(self, h: Tensor) -> Tensor:
        return SumWindows(self.geometry)(h)


FEW = 16  # taps that are summed one after the other

Key = tuple[slice, slice, slice]  # images, rows, columns of an (n, height, width, channels) array


def _taps(geometry: Geometry) -> Iterator[tuple[Key, Key]]:
    """For each tap of the kernel, the pixels it meets as the window slides, and the positions at which it meets them."""
    for a in range(geometry.kernel[0]):
        for b in range(geometry.kernel[1]):
            (rows, i), (columns, j) = _seen(geometry, 0, a), _seen(geometry, 1, b)
            yield (slice(None), rows, columns), (slice(None), i, j)


def _add(terms: list[tuple[Key, Array]], out: Array) -> None:
    """out[key] += values for all terms: a few one after the other, many in two halves, so that errors grow like a logarithm."""
    if len(terms) <= FEW:
        for key, values in terms:
            out[key] += values
        return
    middle, second = len(terms) // 2, zeros_like(out)
    _add(terms[:middle], out)
    _add(terms[middle:], second)
    out += second


def _seen(geometry: Geometry, axis: int, tap: int) -> tuple[slice, slice]:
    """Along one axis, the pixels inside the image that a tap meets, and the positions at which it does."""
    stride, offset = geometry.stride[axis], tap - geometry.padding[axis]
    first = max(0, -(offset // stride))  # the first position with position * stride + offset >= 0
    end = min((geometry.image[axis] - 1 - offset) // stride + 1, geometry.positions[axis])
    start, count = first * stride + offset, max(end - first, 0)
    return slice(start, start + count * stride, stride), slice(first, first + count)


def _side_by_side(geometry: Geometry) -> bool:
    """Whether the windows tile the image, covering each pixel once."""
    (rows, columns), (height, width) = geometry.positions, geometry.kernel
    covered = rows * height, columns * width
    return geometry.stride == geometry.kernel and geometry.padding == (0, 0) and geometry.image == covered


def max_pool2d(x: Tensor, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> Tensor:
    """The maximum of each window, per channel: (n, channels, height, width) to (n, channels, rows, columns).

    Parameters
    ----------
    kernel_size : height and width of the window, or one number for both
    stride : pixels between windows; by default the window's size, so that windows do not overlap
    padding : pixels added on each side, at most half the window; they are never the maximum

    As in PyTorch, the cotangent goes to the first of equal pixels, and a NaN counts as the maximum.
    """
    return PickMax(_windows("max_pool2d", x, kernel_size, stride, padding))(x, x)


def avg_pool2d(x: Tensor, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> Tensor:
    """The mean of each window; arguments as for `max_pool2d`. Padding counts as zeros and is included in the count."""
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
