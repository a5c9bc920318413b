"""Convolutions: the three partial derivatives of one trilinear form <conv(x, w), g>.

x is the images, w the weights, and g lives where the output of the convolution does. Each op below is
linear in both of its arguments, and its gradients are the other two ops:

    op                        cotangent of the output   gradients
    Conv2d(x, w)              g                         dx = ConvTranspose2d(g, w)    dw = Conv2dWeight(x, g)
    ConvTranspose2d(g, w)     x' (images)               dg = Conv2d(x', w)            dw = Conv2dWeight(x', g)
    Conv2dWeight(x, g)        w' (weights)              dx = ConvTranspose2d(g, w')   dg = Conv2d(x, w')

So gradients of any order are convolutions again. All three share one frozen `Geometry`: backward infers no
sizes. How a convolution is computed is in `minigrad.kernels`: `reference/conv.py` shows it as im2col and a
matrix product.

Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016).
"""

from __future__ import annotations

from collections.abc import Callable

from minigrad.arrays.backend import kernels
from minigrad.checks import pair
from minigrad.engine import Op
from minigrad.kernels.geometry import Geometry, Pair, Size
from minigrad.ops.movement import concatenate, transpose
from minigrad.ops.reduce import reduce_sum
from minigrad.tensor import Array, Tensor

__all__ = ["conv2d", "conv_transpose2d"]


class _Convolution(Op):
    """Base of the three: they share the geometry."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry


class Conv2d(_Convolution):
    """conv(x, w) + bias, images to outputs"""

    def forward(self, x: Array, w: Array, bias: Array | None) -> Array:
        return kernels(x).conv2d(x, w, bias, self.geometry)

    def backward_x(self, g: Tensor, w: Tensor) -> Tensor:
        return ConvTranspose2d(self.geometry)(g, w, None)

    def backward_w(self, g: Tensor, x: Tensor) -> Tensor:
        return Conv2dWeight(self.geometry)(x, g)

    def backward_bias(self, g: Tensor) -> Tensor:
        return reduce_sum(g, (0, 2, 3))


class ConvTranspose2d(_Convolution):
    """The images x with <x, x'> = <conv(x', w), g> for every x', plus bias"""

    def forward(self, g: Array, w: Array, bias: Array | None) -> Array:
        return kernels(g).conv_transpose2d(g, w, bias, self.geometry)

    def backward_g(self, x: Tensor, w: Tensor) -> Tensor:
        return Conv2d(self.geometry)(x, w, None)

    def backward_w(self, x: Tensor, g: Tensor) -> Tensor:
        return Conv2dWeight(self.geometry)(x, g)

    def backward_bias(self, x: Tensor) -> Tensor:
        return reduce_sum(x, (0, 2, 3))


