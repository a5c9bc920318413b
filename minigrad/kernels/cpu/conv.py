"""Convolution and its gradients on the CPU: which loops do the work.

A tile of a product is as wide as many channels of its result. `direct` multiplies images and weights as they lie. Where the
result has few channels, its tiles would be nearly empty, and in a gradient by the weights one that is not full would read
beyond the last image: there `patches` multiplies patches, whose columns are taps x channels. Every number is summed in an order
that does not depend on how many threads there are.

If the kernel moves by one pixel at a time, what x is to g in a convolution is what g is to x in another one, with the kernel
turned round: the images change places, and few output channels become a part of a patch. See `_turn`.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from minigrad.arrays.hooks import launch, persistent
from minigrad.arrays.layout import by_pixel, channels_last
from minigrad.kernels import reference
from minigrad.kernels.cpu import direct, patches
from minigrad.kernels.cpu.loops import REAL, in_c_order
from minigrad.kernels.cpu.taps import plan
from minigrad.kernels.cpu.vectors import TILE_BYTES
from minigrad.kernels.geometry import Geometry

Array = Any

FEW = 16  # output channels: with fewer, half of a tile's width (in float32, with AVX-512) would be empty
FULL = 0.6  # of the width of the tiles: a transposed convolution that fills less is quicker through patches


def conv2d(x: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    x, weight, bias = _of_one_type(x, weight, bias)
    if not _is_real(x, weight):
        return channels_last(reference.conv2d(x, weight, bias, geometry))
    if _has_few(weight.shape, geometry):
        return conv_transpose2d(x, _turn(weight), bias, _turned(geometry))
    return _gathered(x, weight, bias, geometry, transposed=False)


def conv_transpose2d(g: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    g, weight, bias = _of_one_type(g, weight, bias)
    if not _is_real(g, weight):
        return channels_last(reference.conv_transpose2d(g, weight, bias, geometry))
    if _has_few(weight.shape, geometry):
        return conv2d(g, _turn(weight), bias, _turned(geometry))
    if _filled(weight.shape[1], g) >= FULL:
        return _gathered(g, weight, bias, geometry, transposed=True)
    n, (out, channels) = len(g), weight.shape[:2]
    x = np.empty((n, *geometry.image, channels), g.dtype, like=g)
    arrays = _pixels(g), _pixels(weight), _row(bias, channels, g), x.reshape(-1)
    launch(patches.fold_product, *arrays, n, out, _numbers(channels, geometry), numba.get_num_threads())
    return x.transpose(0, 3, 1, 2)


def conv2d_weight(x: Array, g: Array, geometry: Geometry) -> Array:
    x, g, _ = _of_one_type(x, g, None)
    if not _is_real(x, g):
        return channels_last(reference.conv2d_weight(x, g, geometry))
    out, channels = g.shape[1], x.shape[1]
    if _has_few((out, channels), geometry):
        return channels_last(_turn(conv2d_weight(g, x, _turned(geometry))))
    w = np.empty((out, *geometry.kernel, channels), x.dtype, like=x)
    kernel = patches.weight if channels % _width(x) else direct.weight  # a tile must not read beyond the last image
    numbers = _numbers(channels, geometry)
    launch(kernel, _pixels(x), _pixels(g), w.reshape(-1), len(x), out, numbers, numba.get_num_threads())
    return w.transpose(0, 3, 1, 2)


def _gathered(x: Array, weight: Array, bias: Array | None, geometry: Geometry, transposed: bool) -> Array:
    """A convolution of x, or a transposed one, with weights for many channels."""
    n, (out, depth), source, target = len(x), weight.shape[:2], geometry.image, geometry.positions
    if transposed:
        depth, out, source, target = out, depth, target, source
    margins, classes, runs = plan(geometry, transposed, n)
    y = np.empty((n, *target, out), x.dtype, like=x)
    arrays = _pixels(x), _pixels(weight), _row(bias, out, x), y.reshape(-1)
    taps = geometry.kernel[0] * geometry.kernel[1]
    sizes = n, depth, out, taps, *source, *margins, target.height * target.width
    launch(direct.gather, *arrays, sizes, persistent(classes), persistent(runs), transposed, numba.get_num_threads())
    return y.transpose(0, 3, 1, 2)


def _has_few(shape: tuple[int, ...], geometry: Geometry) -> bool:
    """Whether weights of this shape, (out, channels, ...), have few output channels, and turning the kernel round helps."""
    out, channels, *_ = shape
    if out >= min(FEW, channels) or geometry.stride != (1, 1):
        return False
    turned = zip(geometry.image, geometry.positions, geometry.padding, _spans(geometry), strict=True)
    return all(p <= span and positions == image + 2 * p - span for image, positions, p, span in turned)


def _filled(channels: int, x: Array) -> float:
    """What part of the width of tiles so many channels fill."""
    return channels / (-(-channels // _width(x)) * _width(x))


def _width(x: Array) -> int:
    """Channels in the width of a tile."""
    return TILE_BYTES // x.itemsize


def _turn(weight: Array) -> Array:
    """(out, channels, kh, kw) to (channels, out, kh, kw), each kernel turned by half a turn."""
    return weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]


def _turned(geometry: Geometry) -> Geometry:
    """The geometry in which the image and the positions of a kernel that moves by one pixel have changed places.

    With y[q] = sum over t of x[q + d t - p] w[t], x[i] meets y[i + d (k - 1 - t) - (d (k - 1) - p)].
    """
    spans, (ph, pw) = _spans(geometry), geometry.padding
    padding = spans[0] - ph, spans[1] - pw
    return Geometry(geometry.positions, geometry.kernel, geometry.stride, padding, geometry.dilation)


def _spans(geometry: Geometry) -> tuple[int, int]:
    """Pixels from the first to the last tap of a kernel."""
    (kh, kw), (dh, dw) = geometry.kernel, geometry.dilation
    return dh * (kh - 1), dw * (kw - 1)


def _of_one_type(x: Array, y: Array, bias: Array | None) -> tuple[Array, Array, Array | None]:
    """All in the type that NumPy gives their product."""
    dtype = np.result_type(x, y) if bias is None else np.result_type(x, y, bias)
    return x.astype(dtype, copy=False), y.astype(dtype, copy=False), None if bias is None else bias.astype(dtype, copy=False)


def _is_real(x: Array, y: Array) -> bool:
    """Whether the fast loops can run: on float32 or float64, and on something."""
    return x.dtype in REAL and x.size > 0 and y.size > 0


def _pixels(x: Array) -> Array:
    """The flat memory of images or weights, channels-last."""
    return by_pixel(x).reshape(-1)


def _row(bias: Array | None, size: int, like: Array) -> Array:
    return np.zeros(size, like.dtype, like=like) if bias is None else in_c_order(bias)


def _numbers(channels: int, geometry: Geometry) -> tuple[int, ...]:
    """The geometry as the loops take it: channels, then pairs."""
    g = geometry
    return (channels, *g.image, *g.positions, *g.kernel, *g.stride, *g.padding, *g.dilation)
