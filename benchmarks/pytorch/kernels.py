"""PyTorch's counterpart of each of our kernels: the function that its own networks call, forward or
backward.

Arguments come as our kernels take them: images and weights are channels-last, as in the tuned twins
(except CycleGAN's on a CPU). Instance norm gets contiguous images.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Geometry = Mapping[str, Sequence[int]]
aten = torch.ops.aten


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    return F.conv2d(x, weight, bias, *_window(geometry))


def conv_transpose2d(g: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    stride, padding, dilation = _window(geometry)
    extra = [
        geometry["image"][i]
        - ((geometry["positions"][i] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (geometry["kernel"][i] - 1) + 1)
        for i in (0, 1)
    ]
    return F.conv_transpose2d(g, weight, bias, stride, padding, extra, 1, dilation)


def conv2d_weight(x: Tensor, g: Tensor, geometry: Geometry) -> Tensor:
    weight = torch.empty(g.shape[1], x.shape[1], *geometry["kernel"], device=x.device)
    weight = weight.to(memory_format=torch.channels_last)
    mask = [False, True, False]
    return aten.convolution_backward(g, x, weight, None, *_window(geometry), False, [0, 0], 1, mask)[1]


def _window(geometry: Geometry) -> list[list[int]]:
    return [list(geometry[name]) for name in ("stride", "padding", "dilation")]


def normalize(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Callable[[], Any]:
    """The normalization of x (groups, rows, channels): batch norm for one group, instance norm for several."""
    image = _image(x)
    if len(x) > 1:
        image = image.contiguous()
        return lambda: F.instance_norm(image, None, None, weight, bias, True, 0.1, eps)
    return lambda: aten.native_batch_norm(image, weight, bias, None, None, True, 0.1, eps)


def normalize_backward(
    g: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, var: Tensor, eps: float, *_: Tensor
) -> Callable[[], Any]:
    """All three gradients: of x, weight and bias.

    Instance norm is computed as a batch norm of groups * channels channels.
    """
    groups, rows, channels = x.shape
    stacked = [_image(a).reshape(1, groups * channels, rows, 1) for a in (g, x)]  # a view of one group, a copy of several
    scale = None if weight is None else weight.repeat(groups)
    invstd = (var.reshape(-1) + eps).rsqrt()
    mask = [True, weight is not None, weight is not None]
    means = mean.reshape(-1)
    return lambda: aten.native_batch_norm_backward(*stacked, scale, None, None, means, invstd, True, eps, mask)


def _image(rows: Tensor) -> Tensor:
    """(groups, rows, channels) as images (groups, channels, rows, 1), channels-last."""
    return rows[:, :, None].permute(0, 3, 1, 2)


def max_pool_pick(h: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
    stride, padding, _ = _window(geometry)
    return F.max_pool2d(x, geometry["kernel"], stride, padding)


def max_pool_place(g: Tensor, x: Tensor, geometry: Geometry) -> Callable[[], Tensor]:
    """The backward alone: the forward has computed the indices before."""
    stride, padding, dilation = _window(geometry)
    window = list(geometry["kernel"]), stride, padding, dilation, False
    _, indices = aten.max_pool2d_with_indices(x, *window)
    return lambda: aten.max_pool2d_with_indices_backward(g, x, *window, indices)


def adam(params: list[Tensor], grads: list[Tensor], *_: Any) -> Callable[[], Any]:
    return _optimizer(lambda leaves: torch.optim.Adam(leaves, fused=True), params, grads)


def rmsprop(params: list[Tensor], grads: list[Tensor], *_: Any) -> Callable[[], Any]:
    return _optimizer(torch.optim.RMSprop, params, grads)


def _optimizer(make: Callable[[list[Tensor]], torch.optim.Optimizer], params: list[Tensor], grads: list[Tensor]) -> Any:
    leaves = [p.requires_grad_() for p in params]
    for p, g in zip(leaves, grads, strict=True):
        p.grad = g
    return make(leaves).step


DIRECT: dict[str, Callable[..., Any]] = {  # our kernel -> a function with the same arguments
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "conv2d_weight": conv2d_weight,
    "linear": F.linear,
    "matmul": torch.matmul,
    "leaky_relu": F.leaky_relu,
    "leaky_relu_backward": lambda g, y, slope: aten.leaky_relu_backward(g, y, slope, True),
    "tanh_backward": lambda g, y: aten.tanh_backward(g, y),
    "max_pool_pick": max_pool_pick,
}
PREPARED: dict[str, Callable[..., Callable[[], Any]]] = {
    "adam": adam,
    "rmsprop": rmsprop,
    "max_pool_place": max_pool_place,
    "normalize": normalize,
    "normalize_backward": normalize_backward,
}  # our kernel -> a function that prepares the arguments and returns the function to time


def action(kernel: str, arguments: Sequence[Any]) -> Callable[[], Any]:
    """A function without arguments to time."""
    if kernel in PREPARED:
        return PREPARED[kernel](*arguments)
    return functools.partial(DIRECT[kernel], *arguments)  # no argument requires a gradient