class Conv2dWeight(_Convolution):
    """The weights w with <w, w'> = <conv(x, w'), g> for every w'"""

    def forward(self, x: Array, g: Array) -> Array:
        return kernels(x).conv2d_weight(x, g, self.geometry)

    def backward_x(self, w: Tensor, g: Tensor) -> Tensor:
        return ConvTranspose2d(self.geometry)(g, w, None)

    def backward_g(self, w: Tensor, x: Tensor) -> Tensor:
        return Conv2d(self.geometry)(x, w, None)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """2-D convolution (cross-correlation): at each position of a sliding window, its inner product with each of `out` kernels.

    Parameters
    ----------
    x : (n, in, height, width)
    weight : (out, in / groups, kernel height, kernel width)
    bias : (out,), optional
    stride, padding, dilation : int or pair
        Pixels between positions, zero pixels added on each side, pixels between the kernel's taps.
    groups : int
        The channels are split into this many groups, each convolved with its own kernels.

    Returns
    -------
    (n, out, rows, columns) with rows = (height + 2 padding - dilation (kernel height - 1) - 1) // stride + 1, and columns
    by the same formula
    """
    _check("conv2d", x, weight, bias, groups)
    settings = (
        pair(weight.shape[2:], "conv2d: the kernel of weight"), pair(stride, "conv2d: stride"),
        pair(padding, "conv2d: padding", least=0), pair(dilation, "conv2d: dilation"),
    )  # fmt: skip
    if x.shape[1] != weight.shape[1] * groups:
        expects = f"{weight.shape[1]}" if groups == 1 else f"{weight.shape[1]} x {groups} groups"
        raise ValueError(
            f"conv2d: x has {x.shape[1]} channels but weight expects {expects} (x {x.shape}, weight {weight.shape})"
        )
    try:
        geometry = Geometry(Size(*x.shape[2:]), *settings)
    except ValueError as error:
        raise ValueError(f"conv2d: {error} (x {x.shape}, weight {weight.shape})") from None
    return _in_groups(lambda: Conv2d(geometry), x, weight, bias, groups)


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    output_padding: int | Pair = 0,
    groups: int = 1,
    dilation: int | Pair = 1,
) -> Tensor:
    """The transpose of `conv2d`: each pixel of x adds its value times a kernel to a larger image.

    Parameters
    ----------
    x : (n, in, height, width)
    weight : (in, out / groups, kernel height, kernel width)
    bias : (out,), optional
    stride, padding, dilation : int or pair
        Those of the convolution that this is the transpose of.
    output_padding : int or pair
        Rows and columns added to the output. With a stride, images of several sizes give the same number of positions; this
        selects one of them. Less than stride or dilation.

    Returns
    -------
    (n, out, rows, columns) with rows = (height - 1) stride - 2 padding + dilation (kernel height - 1) + output_padding + 1
    """
    _check("conv_transpose2d", x, weight, bias, groups, transposed=True)
    if x.shape[1] != weight.shape[0]:
        raise ValueError(
            f"conv_transpose2d: x has {x.shape[1]} channels but weight expects {weight.shape[0]} "
            f"(x {x.shape}, weight {weight.shape})"
        )
    steps, spread = pair(stride, "conv_transpose2d: stride"), pair(dilation, "conv_transpose2d: dilation")
    border = pair(padding, "conv_transpose2d: padding", least=0)
    extra = pair(output_padding, "conv_transpose2d: output_padding", least=0)
    for i in (0, 1):
        if not extra[i] < max(steps[i], spread[i]):
            raise ValueError(
                f"conv_transpose2d: output_padding {extra} must be 0 or more, and less than stride {steps} or dilation {spread}"
            )
    kernel = pair(weight.shape[2:], "conv_transpose2d: the kernel of weight")
    image = Size(
        *((x.shape[i + 2] - 1) * steps[i] - 2 * border[i] + spread[i] * (kernel[i] - 1) + extra[i] + 1 for i in (0, 1))
    )
    if min(image) < 1:
        raise ValueError(
            f"conv_transpose2d: x {x.shape}, weight {weight.shape} and padding {border} would make images of "
            f"{image.height} x {image.width} pixels; lower padding"
        )
    try:
        geometry = Geometry(image, kernel, steps, border, spread, Size(*x.shape[2:]))
    except ValueError as error:
        raise ValueError(f"conv_transpose2d: {error} (x {x.shape}, weight {weight.shape})") from None
    return _in_groups(lambda: ConvTranspose2d(geometry), x, weight, bias, groups)


def _check(caller: str, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, transposed: bool = False) -> None:
    for name, t in (("x", x), ("weight", weight), ("bias", bias)):
        if not isinstance(t, Tensor) and (name != "bias" or t is not None):
            raise TypeError(f"{caller}: {name} must be a Tensor, not {type(t).__name__}")
    if x.ndim != 4 or weight.ndim != 4:
        raise ValueError(
            f"{caller}: x must be (n, channels, height, width), and weight have four axes, too; they are {x.shape} "
            f"and {weight.shape}"
        )
    if groups < 1 or x.shape[1] % groups or weight.shape[0] % groups:
        raise ValueError(
            f"{caller}: {groups} groups must divide the channels of x {x.shape} and the first axis of weight {weight.shape}"
        )
    out = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and bias.shape != (out,):
        raise ValueError(f"{caller}: bias {bias.shape} should be ({out},) for weight {weight.shape}")


def _in_groups(make: Callable[[], Op], x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    """Convolve each group of channels with its own weights and join the results, slicing along channels-last memory."""
    if groups == 1:
        return make()(x, weight, bias)
    pixels, taps = transpose(x, _LAST), transpose(weight, _LAST)
    c, o = x.shape[1] // groups, weight.shape[0] // groups
    parts = [
        make()(transpose(pixels[..., i * c : (i + 1) * c], _FIRST), transpose(taps[i * o : (i + 1) * o], _FIRST), None)
        for i in range(groups)
    ]
    y = transpose(concatenate([transpose(part, _LAST) for part in parts], -1), _FIRST)
    return y if bias is None else y + bias.reshape(1, -1, 1, 1)


_LAST, _FIRST = (0, 2, 3, 1), (0, 3, 1, 2)  # the axes with the channels last, and back
