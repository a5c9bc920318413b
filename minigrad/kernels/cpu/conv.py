"""Convolution and its gradients on the CPU: chooses between implicit GEMM and im2col.

A tile of a product is some channels of its result wide. Where the channels fill the tiles,
`implicit_gemm` multiplies images and weights where they are. Where the result has few channels its
tiles would be nearly empty: there, and for the weights' gradient, `im2col` is used, whose columns
are taps x channels. Every number is summed in an order that does not depend on the number of threads.

With stride 1, a convolution with few output channels is computed as a transposed convolution with
the kernel rotated by 180 degrees (and the reverse): the images change places, and the few channels
become a part of an im2col row. See `_rotated`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.arrays.hooks import launch, persistent
from minigrad.arrays.layout import channels_last
from minigrad.kernels import reference
from minigrad.kernels.cpu import im2col, implicit_gemm
from minigrad.kernels.cpu.loops import REAL, in_c_order, pixels
from minigrad.kernels.cpu.sizes import ImplicitGemmSizes, conv_sizes
from minigrad.kernels.cpu.taps import plan
from minigrad.kernels.cpu.threads import get_num_threads
from minigrad.kernels.cpu.vectors import TILE_BYTES
from minigrad.kernels.geometry import Geometry

Array = Any

FEW = 16  # output channels: with fewer, half of a tile's width (in float32, with AVX-512) would be empty
FULL = 0.6  # of the tiles' width: a transposed convolution that fills less is faster by im2col


def conv2d(x: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    x, weight, bias = _of_one_type(x, weight, bias)
    if not _is_real(x, weight):
        return channels_last(reference.conv2d(x, weight, bias, geometry))
    if _has_few(weight.shape, geometry):
        return conv_transpose2d(x, _rotate(weight), bias, _rotated(geometry))
    return _implicit_gemm(x, weight, bias, geometry, transposed=False)


def conv_transpose2d(g: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    g, weight, bias = _of_one_type(g, weight, bias)
    if not _is_real(g, weight):
        return channels_last(reference.conv_transpose2d(g, weight, bias, geometry))
    if _has_few(weight.shape, geometry):
        return conv2d(g, _rotate(weight), bias, _rotated(geometry))
    if _filled(weight.shape[1], g) >= FULL:
        return _implicit_gemm(g, weight, bias, geometry, transposed=True)
    n, (out, channels) = len(g), weight.shape[:2]
    x = np.empty((n, *geometry.image, channels), g.dtype, like=g)
    arrays = _flat(g), _flat(weight), _row(bias, channels, g), x.reshape(-1)
    launch(im2col.conv_transpose, *arrays, n, out, conv_sizes(channels, geometry), get_num_threads())
    return x.transpose(0, 3, 1, 2)


def conv2d_weight(x: Array, g: Array, geometry: Geometry) -> Array:
    x, g, _ = _of_one_type(x, g, None)
    if not _is_real(x, g):
        return channels_last(reference.conv2d_weight(x, g, geometry))
    out, channels = g.shape[1], x.shape[1]
    if _has_few((out, channels), geometry):
        return channels_last(_rotate(conv2d_weight(g, x, _rotated(geometry))))
    w = np.empty((out, *geometry.kernel, channels), x.dtype, like=x)
    by_taps = channels % _width(x) != 0 and out % _width(g) == 0
    kernel = im2col.conv_weight_by_taps if by_taps else im2col.conv_weight
    arrays = _flat(x), _flat(g), w.reshape(-1)
    launch(kernel, *arrays, len(x), out, conv_sizes(channels, geometry), get_num_threads())
    return w.transpose(0, 3, 1, 2)


def _implicit_gemm(x: Array, weight: Array, bias: Array | None, geometry: Geometry, transposed: bool) -> Array:
    """A convolution of x, or a transposed one, whose result has many channels."""
    n, (out, depth), source, target = len(x), weight.shape[:2], geometry.image, geometry.positions
    if transposed:
        depth, out, source, target = out, depth, target, source
    (margin_h, margin_w), classes, runs = plan(geometry, transposed, n)
    y = np.empty((n, *target, out), x.dtype, like=x)
    arrays = _flat(x), _flat(weight), _row(bias, out, x), y.reshape(-1)
    taps = geometry.kernel[0] * geometry.kernel[1]
    padded = (source.height + 2 * margin_h) * (source.width + 2 * margin_w)
    sizes = ImplicitGemmSizes(
        n, depth, out, taps, *source, margin_h, margin_w, source=padded, target=target.height * target.width
    )
    launch(implicit_gemm.conv, *arrays, sizes, persistent(classes), persistent(runs), transposed, get_num_threads())
    return y.transpose(0, 3, 1, 2)


def _has_few(shape: tuple[int, ...], geometry: Geometry) -> bool:
    """Whether weights (out, channels, ...) have few output channels, and rotating the kernel helps."""
    out, channels, *_ = shape
    if out >= min(FEW, channels) or geometry.stride != (1, 1):
        return False
    axes = zip(geometry.image, geometry.positions, geometry.padding, _spans(geometry), strict=True)
    return all(p <= span and positions == image + 2 * p - span for image, positions, p, span in axes)


def _filled(channels: int, x: Array) -> float:
    """The fraction of the tiles' width that so many channels fill."""
    return channels / (-(-channels // _width(x)) * _width(x))


def _width(x: Array) -> int:
    """Channels in the width of a tile."""
    return TILE_BYTES // x.itemsize


def _rotate(weight: Array) -> Array:
    """(out, channels, kh, kw) to (channels, out, kh, kw), each kernel rotated by 180 degrees."""
    return weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]


def _rotated(geometry: Geometry) -> Geometry:
    """The geometry of the rotated kernel, for stride 1: image and positions change places.

    With y[q] = sum over t of x[q + d t - p] w[t], x[i] contributes to y[i + d (k - 1 - t) - (d (k -
    1) - p)] through tap t.
    """
    spans, (ph, pw) = _spans(geometry), geometry.padding
    padding = spans[0] - ph, spans[1] - pw
    return Geometry(geometry.positions, geometry.kernel, geometry.stride, padding, geometry.dilation)


def _spans(geometry: Geometry) -> tuple[int, int]:
    """Pixels from the first to the last tap of a kernel."""
    (kh, kw), (dh, dw) = geometry.kernel, geometry.dilation
    return dh * (kh - 1), dw * (kw - 1)


def _of_one_type(x: Array, y: Array, bias: Array | None) -> tuple[Array, Array, Array | None]:
    """All in the dtype that NumPy gives their product."""
    dtype = np.result_type(x, y) if bias is None else np.result_type(x, y, bias)
    return x.astype(dtype, copy=False), y.astype(dtype, copy=False), None if bias is None else bias.astype(dtype, copy=False)


def _is_real(x: Array, y: Array) -> bool:
    """Whether the fast loops can run: dtypes float32 or float64, and no empty array."""
    return x.dtype in REAL and x.size > 0 and y.size > 0


def _flat(x: Array) -> Array:
    """Images or weights, channels-last, as one axis."""
    return pixels(x).reshape(-1)


def _row(bias: Array | None, size: int, like: Array) -> Array:
    return np.zeros(size, like.dtype, like=like) if bias is None else in_c_order(bias)
