"""Normalisation: shift every channel to mean 0 and scale it to variance 1, then apply a learned scale and shift.

    xhat = (x - mean) / sqrt(var + eps),    y = xhat * weight + bias

Batch, instance and layer norm differ in what they average over: the whole batch and all pixels, the pixels
of one sample, or all features of one sample. var is the biased variance: sum of squares over count.

In training, mean and variance depend on x as well, which makes derivatives of higher order easy to get
wrong: see `Normalize`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from minigrad import parallel
from minigrad.arrays.backend import array_module, kernels
from minigrad.checks import real
from minigrad.engine import Op
from minigrad.ops.collectives import AllReduce
from minigrad.ops.elementwise import sqrt
from minigrad.ops.movement import reshape, transpose
from minigrad.ops.reduce import mean, reduce_sum, sum_to
from minigrad.tensor import Array, Shape, Tensor

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm"]


class Normalize(Op):
    """xhat * weight + bias for x (rows, channels), with each channel's mean and variance over the rows.

    x may also be (groups, rows, channels); then every group has its own mean and variance.

    With std = sqrt(var + eps) and h = g weight:  dx = (h - mean(h) - xhat mean(h xhat)) / std,
    dweight = sum(g xhat), dbias = sum(g).

    The `backward_` methods write these formulas in the engine's ops, with xhat and std recomputed from x,
    so they have derivatives of every order. The `fused_` kernels, for when no graph of the gradient is
    built, reuse the forward's mean and var.

    Source: Ioffe and Szegedy, "Batch normalization", ICML 2015, section 3.
    """

    is_real = True

    def __init__(self, eps: float) -> None:
        self.eps = float(eps)
        self.sums: tuple[Array, tuple[Array, Array]] | None = None  # a cotangent, and its `_sums`

    def forward(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        y, self.mean, self.var = kernels(x).normalize(_grouped(x), weight, bias, self.eps)
        return y.reshape(x.shape)

    def backward_x(self, g: Tensor, x: Tensor, weight: Tensor | None) -> Tensor:
        xhat, std = self._standardize(x)
        h = g if weight is None else g * weight
        return (h - self.mean_of(h) - xhat * self.mean_of(h * xhat)) / std

    def fused_x(self, g: Array, x: Array, weight: Array | None) -> Array:
        found = (self.mean, self.var, self.eps, *self._sums(g, x))
        return kernels(g).normalize_backward(_grouped(g), _grouped(x), weight, *found).reshape(x.shape)

    def backward_weight(self, g: Tensor, x: Tensor) -> Tensor:
        xhat, _ = self._standardize(x)
        return sum_to(g * xhat, self.input_shapes[1])

    def fused_weight(self, g: Array, x: Array) -> Array:
        return kernels(x).sum_axes(self._sums(g, x)[1], (0,))

    def backward_bias(self, g: Tensor, x: Tensor) -> Tensor:
        return sum_to(g, self.input_shapes[2])

    def fused_bias(self, g: Array, x: Array) -> Array:
        return kernels(x).sum_axes(self._sums(g, x)[0], (0,))

    def _standardize(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """xhat and std, differentiable."""
        mean = self.mean if x.ndim == 2 else self.mean[:, None]
        shifted = x - Tensor(mean)  # the shift cancels; it keeps large numbers accurate
        deviation = shifted - self.mean_of(shifted)
        std = sqrt(self.mean_of(deviation * deviation) + self.eps)
        return deviation / std, std

    def mean_of(self, x: Tensor) -> Tensor:
        """The mean of each channel over the rows that are normalised together."""
        return mean(x, axis=-2, keepdims=True)

    def _sums(self, g: Array, x: Array) -> tuple[Array, Array]:
        """The sums of g and g xhat over the rows, which all three cotangents need: computed once for each g."""
        if self.sums is None or self.sums[0] is not g:
            self.sums = g, kernels(g).normalize_sums(_grouped(g), _grouped(x), self.mean, self.var, self.eps)
        return self.sums[1]

    def free(self) -> None:
        self.sums = None
        super().free()


class NormalizeShared(Normalize):
    """`Normalize` for ranks that share the rows, (rows, channels): with the mean and variance of the rows of all ranks.

    The kernels compute each rank's mean and variance, and its sums of g and g xhat; the ranks exchange
    these numbers.

    Parameters
    ----------
    count : the rows of all ranks together
    """

    def __init__(self, eps: float, ranks: parallel.Ranks, count: int) -> None:
        super().__init__(eps)
        self.ranks, self.count = ranks, count

    def forward(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        xp = array_module(x)
        _, own_mean, own_var = kernels(x).normalize(x[None], None, None, self.eps)
        own_mean, own_var = own_mean.astype("float64"), own_var.astype("float64")  # in which a difference of squares is exact
        moments = xp.concatenate([own_mean, own_var + own_mean * own_mean]) * (len(x) / self.count)
        self.ranks.sum_in_place(moments)
        exact_mean = moments[:1]
        exact_var = xp.maximum(moments[1:] - exact_mean * exact_mean, 0)
        self.mean, self.var = exact_mean.astype(x.dtype), exact_var.astype(x.dtype)
        scale = 1 / xp.sqrt(exact_var[0] + self.eps)
        scale = scale if weight is None else scale * weight
        shift = -exact_mean[0] * scale
        shift = shift if bias is None else shift + bias
        return kernels(x).affine(x[None], scale.astype(x.dtype), shift.astype(x.dtype))[0]

    def fused_x(self, g: Array, x: Array, weight: Array | None) -> Array:
        sums = array_module(x).concatenate(self._sums(g, x))
        self.ranks.sum_in_place(sums)
        sums = sums * x.dtype.type(len(x) / self.count)  # the kernel divides by len(x)
        found = (self.mean, self.var, self.eps, sums[:1], sums[1:])
        return kernels(g).normalize_backward(g[None], x[None], weight, *found)[0]

    def mean_of(self, x: Tensor) -> Tensor:
        return AllReduce(self.ranks)(reduce_sum(x, axis=-2, keepdims=True)) / self.count


class Affine(Op):
    """x * scale + shift for x (rows, channels).    dx = g scale, dscale = sum(g x), dshift = sum(g)"""

    def forward(self, x: Array, scale: Array, shift: Array) -> Array:
        return kernels(x).affine(_grouped(x), scale, shift).reshape(x.shape)

    def backward_x(self, g: Tensor, scale: Tensor) -> Tensor:
        return g * scale

    def backward_scale(self, g: Tensor, x: Tensor) -> Tensor:
        return sum_to(g * x, self.input_shapes[1])

    def backward_shift(self, g: Tensor) -> Tensor:
        return sum_to(g, self.input_shapes[2])


def _grouped(x: Array) -> Array:
    """(groups, rows, channels)"""
    return x if x.ndim == 3 else x[None]


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    *,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of x (n, channels) or (n, channels, height, width) over all other axes.

    Parameters
    ----------
    running_mean, running_var : (channels,)
        In training, the batch's own mean and variance are used, and these move towards them in place by `momentum` (the
        running variance towards the unbiased estimate); they may be None. In evaluation, these are used.
    weight, bias : (channels,), optional
        The learned scale and shift; by default 1 and 0.

    Raises
    ------
    TypeError : if one of them is not a Tensor
    ValueError : if the shapes do not fit, or in training if a channel has a single value, whose variance is meaningless
    """
    _check("batch_norm", x, eps, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    real(momentum, "batch_norm: momentum")
    if x.ndim not in (2, 4):
        raise ValueError(f"batch_norm: x {x.shape} must be (n, channels) or (n, channels, height, width)")
    _check_channels("batch_norm", x, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    rows = _channels_to_rows(x)
    if training:
        ranks = parallel.current()
        op, count = Normalize(eps), len(rows)
        if ranks and ranks.share and not ranks.local_statistics:
            count = count // (ranks.share.stop - ranks.share.start) * ranks.share.whole
            op = NormalizeShared(eps, ranks, count)
        if count < 2:
            raise ValueError(
                f"batch_norm: x {x.shape} has {count} values per channel; training needs 2 or more, for they are "
                "normalised by their own variance. Use larger batches, drop the last one if it is of one sample, or eval()."
            )
        y = op(rows, weight, bias)
        _follow(running_mean, op.mean[0], momentum)
        _follow(running_var, op.var[0] * (count / (count - 1)), momentum)
    else:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: evaluation needs running_mean and running_var; there are none")
        scale = 1 / sqrt(running_var + eps)
        scale = scale if weight is None else scale * weight
        shift = -running_mean * scale
        y = Affine()(rows, scale, shift if bias is None else shift + bias)
    return _rows_to_channels(y, x.shape)


def instance_norm(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, *, eps: float = 1e-5) -> Tensor:
    """Normalise each channel of each sample of x (n, channels, height, width) over its pixels; weight, bias (channels,).

    Source: Ulyanov, Vedaldi and Lempitsky, "Instance normalization" (2016).
    """
    _check("instance_norm", x, eps, weight=weight, bias=bias)
    if x.ndim != 4:
        raise ValueError(f"instance_norm: x {x.shape} must be (n, channels, height, width)")
    n, channels, height, width = x.shape
    _check_channels("instance_norm", x, weight=weight, bias=bias)
    if height * width < 2:
        raise ValueError(f"instance_norm: x {x.shape} has {height * width} pixels per channel; a variance needs 2 or more")
    rows = reshape(_channels_to_rows(x), (n, height * width, channels))
    return _rows_to_channels(Normalize(eps)(rows, weight, bias), x.shape)


def group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, *, eps: float = 1e-5
) -> Tensor:
    """Normalise each group of channels of each sample of x (n, channels, ...) over its channels and pixels.

    `weight` and `bias` (channels,) then scale and shift each channel.

    Source: Wu and He, "Group normalization", ECCV 2018.
    """
    _check("group_norm", x, eps, weight=weight, bias=bias)
    if x.ndim < 2 or num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(f"group_norm: {num_groups} groups must divide the channels, the second axis of x {x.shape}")
    _check_channels("group_norm", x, weight=weight, bias=bias)
    groups = reshape(x, (x.shape[0], num_groups, math.prod(x.shape[1:]) // num_groups))
    y = reshape(layer_norm(groups, groups.shape[2:], eps=eps), x.shape)
    each = (-1, *(1,) * (x.ndim - 2))
    y = y if weight is None else y * reshape(weight, each)
    return y if bias is None else y + reshape(bias, each)


def layer_norm(
    x: Tensor, normalized_shape: int | Shape, weight: Tensor | None = None, bias: Tensor | None = None, *, eps: float = 1e-5
) -> Tensor:
    """Normalise x (..., *normalized_shape) over its last axes; weight and bias have the shape normalized_shape.

    A single number means the last axis only.

    Source: Ba, Kiros and Hinton, "Layer normalization" (2016).
    """
    _check("layer_norm", x, eps, weight=weight, bias=bias)
    shape = tuple(normalized_shape) if isinstance(normalized_shape, Sequence) else (normalized_shape,)
    if not shape:
        raise ValueError(f"layer_norm: normalized_shape is (); it must have one or more of the last axes of x {x.shape}")
    if x.shape[-len(shape) :] != shape:
        raise ValueError(f"layer_norm: the last axes of x {x.shape} must be normalized_shape {shape}")
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and t.shape != shape:
            raise ValueError(f"layer_norm: {name} is {t.shape} and should be normalized_shape {shape}")
    samples = reshape(x, (math.prod(x.shape[: -len(shape)]), math.prod(shape)))
    deviation = samples - mean(samples, 1, keepdims=True)
    xhat = deviation / sqrt(mean(deviation * deviation, 1, keepdims=True) + eps)
    y = reshape(xhat, x.shape)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _check(caller: str, x: Tensor, eps: float, **optional: Tensor | None) -> None:
    for name, t in {"x": x, **optional}.items():
        if not isinstance(t, Tensor) and (name == "x" or t is not None):
            raise TypeError(f"{caller}: {name} must be a Tensor, not {type(t).__name__}")
    real(eps, f"{caller}: eps")


def _check_channels(caller: str, x: Tensor, **given: Tensor | None) -> None:
    for name, t in given.items():
        if t is not None and t.shape != x.shape[1:2]:
            raise ValueError(
                f"{caller}: x {x.shape} has {x.shape[1]} channels, so {name} should be {x.shape[1:2]}; it is {t.shape}"
            )


def _channels_to_rows(x: Tensor) -> Tensor:
    """x as (rows, channels), with one row for each pixel of an image: a view of channels-last memory."""
    if x.ndim == 2:
        return x
    n, channels, height, width = x.shape
    return reshape(transpose(x, 0, 2, 3, 1), (n * height * width, channels))


def _rows_to_channels(rows: Tensor, shape: Shape) -> Tensor:
    """The inverse of `_channels_to_rows`, for grouped rows too; images are channels-last."""
    if len(shape) == 2:
        return reshape(rows, shape)
    n, channels, height, width = shape
    return transpose(reshape(rows, (n, height, width, channels)), 0, 3, 1, 2)


def _follow(running: Tensor | None, new: Array, momentum: float) -> None:
    """Move running statistics towards those of a batch, in place: graphs that kept the old values become stale."""
    if running is not None:
        running.assign((1 - momentum) * running.data + momentum * new)
