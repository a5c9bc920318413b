"""The sizes of a convolution as compiled loops take them: NamedTuples of plain ints."""

from __future__ import annotations

from typing import NamedTuple

from minigrad.kernels.geometry import Geometry


class ConvSizes(NamedTuple):
    """A `Geometry`, and the channels of the images that the window slides over."""

    channels: int
    image_h: int
    image_w: int
    rows: int  # of positions
    columns: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    padding_h: int
    padding_w: int
    dilation_h: int
    dilation_w: int


class ImplicitGemmSizes(NamedTuple):
    """An implicit GEMM: the source is the image that is read, the target the image that is written."""

    n: int  # images
    depth: int  # channels of the source
    out: int  # channels of the target
    taps: int
    source_h: int  # without margins
    source_w: int
    margin_h: int  # rows and columns of zeros to put around the source
    margin_w: int
    source: int  # pixels of one source image, margins included
    target: int  # pixels of one target image


def conv_sizes(channels: int, geometry: Geometry) -> ConvSizes:
    g = geometry
    return ConvSizes(channels, *g.image, *g.positions, *g.kernel, *g.stride, *g.padding, *g.dilation)
