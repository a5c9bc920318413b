"""Every op has examples, and every example passes the same checks: derivatives of both orders, layouts, precision, purity.

A new op needs a row in reference/op_cases.py, which also compares it with PyTorch; its calls there are its examples here.
EXAMPLES is for ops that need more: empty arrays, numbers, or inputs that no function passes. A test fails until the examples
reach each backward method.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from reference.op_cases import CASES

import minigrad as mg
import minigrad.functional as F
from minigrad import Op, Tensor
from minigrad.gradcheck import gradcheck, gradgradcheck
from minigrad.kernels.geometry import Geometry, Size
from minigrad.ops import activations, collectives, conv, elementwise, linear, loss, movement, norm, pad, pool, reduce, softmax
from minigrad.parallel import Share

Maker = Callable[[np.random.Generator], np.ndarray]


def normal(*shape: int) -> Maker:
    return lambda rng: rng.standard_normal(shape)


def positive(*shape: int) -> Maker:
    return lambda rng: rng.uniform(0.3, 2.0, shape)


def apart(*shape: int) -> Maker:
    """Values at least 0.1 apart from each other and from 0: no finite difference steps over a kink."""

    def make(rng: np.random.Generator) -> np.ndarray:
        size = int(np.prod(shape))
        return rng.permutation(np.arange(size) - size / 2 + 0.25).reshape(shape) / 5

    return make


def mask(*shape: int) -> Maker:
    return lambda rng: rng.random(shape) < 0.5


@dataclass(frozen=True)
class Example:
    """A function that applies the op, and its inputs; floating-point ones are differentiated."""

    f: Callable[..., Tensor]
    inputs: tuple[Maker, ...]

    def arrays(self) -> list[np.ndarray]:
        rng = np.random.default_rng(7)
        return [np.asarray(make(rng)) for make in self.inputs]


def examples(f: Callable[..., Tensor], *inputs: tuple[Maker, ...]) -> list[Example]:
    return [Example(f, each) for each in inputs]


def unary(f: Callable[..., Tensor], make: Callable[..., Maker]) -> list[Example]:
    return examples(f, (make(3, 4),), (make(),), (make(2, 0),))


def binary(f: Callable[..., Tensor], first: Callable[..., Maker], second: Callable[..., Maker]) -> list[Example]:
    same, broadcast, number, empty = (3, 4), ((2, 1, 4), (3, 1)), ((3,), ()), ((0, 3), (1, 1))
    return examples(
        f, (first(*same), second(*same)), *[(first(*a), second(*b)) for a, b in (broadcast, broadcast[::-1], number, empty)]
    )


def reduction(f: Callable[..., Tensor], make: Callable[..., Maker], empty: tuple[int, ...]) -> list[Example]:
    return [
        *examples(f, (make(3, 4),), (make(),), (make(*empty),)),
        *examples(lambda x: f(x, axis=1), (make(2, 3, 4),)),
        *examples(lambda x: f(x, axis=-1, keepdims=True), (make(*empty, 2),)),
        *examples(lambda x: f(x, axis=(0, -1)), (make(2, 3, 4),)),
        *examples(lambda x: f(x, axis=(), keepdims=True), (make(2, 3),)),
    ]


def with_numbers(f: Callable[..., Tensor]) -> list[Example]:
    return [*examples(lambda x: f(x, 1.7), (positive(3, 4),)), *examples(lambda x: f(1.7, x), (positive(3, 4),))]


INDICES = np.array([[0, 2, 2], [1, 0, -1]])
OVERLAPPING = Geometry(Size(5, 4), kernel=(3, 2), stride=(2, 1), padding=(1, 0))  # 3 x 3 positions


class OneRank:
    """A single process in the place of `parallel.Ranks`: it has all rows, and nothing to add. tests/parallel has several."""

    def sum_in_place(self, x: np.ndarray) -> None:
        pass


ONE: Any = OneRank()
SHARE = Share(1, 3, 4)

EXAMPLES: dict[type[Op], list[Example]] = {
    collectives.OwnRows: [
        Example(lambda x, local=local: collectives.OwnRows(ONE, SHARE, local)(x), (make,))
        for make in (normal(4, 3), normal(4, 2, 3, 2))
        for local in (False, True)
    ],
    collectives.PadWithZeros: examples(
        lambda x: collectives.PadWithZeros(ONE, SHARE)(x), (normal(2, 3),), (normal(2, 2, 3, 2),)
    ),
    collectives.Scaled: [
        *unary(lambda x: collectives.Scaled(3, 3)(x), normal),
        *unary(lambda x: collectives.Scaled(1, 1)(x), normal),
    ],
    collectives.AllGather: examples(lambda x: collectives.AllGather(ONE, SHARE)(x), (normal(2, 3),), (normal(2, 2, 3, 2),)),
    collectives.AllReduce: unary(lambda x: collectives.AllReduce(ONE)(x), normal),
    norm.NormalizeShared: examples(
        lambda x, *affine: norm.NormalizeShared(1e-5, ONE, len(x))(x, *affine or (None, None)),
        (normal(5, 3),),
        (normal(5, 3), normal(3), normal(3)),
    ),
    elementwise.Add: [*binary(F.add, normal, normal), *with_numbers(F.add)],
    elementwise.Sub: [*binary(F.sub, normal, normal), *with_numbers(F.sub)],
    elementwise.Mul: [*binary(F.mul, normal, normal), *with_numbers(F.mul), *examples(lambda x: x * x, (normal(3),))],
    elementwise.Div: [*binary(F.div, normal, positive), *with_numbers(F.div)],
    elementwise.Neg: unary(F.neg, normal),
    elementwise.Pow: [
        *binary(F.pow, positive, normal),
        *with_numbers(F.pow),
        *[Example(lambda x, power=power: F.pow(x, power), (apart(3, 4),)) for power in (0, 1, 2, 3.0, -1)],
    ],
    elementwise.Exp: unary(F.exp, normal),
    elementwise.Sin: unary(F.sin, normal),
    elementwise.Cos: unary(F.cos, normal),
    activations.Expm1: unary(lambda x: activations.Expm1()(x), normal),
    activations.Erf: unary(lambda x: activations.Erf()(x), normal),
    elementwise.Log: unary(F.log, positive),
    elementwise.Sqrt: unary(F.sqrt, positive),
    elementwise.Abs: unary(F.abs, apart),
    activations.Tanh: unary(F.tanh, normal),
    activations.TanhBackward: examples(
        lambda g, y: activations.TanhBackward()(g, y), (normal(3, 4), normal(3, 4)), (normal(0, 2), normal(0, 2))
    ),
    activations.Sigmoid: unary(F.sigmoid, normal),
    activations.Softplus: unary(F.softplus, normal),
    activations.LeakyReLU: [*unary(F.relu, apart), *unary(F.leaky_relu, apart), *unary(lambda x: F.leaky_relu(x, 1.5), apart)],
    activations.LeakyReLUBackward: examples(
        lambda g, y: activations.LeakyReLUBackward(0.2)(g, y), (normal(3, 4), apart(3, 4)), (normal(0), apart(0))
    ),
    elementwise.Maximum: [*binary(F.maximum, apart, lambda *s: lambda rng: apart(*s)(rng) + 0.05), *with_numbers(F.maximum)],
    elementwise.Minimum: [*binary(F.minimum, apart, lambda *s: lambda rng: apart(*s)(rng) + 0.05), *with_numbers(F.minimum)],
    elementwise.Clip: [
        *unary(lambda x: F.clip(x, -0.5, 0.7), apart),
        *unary(lambda x: F.clip(x, low=-0.5), apart),
        *unary(lambda x: F.clip(x, high=0.7), apart),
    ],
    elementwise.Where: [
        *examples(F.where, (mask(3, 4), normal(3, 4), normal(3, 4)), (mask(3, 1), normal(2, 1, 4), normal(4))),
        *examples(lambda c, x: F.where(c, x, 2.0), (mask(3), normal(3)), (mask(0), normal(0))),
        *examples(lambda c, x: F.where(c, 2.0, x), (mask(3), normal(3))),
    ],
    reduce.Sum: reduction(F.sum, normal, (0, 3)),
    reduce.Mean: reduction(F.mean, normal, (2, 3)),
    reduce.Norm: [
        *reduction(F.norm, normal, (2, 3)),
        *examples(lambda x: F.norm(x, axis=0, eps=0.5), (normal(3, 4),), (normal(0, 2),)),
    ],
    reduce.Max: reduction(F.max, apart, (2, 3)),
    reduce.Min: reduction(F.min, apart, (2, 3)),
    reduce.BroadcastTo: [
        *examples(lambda x: F.broadcast_to(x, (2, 3, 4)), (normal(3, 1),), (normal(),), (normal(1, 1, 4),)),
        *examples(lambda x: F.broadcast_to(x, (0, 3)), (normal(3),), (normal(1, 1),)),
    ],
    reduce.SumTo: [
        *examples(lambda x: reduce.sum_to(x, (3, 1)), (normal(2, 3, 4),), (normal(3, 4),)),
        *examples(lambda x: reduce.sum_to(x, ()), (normal(2, 3),), (normal(0),)),
        *examples(lambda x: reduce.sum_to(x, (1, 3)), (normal(0, 3),)),
    ],
    softmax.LogSumExp: reduction(F.logsumexp, normal, (2, 3)),
    movement.Reshape: examples(lambda x: F.reshape(x, (2, -1)), (normal(4, 3),), (normal(2, 0, 3),)),
    movement.Transpose: [
        *examples(lambda x: F.transpose(x, 2, 0, 1), (normal(2, 3, 4),), (normal(2, 0, 4),)),
        *examples(lambda x: F.transpose(x, (0, -1, 1)), (normal(2, 3, 4),)),
        *examples(F.transpose, (normal(3, 4),), (normal(),)),
    ],
    movement.Flip: [
        *examples(F.flip, (normal(2, 3),), (normal(0, 3),)),
        *examples(lambda x: F.flip(x, (0, -1)), (normal(2, 3, 4),)),
    ],
    movement.Astype: [  # float32 rounds a number to seven digits: the numbers must be as small as the finite differences
        Example(lambda x: F.astype(x, np.float32), (lambda rng, make=make: 1e-6 * make(rng),))
        for make in (normal(3, 4), normal(0))
    ],
    movement.Index: [
        Example(lambda x, key=key: x[key], (normal(3, 4),))
        for key in (
            1,
            -1,
            (slice(None), slice(None, None, -2)),
            (..., None, 0),
            slice(2, 2),
            np.array([True, False, True]),
            (np.array([True, False, True]), slice(1, 3)),
            (np.array([True, False, True]), np.int64(1)),
            (np.array([True, False, True]), np.array([True, False, True, False])),
            [0, 2, 2],
            INDICES,
            (INDICES, INDICES),
            (np.array([[0], [2]]), slice(1, 3)),
        )
    ],
    movement.Scatter: [
        *examples(lambda g: movement.Scatter((3, 4), INDICES)(g), (normal(2, 3, 4),)),
        *examples(lambda g: movement.Scatter((3, 4), (slice(None), slice(1, 3)))(g), (normal(3, 2),)),
    ],
    movement.Concatenate: [
        *examples(lambda *xs: F.concatenate(xs), (normal(2, 3), normal(1, 3), normal(0, 3)), (normal(4),)),
        *examples(lambda *xs: F.concatenate(xs, -1), (normal(2, 3), normal(2, 1))),
        *examples(lambda x: F.concatenate([x, x], 1), (normal(2, 3),)),
    ],
    pad.Pad: [
        *examples(lambda x: F.pad(x, (1, 2)), (normal(2, 3),), (normal(2, 0),)),
        *examples(lambda x: F.pad(x, (0, 1, 2, 0), value=1.5), (normal(2, 3, 4),)),
    ],
    pad.Crop: examples(lambda g: pad.Crop(((0, 0), (1, 2)))(g), (normal(2, 5),), (normal(0, 3),)),
    pad.ReflectionPad: [
        *examples(lambda x: F.pad(x, (1, 2), "reflect"), (normal(2, 3),), (normal(0, 3),)),
        *examples(lambda x: F.pad(x, (2, 2, 0, 1, 1, 0), "reflect"), (normal(2, 2, 3, 3),)),
    ],
    pad.ReflectionFold: [
        *examples(lambda g: pad.ReflectionFold(((0, 0), (2, 1)))(g), (normal(2, 6),), (normal(0, 6),)),
        *examples(lambda g: pad.ReflectionFold(((1, 1), (0, 2)))(g), (normal(4, 5),)),
    ],
    pool.PickMax: [
        *examples(lambda x: F.max_pool2d(x, 2), (apart(2, 2, 4, 5),), (apart(0, 2, 2, 2),)),
        *examples(lambda x: F.max_pool2d(x, (3, 2), (1, 2), 1), (apart(1, 2, 4, 5),)),
        *examples(lambda h, x: pool.PickMax(OVERLAPPING)(h, x), (normal(2, 2, 5, 4), apart(2, 2, 5, 4))),
    ],
    pool.PlaceMax: examples(
        lambda g, x: pool.PlaceMax(OVERLAPPING)(g, x),
        (normal(2, 2, 3, 3), apart(2, 2, 5, 4)),
        (normal(2, 0, 3, 3), apart(2, 0, 5, 4)),
    ),
    pool.SumWindows: [
        *examples(lambda x: F.avg_pool2d(x, 2), (normal(2, 2, 4, 5),), (normal(0, 2, 2, 2),)),
        *examples(lambda x: F.avg_pool2d(x, (3, 2), (1, 2), 1), (normal(1, 2, 4, 5),)),
        *examples(lambda x: pool.SumWindows(OVERLAPPING)(x), (normal(2, 2, 5, 4),)),
    ],
    pool.SpreadWindows: [
        *examples(lambda x: F.interpolate(x, scale_factor=(2, 3)), (normal(2, 2, 3, 2),), (normal(0, 2, 1, 1),)),
        *examples(lambda g: pool.SpreadWindows(OVERLAPPING)(g), (normal(2, 2, 3, 3),)),
    ],
    linear.MatMul: examples(
        F.matmul,
        (normal(2, 3), normal(3, 4)),
        (normal(3, 1), normal(1, 4)),
        (normal(5, 1, 2, 3), normal(4, 3, 2)),
        (normal(3), normal(2, 3, 4)),
        (normal(2, 2, 3), normal(3)),
        (normal(3), normal(3)),
        (normal(2, 0), normal(0, 3)),
        (normal(0, 2), normal(2, 3)),
    ),
    linear.Linear: examples(
        F.linear,
        (normal(5, 3), normal(4, 3), normal(4)),
        (normal(5, 3), normal(4, 3)),
        (normal(3), normal(4, 3), normal(4)),
        (normal(2, 5, 3), normal(4, 3), normal(4)),
        (normal(0, 3), normal(4, 3), normal(4)),
        (normal(2, 0), normal(4, 0), normal(4)),
        (normal(5, 1), normal(1, 1), normal(1)),
    ),
    linear.LinearWeight: examples(
        lambda g, x: linear.LinearWeight()(g, x),
        (normal(5, 4), normal(5, 3)),
        (normal(1, 4), normal(1, 1)),
        (normal(0, 4), normal(0, 3)),
    ),
    conv.Conv2d: [
        *examples(F.conv2d, (normal(2, 3, 5, 4), normal(2, 3, 3, 2), normal(2)), (normal(0, 1, 3, 3), normal(2, 1, 2, 2))),
        *examples(lambda x, w: F.conv2d(x, w, None, (2, 3), (1, 2), (2, 1)), (normal(2, 2, 6, 5), normal(3, 2, 3, 2))),
        *examples(lambda x, w, b: F.conv2d(x, w, b, groups=2), (normal(1, 4, 3, 3), normal(2, 2, 2, 2), normal(2))),
    ],
    conv.ConvTranspose2d: [
        *examples(
            F.conv_transpose2d, (normal(2, 2, 3, 2), normal(2, 3, 3, 2), normal(3)), (normal(0, 1, 2, 2), normal(1, 2, 2, 2))
        ),
        *examples(
            lambda x, w: F.conv_transpose2d(x, w, None, (2, 3), (1, 0), (1, 2), dilation=(1, 2)),
            (normal(2, 3, 2, 3), normal(3, 2, 3, 2)),
        ),
    ],
    conv.Conv2dWeight: examples(
        lambda x, g: conv.Conv2dWeight(Geometry(Size(5, 4), (3, 2), (2, 1), (1, 0), (1, 2)))(x, g),
        (normal(2, 3, 5, 4), normal(2, 2, 3, 2)),
    ),
    norm.Normalize: examples(
        lambda x, *weights: norm.Normalize(1e-3)(x, *weights, *[None] * (2 - len(weights))),
        (normal(7, 3), normal(3), normal(3)),
        (normal(2, 5, 3), normal(3), normal(3)),
        (normal(3, 2, 1), normal(1)),
        (normal(4, 2),),
        (normal(0, 4, 3), normal(3), normal(3)),
    ),
    norm.Affine: examples(
        lambda *xs: norm.Affine()(*xs), (normal(5, 3), normal(3), normal(3)), (normal(0, 3), normal(3), normal(3))
    ),
    loss.BCEWithLogits: [
        *binary(lambda x, t: loss.BCEWithLogits()(x, t), normal, positive),
        *unary(lambda x: F.binary_cross_entropy_with_logits(x, 1.0, "none"), normal),
    ],
    loss.ClampedLog: examples(lambda x: loss.ClampedLog()(x), (positive(3, 4),), (positive(0),)),
}


def tensors(arrays: list[np.ndarray]) -> list[Tensor]:
    return [Tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]


def nodes(root: Op) -> Iterator[Op]:
    """The ops of a graph."""
    todo, seen = [root], {id(root)}
    while todo:
        op = todo.pop()
        yield op
        for parent in op.parents:
            if isinstance(parent, Op) and id(parent) not in seen:
                seen.add(id(parent))
                todo.append(parent)


def all_ops() -> set[type[Op]]:
    """The ops defined anywhere in the package. (The GPU kernels need CuPy, and define none.)"""
    for module in pkgutil.walk_packages(mg.__path__, "minigrad."):
        if not module.name.startswith("minigrad.kernels."):
            importlib.import_module(module.name)

    def below(cls: type[Op]) -> Iterator[type[Op]]:
        for child in cls.__subclasses__():
            yield child
            yield from below(child)

    return {op for op in below(Op) if hasattr(op, "forward") and op.__module__.startswith("minigrad.")}


def from_reference_cases(op: type[Op]) -> list[Example]:
    """The calls in reference/op_cases.py that apply the op."""
    found = []
    for case in CASES:
        out = case.minigrad(*tensors(case.arrays()))
        if out.op is not None and any(type(node) is op for node in nodes(out.op)):
            found.append(Example(case.minigrad, tuple(lambda rng, a=a: a for a in case.arrays())))
    return found


EXAMPLES |= {op: from_reference_cases(op) for op in sorted(all_ops() - EXAMPLES.keys(), key=lambda op: op.__name__)}

EACH = [pytest.param(op, e, id=f"{op.__name__}-{i}") for op, each in EXAMPLES.items() for i, e in enumerate(each)]
each_example = pytest.mark.parametrize(("op", "example"), EACH)


def strided(a: np.ndarray) -> np.ndarray:
    """The same values with gaps between them, the first axis backwards in memory."""
    wide = np.zeros([2 * n for n in a.shape], a.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in a.shape)]
    view = view[::-1] if a.ndim else view
    view[...] = a
    return view


def test_every_op_has_examples() -> None:
    assert {op.__name__ for op in all_ops()} == {op.__name__ for op, each in EXAMPLES.items() if each}


@pytest.mark.parametrize("op", EXAMPLES, ids=lambda op: op.__name__)
def test_the_examples_apply_the_op_and_reach_every_backward_method(op: type[Op]) -> None:
    reached: set[str] = set()
    for example in EXAMPLES[op]:
        out = example.f(*tensors(example.arrays()))
        assert out.op is not None
        applied = [node for node in nodes(out.op) if type(node) is op]
        assert applied
        for node in applied:
            names = op.input_names * len(node.parents) if op.variadic else op.input_names
            reached |= {f"backward_{name}" for name, parent in zip(names, node.parents, strict=False) if parent is not None}
    assert reached == {name for name in dir(op) if name.startswith("backward_")}


@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, strided], ids=["C", "Fortran", "strided"])
@each_example
def test_derivatives_of_both_orders(op: type[Op], example: Example, layout: Callable[[Any], np.ndarray]) -> None:
    inputs = tensors([layout(a) if a.ndim else a for a in example.arrays()])
    gradcheck(example.f, inputs)
    if op is not movement.Astype:  # float32 rounds the cotangent, which is not small; see the next test
        gradgradcheck(example.f, inputs)


def test_second_derivatives_pass_through_astype() -> None:
    x = Tensor(np.linspace(-2, 2, 5), requires_grad=True)
    (first,) = mg.grad((F.astype(x, np.float32) ** 3).sum(), [x], create_graph=True)
    (second,) = mg.grad(first.sum(), [x])
    np.testing.assert_allclose(first.data, 3 * x.data**2, rtol=1e-6)
    np.testing.assert_allclose(second.data, 6 * x.data, rtol=1e-6)


@pytest.mark.parametrize(("op", "example"), [case for case in EACH if case.values[0] is not movement.Astype])
def test_float32_inputs_give_float32_results_close_to_those_of_float64(op: type[Op], example: Example) -> None:
    arrays = example.arrays()
    exact, single = tensors(arrays), tensors([a.astype(np.float32) if a.dtype.kind == "f" else a for a in arrays])
    outs = example.f(*exact), example.f(*single)
    assert outs[1].dtype == np.float32
    g = np.random.default_rng(1).standard_normal(outs[0].shape)
    gradients = [
        mg.grad(out, [x for x in xs if x.requires_grad], Tensor(g.astype(out.dtype)), create_graph=True)
        for out, xs in zip(outs, (exact, single), strict=True)
    ]
    for precise, rough in zip([outs[0], *gradients[0]], [outs[1], *gradients[1]], strict=True):
        assert rough.dtype == np.float32
        assert rough.shape == precise.shape
        np.testing.assert_allclose(rough.data, precise.data, rtol=2e-5, atol=2e-6)


@each_example
def test_nothing_writes_into_inputs_or_cotangents(op: type[Op], example: Example) -> None:
    arrays = example.arrays()
    for a in arrays:
        a.flags.writeable = False  # writing raises
    inputs = tensors(arrays)
    checked = [x for x in inputs if x.requires_grad]
    out = example.f(*inputs)
    g = np.ones(out.shape, out.dtype)
    g.flags.writeable = False
    gradients = mg.grad(out, checked, Tensor(g, requires_grad=True), create_graph=True)
    total = Tensor(0.0)
    for gradient in gradients:
        total = total + (gradient * gradient).sum()
    if total.requires_grad:
        mg.grad(total, checked)
    for before, after in zip(example.arrays(), arrays, strict=True):
        np.testing.assert_array_equal(before, after)


@each_example
def test_the_output_is_the_same_inside_no_grad(op: type[Op], example: Example) -> None:
    with_graph = example.f(*tensors(example.arrays()))
    with mg.no_grad():
        plain = example.f(*tensors(example.arrays()))
    np.testing.assert_array_equal(plain.data, with_graph.data)
    assert not plain.requires_grad
