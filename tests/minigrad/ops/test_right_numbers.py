"""Values from theory where formulas easily go wrong: long sums, integers, NaN, and corners of second derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.op_cases import CASES, Case

import minigrad as mg
import minigrad.functional as F
from minigrad import Tensor
from minigrad.ops.reduce import sum_to

drawn = settings(max_examples=15, deadline=None)


class TestLongSums:
    """n equal terms have the sum n x. Added one after the other in float32, 200,000 terms of 0.1 are off by 1e-3."""

    def check(self, found: Any, exact: Any, terms: int) -> None:
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, exact, rtol=8 * math.log2(terms) * np.finfo(np.float32).eps / 2)

    @given(data=st.data(), value=st.sampled_from([0.1, 0.3, 1.7]), keepdims=st.booleans())
    @drawn
    def test_along_any_axes_of_any_layout(self, data: st.DataObject, value: float, keepdims: bool) -> None:
        shape = data.draw(st.permutations([450, 449, 3, 1]))
        axes = tuple(data.draw(st.lists(st.integers(-4, 3), min_size=1, max_size=4, unique_by=lambda axis: axis % 4)))
        order = data.draw(st.permutations(range(4)))
        x = np.full([shape[axis] for axis in order], value, np.float32).transpose(np.argsort(order))
        if data.draw(st.booleans()):
            x = np.repeat(x, 2, axis=0)[::2]  # with gaps
        terms, exact = max(math.prod(shape[axis] for axis in axes), 2), float(np.float32(value))
        t = Tensor(x)
        self.check(F.sum(t, axes, keepdims).data, exact * math.prod(shape[axis] for axis in axes), terms)
        self.check(F.mean(t, axes, keepdims).data, exact, terms)
        self.check(F.norm(t, axis=axes, keepdims=keepdims).data, exact * math.prod(shape[axis] for axis in axes) ** 0.5, terms)
        kept = tuple(1 if axis in [a % 4 for a in axes] else n for axis, n in enumerate(shape))
        self.check(sum_to(t, kept).data, exact * math.prod(shape) / math.prod(kept), terms)

    @pytest.mark.parametrize(
        "f",
        [
            lambda x, p: x + p,
            lambda x, p: F.linear(x * 0, Tensor(np.zeros((2, 2), np.float32)), p),
            lambda x, p: F.broadcast_to(p, x.shape),
            lambda x, p: F.instance_norm(x.reshape(1, 500, 400, 2).transpose(0, 3, 1, 2), None, p),
            lambda x, p: F.batch_norm(x, None, None, None, p, training=True),
            lambda x, p: p[Tensor(np.arange(400_000) % 2)],
        ],
        ids=["add", "linear", "broadcast", "instance_norm", "batch_norm", "index"],
    )
    @pytest.mark.parametrize("create_graph", [False, True])
    def test_in_gradients_of_what_was_broadcast(self, f: Callable[..., Tensor], create_graph: bool) -> None:
        x = Tensor(np.random.default_rng(0).standard_normal((200_000, 2)).astype(np.float32))
        p = Tensor(np.zeros(2, np.float32), requires_grad=True)
        y = f(x, p)
        g = Tensor(np.full(y.shape, 0.1, np.float32))
        (gp,) = mg.grad(y, [p], g, create_graph=create_graph)
        self.check(gp.data, [200_000 * float(np.float32(0.1))] * 2, 200_000)

    def test_in_windows(self) -> None:
        x = Tensor(np.full((1, 1, 300, 300), 0.1, np.float32), requires_grad=True)
        y = F.avg_pool2d(x, 150, 1)
        self.check(y.data, np.float32(0.1), 150 * 150)
        (gx,) = mg.grad(y.sum(), [x])
        self.check(gx.data[0, 0, 149:151, 149:151], 1, 150 * 150)


INTEGERS = [np.uint8, np.int64, np.bool_]
MODULAR = {"neg", "sub"}  # their results are integers, and wrap as PyTorch's do
REFUSED = {
    "pad/two axes, a value": "cannot be represented in",
    **{case.name: "floating-point numbers, not" for case in CASES if case.function == "avg_pool2d"},
    **{case.name: "floating-point numbers, not" for case in CASES if case.name.startswith("interpolate/bilinear")},
}


def run(case: Case, arrays: list[np.ndarray]) -> Tensor:
    with np.errstate(all="ignore"):
        return case.minigrad(*map(Tensor, arrays))


class TestIntegers:
    @pytest.mark.parametrize("case", [case for case in CASES if case.function not in MODULAR], ids=lambda case: case.name)
    def test_every_function_has_the_value_for_the_same_real_numbers(self, case: Case) -> None:
        """Or refuses integers in a sentence. 0 and 1 are probabilities, too, and all types have them."""
        given = case.arrays()
        small = [a if a.dtype.kind != "f" else (np.arange(a.size).reshape(a.shape) % 2) for a in given]
        if case.function in ("batch_norm", "instance_norm", "layer_norm"):
            small[1:] = given[1:]  # weights and statistics
        exact = run(case, [a if b.dtype.kind != "f" else a.astype(np.float64) for a, b in zip(small, given, strict=True)]).data
        for dtype in INTEGERS:
            chosen = [
                a.astype(dtype) if b.dtype.kind == "f" and a.dtype.kind != "f" else a for a, b in zip(small, given, strict=True)
            ]
            if case.name in REFUSED:
                with pytest.raises((TypeError, ValueError), match=REFUSED[case.name]):
                    run(case, chosen)
                continue
            out = run(case, chosen)
            if out.dtype.kind == "f" and case.function != "astype":
                assert out.dtype == np.result_type(np.float32, *[a.dtype for a in chosen if a.dtype.kind == "f"])
            if out.dtype.kind != "b":  # sums and products of masks are masks
                np.testing.assert_allclose(out.data, exact, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("dtype", INTEGERS)
    def test_integers_do_not_make_float32_into_float64(self, dtype: Any) -> None:
        x, whole = Tensor(np.ones((2, 2), np.float32)), Tensor(np.ones((2, 2), dtype))
        for out in (x + whole, whole * x, whole / 2, whole * 0.5, x @ whole, F.where(x > 0, x, whole), F.maximum(whole, 0.5)):
            assert out.dtype == np.float32


class TestNoProbability:
    @given(p=st.floats(width=32, allow_nan=True), target=st.sampled_from([0.0, 0.3, 1.0]))
    @drawn
    def test_the_loss_and_its_gradient_are_nan_where_p_is_no_probability(self, p: float, target: float) -> None:
        x = Tensor(np.array([p], np.float32), requires_grad=True)
        with np.errstate(all="ignore"):
            loss = F.binary_cross_entropy(x, target)
            (gx,) = mg.grad(loss, [x])
        assert math.isnan(loss.item()) == math.isnan(gx.item()) == (not 0 <= p <= 1)

    @pytest.mark.parametrize("f", [F.maximum, F.minimum])
    @pytest.mark.parametrize("values", [(np.nan, 1.0), (1.0, np.nan)])
    def test_a_nan_beside_a_number_gets_a_gradient(self, torch: Any, f: Any, values: tuple[float, float]) -> None:
        x, y = (Tensor(np.array(v), requires_grad=True) for v in values)
        t, u = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values)
        theirs = torch.autograd.grad(getattr(torch, f.__name__)(t, u), [t, u])
        assert [g.item() for g in mg.grad(f(x, y), [x, y])] == [g.item() for g in theirs]


class TestDtypes:
    @pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
    def test_unsupported_ones_are_refused_at_the_door(self, dtype: Any) -> None:
        x = Tensor([1.0])
        with pytest.raises(TypeError, match=f"not {np.dtype(dtype)}: convert it with astype"):
            Tensor(np.ones(3, dtype))
        with pytest.raises(TypeError, match="convert it with astype"):
            F.astype(x, dtype)
        with pytest.raises(TypeError, match="convert it with astype"):
            x.data = np.ones(1, dtype)

    def test_another_byte_order_is_converted(self) -> None:
        x = Tensor(np.arange(3, dtype=">f4"))
        assert x.dtype == np.dtype("=f4")
        assert x.numpy().tolist() == [0, 1, 2]

    def test_an_optimizer_refuses_read_only_memory(self) -> None:
        p = Tensor(np.broadcast_to(np.float32(1), (1,)), requires_grad=True)
        with pytest.raises(ValueError, match=r"SGD: parameter 0 \(1,\) is read-only memory; give it a copy"):
            mg.optim.SGD([p])


class TestMixedDerivatives:
    """d/dy d/dx and d/dx d/dy, at points where a factor is constant or a mask changes."""

    def mixed(self, f: Callable[..., Tensor], x: float, y: float) -> tuple[float, float]:
        a, b = (Tensor(np.array(v), requires_grad=True) for v in (x, y))
        with np.errstate(all="ignore"):
            ga, gb = mg.grad(f(a, b), [a, b], create_graph=True)
            return tuple(
                mg.grad(g, [t], create_graph=True)[0].item() if g.requires_grad else 0.0 for g, t in ((ga, b), (gb, a))
            )  # type: ignore[return-value]

    @given(x=st.floats(0.1, 3), y=st.sampled_from([0.0, 1.0, 2.0, -1.0, 0.5]))
    @drawn
    def test_of_a_power(self, x: float, y: float) -> None:
        """d2 x^y / dx dy = x^(y - 1) (1 + y log x), which is 1 / x at y = 0."""
        expected = x ** (y - 1) * (1 + y * math.log(x))
        np.testing.assert_allclose(self.mixed(F.pow, x, y), expected, rtol=1e-12)

    def test_of_a_power_at_a_negative_base_and_exponent_0(self) -> None:
        x, y = Tensor(np.array(-2.0), requires_grad=True), Tensor(np.array(0.0), requires_grad=True)
        (gx,) = mg.grad(F.pow(x, y), [x], create_graph=True)
        assert (gx.item(), mg.grad(gx, [x])[0].item()) == (0, 0)

    @pytest.mark.parametrize("point", [(0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (-1.0, 1.0), (0.5, 0.0)])
    @pytest.mark.parametrize(
        "name", ["maximum", "minimum", "relu", "leaky_relu", "abs", "clamp", "where", "sigmoid", "mse", "l1", "bce"]
    )
    def test_of_masked_functions_equal_pytorch(self, torch: Any, name: str, point: tuple[float, float]) -> None:
        functions: dict[str, Callable[[Any, Any, Any], Any]] = {
            "maximum": lambda f, x, y: f.maximum(x * y, y) * x,
            "minimum": lambda f, x, y: f.minimum(x * y, y) * x,
            "relu": lambda f, x, y: f.relu(x * y) * y,
            "leaky_relu": lambda f, x, y: f.leaky_relu(x * y, 0.2) * y,
            "abs": lambda f, x, y: f.abs(x * y) * x,
            "clamp": lambda f, x, y: f.clamp(x * y, -1.0, 1.0) * y,
            "where": lambda f, x, y: f.where(x > 0, x * y, y) * x,
            "sigmoid": lambda f, x, y: f.sigmoid(x) * y * x,
            "mse": lambda f, x, y: f.mse_loss(x * y, y),
            "l1": lambda f, x, y: f.l1_loss(x * y, y) * y,
            "bce": lambda f, x, y: f.binary_cross_entropy_with_logits(x * y, y),
        }

        class Theirs:
            def __getattr__(self, name: str) -> Any:
                return getattr(torch, name, None) or getattr(torch.nn.functional, name)

        class Ours:
            def __getattr__(self, name: str) -> Any:
                return getattr(F, {"clamp": "clip"}.get(name, name))

        t, u = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in point)
        f = functions[name]
        gt, gu = torch.autograd.grad(f(Theirs(), t, u), [t, u], create_graph=True)
        theirs = [
            torch.autograd.grad(g, [w], allow_unused=True, materialize_grads=True, retain_graph=True)[0].item()
            for g, w in ((gt, u), (gu, t))
        ]
        np.testing.assert_allclose(self.mixed(lambda x, y: f(Ours(), x, y), *point), theirs, atol=1e-15)


def test_elu_of_small_integers_is_that_of_the_same_floats() -> None:
    values = np.array([0, 1, 200], np.uint8)
    np.testing.assert_array_equal(F.elu(mg.Tensor(values)).numpy(), F.elu(mg.Tensor(values.astype(np.float32))).numpy())
