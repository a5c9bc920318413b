"""`minigrad.tiny` computes what the engine computes, trains its GAN, and stays on one page with nothing but NumPy."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import minigrad.functional as F
from minigrad import tiny

SHAPES = [(), (3,), (1, 3), (2, 1), (2, 3)]  # they all broadcast against each other

UNARY: dict[str, Callable[[Any, Any], Any]] = {  # of the module with the functions, and a tensor
    "exp": lambda m, x: m.exp(m.tanh(x)),  # bounded, so that chains of operations stay accurate
    "log": lambda m, x: m.log(m.softplus(x) + 0.5),
    "tanh": lambda m, x: m.tanh(x),
    "softplus": lambda m, x: m.softplus(x),
    "sigmoid": lambda m, x: m.sigmoid(x),
    "leaky_relu": lambda m, x: m.leaky_relu(x, 0.2),
    "cube": lambda m, x: m.tanh(x) ** 3,
    "root": lambda m, x: (m.softplus(x) + 0.5) ** 0.5,
    "neg": lambda m, x: 1 - -x,
    "sum": lambda m, x: x.sum(),
    "mean": lambda m, x: x.mean(),
    "columns": lambda m, x: x.sum(axis=0) if m is tiny else x.sum(axis=0, keepdims=True),
}
BINARY: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda m, x, y: x + y,
    "sub": lambda m, x, y: x - y,
    "mul": lambda m, x, y: x * y,
    "div": lambda m, x, y: x / (m.softplus(y) + 0.5),
    "matmul": lambda m, x, y: x.T @ y,
}

Step = tuple[str, int, int]


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[tuple[int, ...]], list[Step]]:
    """Shapes of leaves, and steps that each name an operation and two earlier values, so that values are used repeatedly."""
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
    steps = draw(
        st.lists(st.tuples(st.sampled_from([*UNARY, *BINARY]), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=7)
    )
    return shapes, steps


def run(m: Any, steps: list[Step], leaves: list[Any]) -> Any:
    """One number, computed with the functions of a module. The last values count most, and every one counts."""
    values = list(leaves)
    for name, i, j in steps:
        x, y = values[-1 - i % len(values)], values[-1 - j % len(values)]
        if (name == "columns" and not x.shape) or (name == "matmul" and not (len(x.shape) == len(y.shape) == 2 and fits(x, y))):
            continue
        value = UNARY[name](m, x) if name in UNARY else BINARY[name](m, x, y)
        values.append(value if value.shape in SHAPES else value.mean())
    return sum((value.mean() for value in values[1:]), values[0].mean())


def fits(x: Any, y: Any) -> bool:
    return x.shape[0] == y.shape[0]


@settings(max_examples=60)
@given(programs(), st.integers(0, 2**32 - 1))
def test_first_and_second_gradients_are_the_engines(program: tuple[list[tuple[int, ...]], list[Step]], seed: int) -> None:
    shapes, steps = program
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape) for shape in shapes]
    found = []
    for m, Tensor, grad in ((tiny, tiny.Tensor, tiny.grad), (F, mg.Tensor, mg.grad)):
        leaves = [Tensor(a, requires_grad=True) for a in arrays]
        loss = run(m, steps, leaves)
        first = grad(loss, leaves, create_graph=True)
        slope = sum(((g * g).sum() for g in first), loss)
        second = grad(slope, leaves)
        found.append([np.asarray(t.data) for t in (loss, *first, *second)])
    for ours, engines in zip(*found, strict=True):
        assert ours.shape == engines.shape
        np.testing.assert_allclose(ours, engines, rtol=1e-9, atol=1e-9 * (1 + np.abs(engines).max()))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("other", SHAPES)
def test_the_gradient_of_a_broadcast_input_has_its_shape(shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    x, y = tiny.Tensor(np.full(shape, 2.0), True), tiny.Tensor(np.full(other, 3.0), True)
    gx, gy = tiny.grad((x * y).sum(), [x, y])
    size = np.broadcast_shapes(shape, other)
    np.testing.assert_array_equal(gx.data, np.full(shape, 3 * np.prod(size) / np.prod(shape)))
    np.testing.assert_array_equal(gy.data, np.full(other, 2 * np.prod(size) / np.prod(other)))


def test_cotangents_of_all_uses_of_a_tensor_are_added() -> None:
    x = tiny.Tensor([3.0, -1.0], True)
    square = x * x
    (gx,) = tiny.grad((square * x + square + x).sum(), [x])
    np.testing.assert_array_equal(gx.data, 3 * x.data**2 + 2 * x.data + 1)


def test_no_gradient_flows_through_a_detached_tensor_or_to_one_that_is_not_used() -> None:
    x, unused = tiny.Tensor([2.0], True), tiny.Tensor([1.0, 1.0], True)
    gx, g_unused = tiny.grad((x.detach() * x).sum(), [x, unused])
    assert gx.data == 2 and not g_unused.data.any()


def test_gradients_have_a_graph_only_if_asked() -> None:
    x = tiny.Tensor([2.0], True)
    assert not tiny.grad((x**3).sum(), [x])[0].requires_grad
    assert (x * x).requires_grad  # the switch is back where it was
    assert tiny.grad((x**3).sum(), [x], create_graph=True)[0].requires_grad


def test_adam_takes_the_engines_steps() -> None:
    start, gradients = np.array([1.0, -2.0]), np.random.default_rng(0).standard_normal((20, 2))
    ours, engines = tiny.Tensor(start.copy()), mg.Tensor(start.copy())
    adam, reference = tiny.Adam([ours], 0.1, (0.5, 0.9)), mg.optim.Adam([engines], 0.1, (0.5, 0.9))
    for g in gradients:
        adam.step([tiny.Tensor(g)])
        reference.step([mg.Tensor(g)])
    np.testing.assert_allclose(ours.data, engines.data, rtol=1e-12)


def test_the_gan_finds_the_ring(capsys: pytest.CaptureFixture[str]) -> None:
    points = tiny.train(steps=500)
    near = np.linalg.norm(points[:, None] - tiny.MODES, axis=2) < 3 * tiny.SIGMA
    modes = (near.mean(axis=0) >= 0.01).sum()  # eight seeds gave 6 to 8; untrained networks give 1 or 2
    assert modes >= 5
    assert capsys.readouterr().out.count("modes hit") == 5


SOURCE = Path(tiny.__file__).read_text(encoding="utf-8")


def test_it_is_one_page() -> None:
    assert len(SOURCE.splitlines()) <= 250


def test_it_imports_only_numpy_and_the_standard_library() -> None:
    nodes = list(ast.walk(ast.parse(SOURCE)))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in modules} <= {"numpy", *sys.stdlib_module_names}


def test_its_ops_have_the_engines_names_and_come_in_an_order_of_formula_forward_backward() -> None:
    """So that a reader can go from one to the other."""
    import minigrad.ops.activations as a
    import minigrad.ops.elementwise as e
    import minigrad.ops.linear as linear
    import minigrad.ops.movement as movement
    import minigrad.ops.reduce as r

    ours = [op for op in vars(tiny).values() if isinstance(op, type) and issubclass(op, tiny.Op) and op is not tiny.Op]
    assert len(ours) == 12
    for op in ours:
        engines = next(getattr(m, op.__name__) for m in (a, e, linear, movement, r) if hasattr(m, op.__name__))
        methods = [name for name in vars(op) if name.startswith(("forward", "backward"))]
        assert op.__doc__ and methods[0] == "forward" and set(methods) <= set(vars(engines)) | set(dir(engines))
