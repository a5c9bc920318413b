"""Dropout: single elements or whole channels are set to zero at random during training."""

from __future__ import annotations

from minigrad import random
from minigrad.arrays.backend import name_of, zeros_like
from minigrad.checks import fraction
from minigrad.engine import as_real
from minigrad.ops.movement import transpose
from minigrad.tensor import Shape, Tensor

__all__ = ["dropout", "dropout2d"]


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Each element becomes 0 with probability p, else x / (1 - p), so that its expectation is x.

    Source: Srivastava et al., "Dropout", JMLR 15 (2014), in the "inverted" form, which does nothing in
    evaluation.
    """
    fraction(p, "dropout: p")
    (x,) = as_real(x)
    return x * _mask(x, x.shape, p) if training and p else x


def dropout2d(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Each whole channel of each image x (n, channels, height, width) becomes 0 with probability p, else x / (1 - p).

    Neighbouring pixels are correlated: a single dropped pixel could be inferred from those around it.
    Source: Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015.
    """
    fraction(p, "dropout2d: p")
    (x,) = as_real(x)
    if x.ndim != 4:
        raise ValueError(f"dropout2d: x {x.shape} must be (n, channels, height, width)")
    if not training or not p:
        return x
    n, channels, _, _ = x.shape
    by_pixel = transpose(x, 0, 2, 3, 1) * _mask(x, (n, 1, 1, channels), p)  # images stay channels-last
    return transpose(by_pixel, 0, 3, 1, 2)


def _mask(x: Tensor, shape: Shape, p: float) -> Tensor:
    """0 with probability p, else 1 / (1 - p), with the dtype and on the backend of x."""
    keep = random.rand(shape, name_of(x.data)).data >= p
    if shape != x.shape:
        return Tensor(keep.astype(x.dtype) / float(1 - p))
    mask = zeros_like(x.data)  # in x's layout: images stay channels-last
    mask[...] = keep
    mask /= x.dtype.type(1 - p)
    return Tensor(mask)
