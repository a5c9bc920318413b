"""A table of function calls, each written for minigrad and for PyTorch. `record.py` runs PyTorch, the tests run minigrad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from reference.case import (
    TIES,
    Case,
    Maker,
    Results,
    exactly,
    integers,
    mask,
    positive,
    probability,
    real,
    run_minigrad,
    run_torch,
    thousandths,
)
from reference.image_cases import CONVOLUTIONS, IMAGES, NORMS

import minigrad.functional as F

__all__ = ["CASES", "NOT_COMPARED", "Case", "Results", "run_minigrad", "run_torch"]

# Functions that are not compared, and why.
NOT_COMPARED = {
    "argmax": "integers without gradients; test_functional.py compares them with NumPy's",
    "dropout": "its random stream is minigrad's own; test_functional.py checks it",
    "dropout2d": "as dropout; test_norm_layers.py checks it",
}


def _binary(function: str, first: Callable[..., Maker], second: Callable[..., Maker], torch_name: str) -> list[Case]:
    ours = getattr(F, function)

    def theirs(t: Any, x: Any, y: Any) -> Any:
        return getattr(t, torch_name)(x, y)

    return [
        Case(function, "same shape", (first(3, 4), second(3, 4)), ours, theirs),
        Case(function, "broadcast both ways", (first(2, 1, 4), second(3, 1)), ours, theirs),
    ]


def _unary(function: str, make: Callable[..., Maker], theirs: Callable[..., Any]) -> Case:
    return Case(function, "elementwise", (make(3, 4),), getattr(F, function), theirs)


def _loss(function: str, x: Maker, target: Maker, second: bool = True) -> list[Case]:
    ours = getattr(F, function)
    return [
        Case(
            function,
            reduction,
            (x, target),
            lambda x, y, reduction=reduction: ours(x, y, reduction),
            lambda t, x, y, reduction=reduction: getattr(t.nn.functional, function)(x, y, reduction=reduction),
            second,
        )
        for reduction in ("mean", "sum", "none")
    ]


ELEMENTWISE = [
    *_binary("add", real, real, "add"),
    *_binary("sub", real, real, "sub"),
    *_binary("mul", real, real, "mul"),
    *_binary("div", real, positive, "div"),
    *_binary("pow", positive, real, "pow"),
    *_binary("maximum", real, real, "maximum"),
    *_binary("minimum", real, real, "minimum"),
    Case("pow", "square of any sign", (real(3, 4),), lambda x: F.pow(x, 2), lambda t, x: x**2),
    Case("pow", "cube of any sign", (real(3, 4),), lambda x: F.pow(x, 3), lambda t, x: x**3),
    Case("pow", "root", (positive(3, 4),), lambda x: F.pow(x, 0.5), lambda t, x: x**0.5),
    Case("pow", "to the 0, at 0 too", (exactly(-1.0, 0.0, 2.0),), lambda x: F.pow(x, 0), lambda t, x: x**0),
    Case("pow", "number to a tensor", (real(3, 4),), lambda x: F.pow(2.0, x), lambda t, x: 2.0**x),
    Case("maximum", "equal", (exactly(1, 2, 3), exactly(3, 2, 1)), F.maximum, lambda t, x, y: t.maximum(x, y)),
    Case("minimum", "equal", (exactly(1, 2, 3), exactly(3, 2, 1)), F.minimum, lambda t, x, y: t.minimum(x, y)),
    _unary("neg", real, lambda t, x: -x),
    _unary("exp", real, lambda t, x: t.exp(x)),
    _unary("sin", real, lambda t, x: t.sin(x)),
    _unary("cos", real, lambda t, x: t.cos(x)),
    _unary("log", positive, lambda t, x: t.log(x)),
    _unary("sqrt", positive, lambda t, x: t.sqrt(x)),
    _unary("abs", real, lambda t, x: t.abs(x)),
    Case("abs", "at 0", (exactly(-1.0, 0.0, 2.0),), F.abs, lambda t, x: t.abs(x)),
    _unary("tanh", real, lambda t, x: t.tanh(x)),
    _unary("sigmoid", real, lambda t, x: t.sigmoid(x)),
    _unary("softplus", real, lambda t, x: t.nn.functional.softplus(x)),  # above 20 PyTorch rounds it to x; these are below
    _unary("relu", real, lambda t, x: t.relu(x)),
    _unary("leaky_relu", real, lambda t, x: t.nn.functional.leaky_relu(x)),
    _unary("silu", real, lambda t, x: t.nn.functional.silu(x)),
    _unary("elu", real, lambda t, x: t.nn.functional.elu(x)),
    Case(
        "elu",
        "near 0, another alpha",
        (exactly(-1.0, -1e-9, 0.0, 2.0),),
        lambda x: F.elu(x, 0.7),
        lambda t, x: t.where(x > 0, x, 0.7 * t.expm1(x)),
    ),
    _unary("gelu", real, lambda t, x: t.nn.functional.gelu(x)),
    Case("gelu", "tanh", (real(3, 4),), lambda x: F.gelu(x, "tanh"), lambda t, x: t.nn.functional.gelu(x, approximate="tanh")),
    Case("relu", "at 0", (exactly(-1.0, 0.0, 2.0),), F.relu, lambda t, x: t.relu(x)),
    Case(
        "leaky_relu",
        "at 0, slope 0.2",
        (exactly(-1.0, 0.0, 2.0),),
        lambda x: F.leaky_relu(x, 0.2),
        lambda t, x: t.nn.functional.leaky_relu(x, 0.2),
    ),
    Case("clip", "both", (real(3, 4),), lambda x: F.clip(x, -0.5, 0.7), lambda t, x: t.clamp(x, -0.5, 0.7)),
    Case("clip", "below", (real(3, 4),), lambda x: F.clip(x, low=-0.5), lambda t, x: t.clamp(x, min=-0.5)),
    Case("clip", "above", (real(3, 4),), lambda x: F.clip(x, high=0.7), lambda t, x: t.clamp(x, max=0.7)),
    Case("clip", "on the bounds", (exactly(-1, 0, 1),), lambda x: F.clip(x, -1, 1), lambda t, x: t.clamp(x, -1, 1)),
    Case("where", "broadcast", (mask(3, 1), real(3, 4), real(4)), F.where, lambda t, c, x, y: t.where(c, x, y)),
]

REDUCTIONS = [
    Case("sum", "all", (real(3, 4),), F.sum, lambda t, x: t.sum(x)),
    Case("sum", "two axes", (real(2, 3, 4),), lambda x: F.sum(x, (0, -1)), lambda t, x: t.sum(x, (0, -1))),
    Case("sum", "kept", (real(2, 3),), lambda x: F.sum(x, 1, keepdims=True), lambda t, x: t.sum(x, 1, keepdim=True)),
    Case("mean", "all", (real(3, 4),), F.mean, lambda t, x: t.mean(x)),
    Case("mean", "two axes", (real(2, 3, 4),), lambda x: F.mean(x, (0, 2)), lambda t, x: t.mean(x, (0, 2))),
    Case("norm", "all", (real(3, 4),), F.norm, lambda t, x: t.linalg.vector_norm(x)),
    Case("norm", "one axis", (real(3, 4),), lambda x: F.norm(x, axis=1), lambda t, x: t.linalg.vector_norm(x, dim=1)),
    Case(
        "norm",
        "two axes, kept, over an eps",
        (real(2, 3, 4),),
        lambda x: F.norm(x, axis=(0, -1), keepdims=True, eps=0.5),
        lambda t, x: (x.square().sum((0, -1), keepdim=True) + 0.5).sqrt(),
    ),
    Case(
        "norm",
        "of zeros",
        (lambda rng: np.array([[0.0, 0.0], [3.0, 4.0]]),),
        lambda x: F.norm(x, axis=1),
        lambda t, x: t.linalg.vector_norm(x, dim=1),
        second=False,  # PyTorch's is NaN in the row of zeros
    ),
    Case("std", "all", (real(3, 4),), F.std, lambda t, x: t.std(x, correction=0)),
    Case("std", "unbiased", (real(3, 4),), lambda x: F.std(x, 0, ddof=1), lambda t, x: t.std(x, 0, correction=1)),
    Case("var", "all", (real(3, 4),), F.var, lambda t, x: t.var(x, correction=0)),
    Case("var", "unbiased", (real(3, 4),), lambda x: F.var(x, 0, ddof=1), lambda t, x: t.var(x, 0, correction=1)),
    Case(
        "var",
        "two axes, kept",
        (real(2, 3, 4),),
        lambda x: F.var(x, (0, 2), keepdims=True),
        lambda t, x: t.var(x, (0, 2), correction=0, keepdim=True),
    ),
    Case("max", "all", (real(3, 4),), F.max, lambda t, x: t.amax(x)),
    Case("max", "two axes", (real(2, 3, 4),), lambda x: F.max(x, (0, -1)), lambda t, x: t.amax(x, (0, -1))),
    Case("max", "ties", (exactly(*TIES),), lambda x: F.max(x, 0), lambda t, x: t.amax(x, 0)),
    Case("min", "one axis, kept", (real(3, 4),), lambda x: F.min(x, 1, True), lambda t, x: t.amin(x, 1, True)),
    Case("logsumexp", "all", (real(3, 4),), F.logsumexp, lambda t, x: t.logsumexp(x, (0, 1))),
    Case("logsumexp", "one axis", (real(3, 4),), lambda x: F.logsumexp(x, 0), lambda t, x: t.logsumexp(x, 0)),
    Case("log_softmax", "last axis", (real(3, 4),), F.log_softmax, lambda t, x: t.log_softmax(x, -1)),
    Case("softmax", "last axis", (real(3, 4),), F.softmax, lambda t, x: t.softmax(x, -1)),
    Case("softmax", "middle axis", (real(2, 3, 4),), lambda x: F.softmax(x, 1), lambda t, x: t.softmax(x, 1)),
    Case("broadcast_to", "new axis", (real(3, 1),), lambda x: F.broadcast_to(x, (2, 3, 4)), lambda t, x: x.expand(2, 3, 4)),
]

SHAPES = [
    Case("reshape", "with -1", (real(3, 4),), lambda x: F.reshape(x, 2, -1), lambda t, x: x.reshape(2, -1)),
    Case("flatten", "from 1", (real(2, 3, 4),), lambda x: F.flatten(x, 1), lambda t, x: t.flatten(x, 1)),
    Case("flatten", "to -2", (real(2, 3, 4),), lambda x: F.flatten(x, 0, -2), lambda t, x: t.flatten(x, 0, -2)),
    Case("transpose", "order", (real(2, 3, 4),), lambda x: F.transpose(x, 2, 0, 1), lambda t, x: x.permute(2, 0, 1)),
    Case("transpose", "reversed", (real(2, 3),), F.transpose, lambda t, x: x.T),
    Case("flip", "one axis", (real(2, 3),), lambda x: F.flip(x, -1), lambda t, x: t.flip(x, (-1,))),
    Case("flip", "all", (real(2, 3),), F.flip, lambda t, x: t.flip(x, (0, 1))),
    Case("astype", "to float32", (real(2, 3),), lambda x: F.astype(x, np.float32), lambda t, x: x.to(t.float32)),
    Case("index", "slices", (real(4, 5),), lambda x: x[1:, None, ::2], lambda t, x: x[1:, None, ::2]),
    Case("index", "number", (real(4, 5),), lambda x: x[..., -1], lambda t, x: x[..., -1]),
    Case("index", "mask", (real(3, 4), mask(3, 4)), lambda x, m: x[m], lambda t, x, m: x[m]),
    Case("index", "repeated", (real(4, 5), integers(4, 7)), lambda x, i: x[i, 1:], lambda t, x, i: x[i, 1:]),
    Case("index", "pairs", (real(4, 5), integers(4, 6)), lambda x, i: x[i, i], lambda t, x, i: x[i, i]),
    Case("concatenate", "axis 0", (real(1, 2), real(3, 2)), lambda *xs: F.concatenate(xs), lambda t, *xs: t.cat(xs)),
    Case("concatenate", "last", (real(2, 1), real(2, 3)), lambda *xs: F.concatenate(xs, -1), lambda t, *xs: t.cat(xs, -1)),
    Case("cat", "axis 1", (real(2, 1), real(2, 3)), lambda *xs: F.cat(xs, 1), lambda t, *xs: t.cat(xs, 1)),
    Case(
        "split",
        "size",
        (real(5, 2),),
        lambda x: F.split(x, 2)[2] * F.split(x, 2)[0],
        lambda t, x: x.split(2)[2] * x.split(2)[0],
    ),
    Case("split", "sizes", (real(2, 5),), lambda x: F.split(x, [1, 4], -1)[1], lambda t, x: x.split([1, 4], -1)[1]),
    Case("clone", "matrix", (real(2, 3),), F.clone, lambda t, x: x.clone()),
    Case("expand_dims", "last", (real(2, 3),), lambda x: F.expand_dims(x, -1), lambda t, x: x.unsqueeze(-1)),
    Case("squeeze", "all", (real(1, 3, 1),), F.squeeze, lambda t, x: x.squeeze()),
    Case("squeeze", "two axes", (real(1, 3, 1),), lambda x: F.squeeze(x, (-1, 1)), lambda t, x: x.squeeze((-1, 1))),
    Case("pixel_shuffle", "by 2", (real(2, 8, 2, 3),), lambda x: F.pixel_shuffle(x, 2), lambda t, x: t.pixel_shuffle(x, 2)),
    Case("stack", "axis 0", (real(2, 3), real(2, 3)), lambda *xs: F.stack(xs), lambda t, *xs: t.stack(xs)),
    Case("stack", "last", (real(2, 3), real(2, 3)), lambda *xs: F.stack(xs, -1), lambda t, *xs: t.stack(xs, -1)),
    Case("pad", "zeros", (real(2, 3),), lambda x: F.pad(x, (1, 2)), lambda t, x: t.nn.functional.pad(x, (1, 2))),
    Case(
        "pad",
        "two axes, a value",
        (real(2, 3, 2),),
        lambda x: F.pad(x, (1, 0, 0, 2), value=1.5),
        lambda t, x: t.nn.functional.pad(x, (1, 0, 0, 2), value=1.5),
    ),
]

PRODUCTS = [
    Case("matmul", "matrices", (real(2, 3), real(3, 4)), F.matmul, lambda t, a, b: a @ b),
    Case("matmul", "stacks", (real(5, 1, 2, 3), real(2, 3, 4)), F.matmul, lambda t, a, b: a @ b),
    Case("matmul", "row", (real(3), real(2, 3, 4)), F.matmul, lambda t, a, b: a @ b),
    Case("matmul", "column", (real(2, 2, 3), real(3)), F.matmul, lambda t, a, b: a @ b),
    Case("matmul", "vectors", (real(3), real(3)), F.matmul, lambda t, a, b: a @ b),
    Case("linear", "rows", (real(5, 3), real(4, 3), real(4)), F.linear, lambda t, *xs: t.nn.functional.linear(*xs)),
    Case("linear", "no bias", (real(5, 3), real(4, 3)), F.linear, lambda t, *xs: t.nn.functional.linear(*xs)),
    Case("linear", "one row", (real(3), real(4, 3), real(4)), F.linear, lambda t, *xs: t.nn.functional.linear(*xs)),
    Case("linear", "stack", (real(2, 5, 3), real(4, 3), real(4)), F.linear, lambda t, *xs: t.nn.functional.linear(*xs)),
    Case("embedding", "matrix", (integers(4, 2, 3), real(4, 5)), F.embedding, lambda t, i, w: t.nn.functional.embedding(i, w)),
]

LOSSES = [
    *_loss("mse_loss", real(3, 4), real(3, 4)),
    *_loss("l1_loss", real(3, 4), real(3, 4)),
    # PyTorch adds 1e-12 to its denominators in the second derivative, so that is compared with the plain formula's.
    *_loss("binary_cross_entropy", probability(3, 4), probability(3, 4), second=False),
    Case(
        "binary_cross_entropy",
        "formula",
        (probability(3, 4), probability(3, 4)),
        F.binary_cross_entropy,
        lambda t, p, y: -(y * t.log(p) + (1 - y) * t.log(1 - p)).mean(),
    ),
    *_loss("binary_cross_entropy_with_logits", real(3, 4), probability(3, 4)),
    *_loss("cross_entropy", real(4, 3), integers(3, 4)),
    *[
        Case(
            "binary_cross_entropy_with_logits",
            f"target {target}",
            (real(3, 4),),
            lambda x, target=target: F.binary_cross_entropy_with_logits(x, target),
            lambda t, x, target=target: t.nn.functional.binary_cross_entropy_with_logits(x, t.full_like(x, target)),
        )
        for target in (0.0, 1.0, 0.9)
    ],
    Case(
        "cross_entropy",
        "large logits",
        (lambda rng: 100 * thousandths(rng, -2000, 2000, (4, 3)), integers(3, 4)),
        F.cross_entropy,
        lambda t, x, i: t.nn.functional.cross_entropy(x, i),
    ),
    Case(
        "binary_cross_entropy_with_logits",
        "large logits",
        (exactly(-800, -40, 40, 800), exactly(0.25, 0.25, 0.75, 0.75)),
        F.binary_cross_entropy_with_logits,
        lambda t, x, y: t.nn.functional.binary_cross_entropy_with_logits(x, y),
    ),
]

CASES = [*ELEMENTWISE, *REDUCTIONS, *SHAPES, *IMAGES, *PRODUCTS, *CONVOLUTIONS, *NORMS, *LOSSES]
