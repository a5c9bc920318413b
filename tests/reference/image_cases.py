"""The image functions of the table in `op_cases`: reflection padding, pooling, resizing, convolutions, norms."""

from __future__ import annotations

from typing import Any

import numpy as np
from reference.case import TIES, Case, Maker, exactly, real

import minigrad as mg
import minigrad.functional as F
from minigrad.arrays import backend

IMAGES = [
    Case(
        "pad",
        "reflect",
        (real(2, 3, 4),),
        lambda x: F.pad(x, (3, 1), "reflect"),
        lambda t, x: t.nn.functional.pad(x, (3, 1), "reflect"),
    ),
    Case(
        "pad",
        "reflect, two axes",
        (real(1, 2, 3, 4),),
        lambda x: F.pad(x, (1, 2, 2, 0), "reflect"),
        lambda t, x: t.nn.functional.pad(x, (1, 2, 2, 0), "reflect"),
    ),
    *[
        Case(
            function,
            what,
            (real(2, 3, 5, 6),),
            lambda x, function=function, window=window: getattr(F, function)(x, *window),
            lambda t, x, function=function, window=window: getattr(t.nn.functional, function)(x, *window),
        )
        for function in ("max_pool2d", "avg_pool2d")
        for what, window in {
            "halves": (2,),
            "overlap": (3, 2, 1),
            "gaps": ((1, 2), 3),
            "pairs": ((3, 2), (1, 3), (1, 0)),
        }.items()
    ],
    Case(
        "max_pool2d",
        "ties",
        (exactly(*TIES),),
        lambda x: F.max_pool2d(x.reshape(1, 1, 1, -1), (1, 3), 1),
        lambda t, x: t.nn.functional.max_pool2d(x.reshape(1, 1, 1, -1), (1, 3), 1),
    ),
    *[
        Case(
            "interpolate",
            f"{mode}, {what}",
            (real(2, 2, 3, 4),),
            lambda x, mode=mode, how=how: F.interpolate(x, **how, mode=mode),
            lambda t, x, mode=mode, how=how: t.nn.functional.interpolate(x, **how, mode=mode),
        )
        for mode in ("nearest", "bilinear")
        for what, how in {
            "doubled": {"scale_factor": 2},
            "fractions": {"scale_factor": (1.7, 0.5)},
            "to a size": {"size": (7, 8)},
        }.items()
    ],
]


def _convolution(function: str, what: str, *inputs: Maker, **settings: Any) -> Case:
    ours = getattr(F, function)
    return Case(
        function,
        what,
        inputs,
        lambda *xs: ours(*xs, **settings),
        lambda t, *xs: getattr(t.nn.functional, function)(*xs, **settings),
    )


CONVOLUTIONS = [
    _convolution("conv2d", "plain", real(2, 3, 5, 4), real(2, 3, 3, 2), real(2)),
    _convolution("conv2d", "DCGAN's", real(2, 2, 6, 6), real(3, 2, 4, 4), stride=2, padding=1),
    _convolution("conv2d", "pairs", real(2, 2, 6, 7), real(1, 2, 2, 3), real(1), stride=(2, 1), padding=(0, 1), dilation=2),
    _convolution("conv2d", "groups", real(1, 4, 4, 3), real(4, 2, 2, 2), real(4), groups=2),
    _convolution("conv_transpose2d", "plain", real(2, 2, 3, 2), real(2, 3, 3, 2), real(3)),
    _convolution("conv_transpose2d", "DCGAN's", real(2, 3, 3, 3), real(3, 2, 4, 4), stride=2, padding=1),
    _convolution(
        "conv_transpose2d", "output padding", real(2, 2, 3, 2), real(2, 1, 3, 3), real(1),
        stride=(2, 3), padding=(1, 0), output_padding=(1, 2), dilation=(2, 1),
    ),
    _convolution("conv_transpose2d", "groups", real(1, 4, 2, 3), real(4, 2, 2, 2), real(4), stride=2, groups=2),
]  # fmt: skip


def _batch_norm(what: str, *shape: int) -> list[Case]:
    """Training and evaluation; the running statistics are constants, and training leaves PyTorch's out."""
    channels = shape[1]
    mean, var = np.linspace(-1, 1, channels), np.linspace(0.5, 2, channels)
    return [
        Case(
            "batch_norm",
            f"{what}, training",
            (real(*shape), real(channels), real(channels)),
            lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
            lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, training=True),
        ),
        Case(
            "batch_norm",
            f"{what}, evaluation",
            (real(*shape), real(channels), real(channels)),
            lambda x, w, b: F.batch_norm(x, *(mg.Tensor(a).to(backend.name_of(x.data)) for a in (mean, var)), w, b),
            lambda t, x, w, b: t.nn.functional.batch_norm(x, t.tensor(mean), t.tensor(var), w, b),
        ),
    ]


NORMS = [
    *_batch_norm("rows", 6, 3),
    *_batch_norm("images", 3, 2, 2, 3),
    Case(
        "batch_norm",
        "without weights, large eps",
        (real(6, 3),),
        lambda x: F.batch_norm(x, None, None, training=True, eps=0.1),
        lambda t, x: t.nn.functional.batch_norm(x, None, None, training=True, eps=0.1),
    ),
    Case(
        "instance_norm",
        "images",
        (real(2, 2, 3, 4), real(2), real(2)),
        F.instance_norm,
        lambda t, x, w, b: t.nn.functional.instance_norm(x, weight=w, bias=b),
    ),
    Case(
        "instance_norm", "without weights", (real(2, 2, 3, 4),), F.instance_norm, lambda t, x: t.nn.functional.instance_norm(x)
    ),
    Case(
        "group_norm",
        "of images",
        (real(2, 6, 2, 3), real(6), real(6)),
        lambda x, w, b: F.group_norm(x, 3, w, b),
        lambda t, x, w, b: t.nn.functional.group_norm(x, 3, w, b),
    ),
    Case(
        "layer_norm",
        "last axis",
        (real(2, 3, 4), real(4), real(4)),
        lambda x, w, b: F.layer_norm(x, (4,), w, b),
        lambda t, x, w, b: t.nn.functional.layer_norm(x, (4,), w, b),
    ),
    Case(
        "layer_norm",
        "two axes, without weights",
        (real(2, 3, 4),),
        lambda x: F.layer_norm(x, (3, 4)),
        lambda t, x: t.nn.functional.layer_norm(x, (3, 4)),
    ),
]
