"""Resizing images: `interpolate`.

Each output pixel is a weighted sum of input pixels, with weights that depend only on the sizes. So resizing
is linear and is made of existing ops: copies of pixels for whole factors, else a matrix product along each
axis.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.arrays.backend import move, name_of
from minigrad.arrays.hooks import persistent
from minigrad.checks import pair, real
from minigrad.kernels.geometry import Geometry, Pair, Size
from minigrad.ops.linear import matmul
from minigrad.ops.movement import reshape, transpose
from minigrad.ops.pool import SpreadWindows
from minigrad.tensor import Array, Tensor

__all__ = ["interpolate"]


class Scale(NamedTuple):
    """How one axis is resized: output pixel i covers the input from i * step to (i + 1) * step, with step = over / under.

    The step is kept as a fraction: i * over / under is exact whenever it is a whole number, and i * (1 /
    49) is not.
    """

    before: int
    after: int
    over: float
    under: float

    @property
    def copies(self) -> int:
        """The number of copies of each input pixel, if that is a whole number; else 0."""
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
    scale_factor : instead of a size, the factors for height and width; fractions of a pixel are truncated
    mode : "nearest", the input pixel that contains the upper left corner of the output pixel;
        "bilinear", a weighted mean of the four pixels around the output pixel's centre (PyTorch's
        align_corners=False), with the edge pixels repeated outside

    "nearest" computes the position exactly, where PyTorch rounds to float32. A NaN or an infinity spreads
    over its row and column, except in "nearest" by whole factors.
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
    down, across = (Tensor(persistent(_weights(mode, scale, x.dtype, name_of(x.data)))) for scale in (rows, columns))
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
    """An axis whose size does not change is copied, as in PyTorch, even if the factor is not exactly 1."""
    after = int(n * factor)
    return Scale(n, n, n, n) if after == n else Scale(n, after, 1, factor)


def _nearest(scale: Scale) -> np.ndarray:
    """(after, before): each row has a 1 at the input pixel that the output pixel copies."""
    source = np.floor(np.arange(scale.after) * scale.over / scale.under).astype(int)
    return np.eye(scale.before)[np.minimum(source, scale.before - 1)]


def _bilinear(scale: Scale) -> np.ndarray:
    """(after, before): each row has the weights of the two input pixels around the output pixel's centre; they sum to 1."""
    centre = np.maximum((np.arange(scale.after) + 0.5) * scale.over / scale.under - 0.5, 0)
    left = np.minimum(centre.astype(int), scale.before - 1)
    right = np.minimum(left + 1, scale.before - 1)
    share = (centre - left)[:, np.newaxis]
    one = np.eye(scale.before)
    return (1 - share) * one[left] + share * one[right]


WEIGHTS = {"nearest": _nearest, "bilinear": _bilinear}


@functools.lru_cache(maxsize=64)
def _weights(mode: str, scale: Scale, dtype: Any, backend_name: str) -> Array:
    """Weights with the dtype and on the backend of an image. Cached, because copies to the GPU make it wait."""
    return move(WEIGHTS[mode](scale).astype(dtype), backend_name)


def _weighted(x: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Weighted sums of pixels along width, then height. All arrays stay channels-last, so nothing is copied."""
    n, channels, height, width = x.shape
    pixels = reshape(transpose(x, (0, 2, 3, 1)), (n * height, width, channels))
    lines = reshape(matmul(across, pixels), (n, height, len(across) * channels))
    resized = reshape(matmul(down, lines), (n, len(down), len(across), channels))
    return transpose(resized, (0, 3, 1, 2))
