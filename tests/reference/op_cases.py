"""One table of function calls, written for minigrad and for PyTorch: `record.py` runs the one side, the tests the other.

Each case runs on the same float64 inputs and gives its output, its gradients for a fixed cotangent g (`grad.0`, `grad.1`,
...), and the gradients of <v, gradients> for fixed v, with respect to the inputs (`second.0`, ...) and to g (`second.g`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad import backend

Maker = Callable[[np.random.RandomState], np.ndarray]
Results = dict[str, np.ndarray]

# What is left out, and why.
NOT_COMPARED = {
    "dropout": "its random stream is minigrad's own; test_functional.py checks it",
    "dropout2d": "as dropout; test_norm_layers.py checks it",
}


def thousandths(rng: np.random.RandomState, low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
    """Whole numbers of thousandths from `low` to `high`: the same bits on every machine and NumPy version."""
    return rng.randint(low, high, shape) / 1000


def real(*shape: int) -> Maker:
    return lambda rng: thousandths(rng, -2000, 2000, shape)


def positive(*shape: int) -> Maker:
    return lambda rng: thousandths(rng, 200, 2000, shape)


def probability(*shape: int) -> Maker:
    return lambda rng: thousandths(rng, 50, 950, shape)


def integers(high: int, *shape: int) -> Maker:
    return lambda rng: rng.randint(0, high, shape).astype(np.int64)


def mask(*shape: int) -> Maker:
    return lambda rng: rng.randint(0, 2, shape).astype(bool)


def exactly(*values: float) -> Maker:
    return lambda rng: np.array(values, dtype=np.float64)


@dataclass(frozen=True)
class Case:
    """A call of one function of `minigrad.functional`; `torch` is the same call, given the torch module and tensors."""

    function: str
    what: str
    inputs: tuple[Maker, ...]
    minigrad: Callable[..., mg.Tensor]
    torch: Callable[..., Any]
    second: bool = True  # whether second derivatives are compared

    @property
    def name(self) -> str:
        return f"{self.function}/{self.what}"

    def arrays(self) -> list[np.ndarray]:
        rng = self._rng()
        return [make(rng) for make in self.inputs]

    def vector(self, key: str, shape: tuple[int, ...]) -> np.ndarray:
        """The fixed cotangent ("g") or direction ("v.0", ...) of this shape."""
        return thousandths(self._rng(key), -1000, 1000, shape)

    def _rng(self, key: str = "") -> np.random.RandomState:
        return np.random.RandomState(zlib.crc32(f"{self.name} {key}".encode()))


def run_minigrad(case: Case) -> Results:
    inputs = [mg.Tensor(a, requires_grad=a.dtype.kind == "f") for a in case.arrays()]
    out = case.minigrad(*inputs)
    g = mg.Tensor(case.vector("g", out.shape).astype(out.dtype), requires_grad=True)
    checked = {str(i): x for i, x in enumerate(inputs) if x.requires_grad}
    grads = mg.grad(out, list(checked.values()), g, create_graph=True)
    inner = 0 * g.sum()  # so that it depends on something where all gradients are constant
    for i, grad in zip(checked, grads, strict=True):
        inner = inner + (mg.Tensor(case.vector(f"v.{i}", grad.shape)) * grad).sum()
    wanted = {**checked, "g": g}
    seconds = mg.grad(inner, list(wanted.values()))
    return _results(case, out.data, checked, [x.data for x in grads], wanted, [x.data for x in seconds])


def run_torch(case: Case) -> Results:
    import torch

    inputs = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in case.arrays()]
    out = case.torch(torch, *inputs)
    g = torch.tensor(case.vector("g", tuple(out.shape))).to(out.dtype).requires_grad_()
    checked = {str(i): x for i, x in enumerate(inputs) if x.requires_grad}
    grads = torch.autograd.grad(out, list(checked.values()), g, create_graph=True)
    inner = 0 * g.sum()
    for i, grad in zip(checked, grads, strict=True):
        inner = inner + (torch.tensor(case.vector(f"v.{i}", tuple(grad.shape))) * grad).sum()
    wanted = {**checked, "g": g}
    seconds = torch.autograd.grad(inner, list(wanted.values()), materialize_grads=True)
    first, second = [x.detach().numpy() for x in grads], [x.numpy(force=True) for x in seconds]
    return _results(case, out.detach().numpy(), checked, first, wanted, second)


def _results(
    case: Case, out: np.ndarray, checked: dict[str, Any], grads: list, wanted: dict[str, Any], seconds: list
) -> Results:
    named = {"out": out}
    named |= {f"grad.{i}": grad for i, grad in zip(checked, grads, strict=True)}
    if case.second:
        named |= {f"second.{i}": second for i, second in zip(wanted, seconds, strict=True)}
    return named


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


TIES = (1.0, 3.0, 3.0, -2.0, 3.0)

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
    _unary("log", positive, lambda t, x: t.log(x)),
    _unary("sqrt", positive, lambda t, x: t.sqrt(x)),
    _unary("abs", real, lambda t, x: t.abs(x)),
    Case("abs", "at 0", (exactly(-1.0, 0.0, 2.0),), F.abs, lambda t, x: t.abs(x)),
    _unary("tanh", real, lambda t, x: t.tanh(x)),
    _unary("sigmoid", real, lambda t, x: t.sigmoid(x)),
    _unary("softplus", real, lambda t, x: t.nn.functional.softplus(x)),  # above 20 PyTorch rounds it to x; these are below
    _unary("relu", real, lambda t, x: t.relu(x)),
    _unary("leaky_relu", real, lambda t, x: t.nn.functional.leaky_relu(x)),
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

CASES = [*ELEMENTWISE, *REDUCTIONS, *SHAPES, *IMAGES, *PRODUCTS, *CONVOLUTIONS, *NORMS, *LOSSES]
