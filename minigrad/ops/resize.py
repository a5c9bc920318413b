"""Images in another size: `interpolate`.

Each number of the result is a weighted sum of pixels with weights that depend on the sizes alone. So it is linear, and made of
ops that are: windows of copies where pixels become blocks, else a product with a matrix of weights for each axis.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.backend import move, name_of
from minigrad.kernels.geometry import Geometry, Pair, Size, pair, real
from minigrad.ops.linear import matmul
from minigrad.ops.pool import SpreadWindows
from minigrad.ops.shape import reshape, transpose
from minigrad.recorder import tracked
from minigrad.tensor import Array, Tensor


class Scale(NamedTuple):
    """How one axis is resized. Output pixel i covers the input from i * step to (i + 1) * step for step = over / under.

    The step is kept as two numbers because i * over / under is exact where it is whole, and i * (1 / 49) is not.
    """

    before: int
    after: int
    over: float
    under: float

    @property
    def copies(self) -> int:
        """How many output pixels an input pixel becomes, if that is a whole number; else 0."""
        return int(self.under // self.over) if self.under % self.over == 0 else 0


def interpolate(
    x: Tensor,
    size: int | Pair | None = None,
    scale_factor: float | tuple[float, float] | None = None,
    mode: str = "nearest",
) -> Tensor:
    """Images (n, channels, height, width) in another size.

    Parameters
    ----------
    size : height and width of the result, or one number for both
    scale_factor : instead of a size, how many times as high and wide; fractions of a pixel are cut off
    mode : "nearest", the pixel in which the upper left corner of an output pixel lies; "bilinear", a mean of the four pixels
        whose centres are around its own (PyTorch's align_corners=False), where the image goes on with its edge outside

    "nearest" finds the pixel exactly, where PyTorch rounds to float32. A NaN or an infinity spreads over its row and column,
    except in "nearest" by whole factors.
    """
    if x.ndim != 4:
        raise ValueError(f"interpolate: x is {x.shape}; it must be images (n, channels, height, width)")
    rows, columns = _scales(x, size, scale_factor)
    if mode not in WEIGHTS:
        raise ValueError(f"interpolate: mode is {mode!r}; choose {' or '.join(map(repr, WEIGHTS))}")
    if mode == "bilinear" and x.dtype.kind != "f":
        raise TypeError(f"interpolate: bilinear images are floating-point numbers, not {x.dtype}")
    if mode == "nearest" and rows.copies and columns.copies:
        block = rows.copies, columns.copies
        return SpreadWindows(Geometry(Size(rows.after, columns.after), kernel=block, stride=block))(x)
    down, across = (Tensor(tracked(_weights(mode, scale, x.dtype, name_of(x.data)))) for scale in (rows, columns))
    return _weighted(x, down, across)


def _scales(x: Tensor, size: int | Pair | None, scale_factor: float | tuple[float, float] | None) -> tuple[Scale, Scale]:
    if (size is None) == (scale_factor is None):
        raise ValueError(f"interpolate: give either size or scale_factor, not size {size} and scale_factor {scale_factor}")
    if size is not None:
        after = pair(size, "interpolate: size")
        down, across = (Scale(n, m, n, m) for n, m in zip(x.shape[2:], after, strict=True))
    else:
        assert scale_factor is not None
        factors = scale_factor if isinstance(scale_factor, Sequence) else (scale_factor, scale_factor)
        if len(factors) != 2:
            raise ValueError(f"interpolate: scale_factor is {scale_factor!r}; it must be one number, or two")
        down, across = (_by_factor(n, real(f, "interpolate: scale_factor")) for n, f in zip(x.shape[2:], factors, strict=True))
    if min(down[:2] + across[:2]) < 1:
        raise ValueError(
            f"interpolate: images of {x.shape[2:]} pixels cannot become {(down.after, across.after)}; both need at least one"
        )
    return down, across


def _by_factor(n: int, factor: float) -> Scale:
    """An axis that keeps its size is copied, as in PyTorch, whatever fraction of a pixel the factor would add."""
    after = int(n * factor)
    return Scale(n, n, n, n) if after == n else Scale(n, after, 1, factor)


def _nearest(scale: Scale) -> np.ndarray:
    """(after, before): a 1 in each row, where the output pixel takes its value."""
    source = np.floor(np.arange(scale.after) * scale.over / scale.under).astype(int)
    return np.eye(scale.before)[np.minimum(source, scale.before - 1)]


def _bilinear(scale: Scale) -> np.ndarray:
    """(after, before): in each row the weights of the two pixels around the centre of the output pixel, their sum 1."""
    centre = np.maximum((np.arange(scale.after) + 0.5) * scale.over / scale.under - 0.5, 0)
    left = np.minimum(centre.astype(int), scale.before - 1)
    right = np.minimum(left + 1, scale.before - 1)
    share = (centre - left)[:, np.newaxis]
    one = np.eye(scale.before)
    return (1 - share) * one[left] + share * one[right]


WEIGHTS = {"nearest": _nearest, "bilinear": _bilinear}


@functools.lru_cache(maxsize=64)
def _weights(mode: str, scale: Scale, dtype: Any, backend_name: str) -> Array:
    """Weights in the type and on the backend of an image; kept, because a copy to the GPU in every step would wait for it."""
    return move(WEIGHTS[mode](scale).astype(dtype), backend_name)


def _weighted(x: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Sums of pixels with these weights along the height and the width. All arrays lie channels-last: no copies are made."""
    n, channels, height, width = x.shape
    pixels = reshape(transpose(x, (0, 2, 3, 1)), (n * height, width, channels))
    lines = reshape(matmul(across, pixels), (n, height, len(across) * channels))
    resized = reshape(matmul(down, lines), (n, len(down), len(across), channels))
    return transpose(resized, (0, 3, 1, 2))
