"""Tensors behave like NumPy arrays and Python numbers, and scalars and cotangents do not change their dtype."""

from __future__ import annotations

import copy
import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import Tensor, nn
from tests.minigrad.conftest import leaf

FLOAT32 = np.array([1.0, 2.0], np.float32)
NUMBERS = [2, 2.0, True, np.float64(2), np.float32(2), np.int64(2)]


class TestScalarsAndArrays:
    @pytest.mark.parametrize("number", NUMBERS, ids=lambda n: f"{type(n).__name__}")
    @pytest.mark.parametrize("f", [F.add, F.sub, F.mul, F.div, F.pow, F.maximum, F.minimum], ids=lambda f: f.__name__)
    def test_numbers_keep_float32_on_both_sides(self, f: Callable[..., Tensor], number: Any) -> None:
        x = Tensor(FLOAT32, requires_grad=True)
        for out in (f(x, number), f(number, x)):
            assert out.dtype == np.float32
            (gx,) = mg.grad(out.sum(), [x], create_graph=True)
            assert gx.dtype == np.float32

    @pytest.mark.parametrize("number", [np.float64(0.1), np.float32(0.1)], ids=["float64", "float32"])
    def test_settings_given_as_numpy_scalars_keep_float32(self, number: Any) -> None:
        x = Tensor(FLOAT32, requires_grad=True)
        outs = {
            "clip": F.clip(x, number, number + 1),
            "leaky_relu": F.leaky_relu(x, number),
            "dropout": F.dropout(x, number),
            "where": F.where(x > 1, x, number),
        }
        assert {name: out.dtype for name, out in outs.items()} == dict.fromkeys(outs, np.dtype(np.float32))

    def test_numpy_scalars_on_the_left_give_tensors(self) -> None:
        out = np.float64(2) * Tensor(FLOAT32)
        assert type(out) is Tensor
        assert out.dtype == np.float32

    def test_arrays_work_on_both_sides_of_every_operator(self) -> None:
        a = np.array([[1.0, 2.0], [3.0, 5.0]])
        x = Tensor(a + 1, requires_grad=True)
        pairs = [
            (a + x, x + a, a + x.data),
            (a * x, x * a, a * x.data),
            (a - x, -(x - a), a - x.data),
            (a / x, 1 / (x / a), a / x.data),
            (a**x, F.pow(Tensor(a), x), a**x.data),
            (a @ x, (x.T @ a.T).T, a @ x.data),
        ]
        for left, right, expected in pairs:
            assert type(left) is Tensor
            assert left.requires_grad
            np.testing.assert_allclose(left.data, expected, rtol=1e-15)
            np.testing.assert_allclose(right.data, expected, rtol=1e-15)

    def test_comparisons_with_arrays_and_numbers_on_both_sides(self) -> None:
        x = Tensor(FLOAT32)
        for out in (x > 1, 1 < x, np.array([1.0, 1.0]) < x, x >= np.array([1.5, 2.0])):  # noqa: SIM300
            assert type(out) is Tensor
            assert out.numpy().tolist() == [False, True]
        assert (x < 2).numpy().tolist() == (x <= 1).numpy().tolist() == [True, False]

    def test_gradients_come_back_in_each_inputs_own_dtype(self) -> None:
        x = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
        y = Tensor(np.ones((3, 2)), requires_grad=True)
        outs = {
            "mul": x * y.T,
            "matmul": x @ y,
            "linear": F.linear(x, y.T),
            "linear bias": F.linear(x, Tensor(np.ones((2, 3), np.float32)), y[0]),
            "concatenate": F.concatenate([x, y.T]),
            "where": F.where(True, x, y.T),
        }
        dtypes = {name: [g.dtype for g in mg.grad(out.sum(), [x, y])] for name, out in outs.items()}
        assert dtypes == {name: [np.dtype(np.float32), np.dtype(np.float64)] for name in outs}

    def test_a_cotangent_of_another_precision_gives_gradients_of_the_inputs(self) -> None:
        x = Tensor(np.ones((2, 3)), requires_grad=True)
        (gx,) = mg.grad(x.sum(), [x], Tensor(1.0))  # float32
        assert gx.dtype == np.float64


class TestTensor:
    def test_arrays_are_shared_and_lists_become_float32(self) -> None:
        a = np.ones(3)
        assert Tensor(a).data is a
        assert Tensor(Tensor(a)).data is a
        assert Tensor([1.0, 2.0]).dtype == np.float32
        assert Tensor(1.5).dtype == np.float32
        assert Tensor(np.float64(1.5)).dtype == np.float64
        assert Tensor([1, 2]).dtype.kind == "i"

    @pytest.mark.parametrize("bad", ["text", None, 1j, np.array(["a"]), np.array([1j]), np.array([None])], ids=repr)
    def test_a_value_that_is_not_a_number_is_refused(self, bad: Any) -> None:
        with pytest.raises(TypeError, match="a tensor holds numbers, not"):
            Tensor(bad)

    def test_a_list_of_tensors_is_refused_as_their_graph_would_be_lost(self) -> None:
        x = Tensor([1.0, 2.0], requires_grad=True)
        for given in ([x, x], (x, 1.0), [[0.0], [x[0]]]):
            with pytest.raises(TypeError, match=r"would lose their graph: F\.stack and F\.concatenate"):
                Tensor(given)

    def test_repr_shows_values_shape_dtype_and_origin(self) -> None:
        x = Tensor([1.0, 2.5])
        assert repr(x) == "Tensor([1. , 2.5], shape=(2,), dtype=float32)"
        assert repr(leaf(1.0)) == "Tensor([1.], shape=(1,), dtype=float64, requires_grad=True)"
        assert repr(leaf(1.0) * 2) == "Tensor([2.], shape=(1,), dtype=float64, op=Mul)"
        assert len(repr(Tensor(np.zeros((100, 100))))) < 300

    def test_python_protocols(self) -> None:
        x = Tensor([[1.0, 2.0], [3.0, 4.0]])
        assert (len(x), x.ndim, x.size, x.shape) == (2, 2, 4, (2, 2))
        assert (float(x[1, 0]), int(x[1, 1]), bool(x[0, 0])) == (3.0, 4, True)
        assert [row.numpy().tolist() for row in x] == [[1, 2], [3, 4]]
        assert np.asarray(x) is not None
        np.testing.assert_array_equal(np.asarray(x), x.data)
        np.testing.assert_array_equal(abs(-x).data, x.data)

    def test_equality_compares_values_and_hashes_are_of_the_object(self) -> None:
        x, y = Tensor([1.0, 2.0]), Tensor([1.0, 0.0])
        for other in (y, y.data, np.array([1, 0])):
            assert (x == other).numpy().tolist() == (other == x).numpy().tolist() == [True, False]
            assert (x != other).numpy().tolist() == (other != x).numpy().tolist() == [False, True]
        assert (x == 2).numpy().tolist() == (np.float32(2) == x).numpy().tolist() == [False, True]
        assert {x: "x", y: "y", Tensor([1.0, 2.0]): "z"}[x] == "x"
        assert x in {x}
        assert Tensor([1.0, 2.0]) not in {x}
        assert (x == None) is False  # noqa: E711
        assert x != "text"

    def test_formats_of_one_number_and_of_more(self) -> None:
        assert f"{Tensor([1.23456]):.3f} {Tensor(2.0):g}" == "1.235 2"
        assert f"{Tensor([1.0, 2.0])}" == repr(Tensor([1.0, 2.0]))
        with pytest.raises(ValueError, match="size 1"):
            f"{Tensor([1.0, 2.0]):.3f}"

    @pytest.mark.parametrize("function", [np.sum, np.mean, np.concatenate, np.linalg.norm, np.where, np.sort])
    def test_numpy_functions_do_not_drop_the_graph(self, function: Callable[..., Any]) -> None:
        with pytest.raises(TypeError, match="of a tensor would leave the graph"):
            function([Tensor([1.0])] if function is np.concatenate else Tensor([1.0]))
        with pytest.raises(TypeError, match=r"np\.exp of a tensor would leave the graph: write F\.exp"):
            np.exp(Tensor([1.0]))  # type: ignore[call-overload]
        with pytest.raises(TypeError, match=r"np\.einsum of a tensor would leave the graph"):
            np.einsum("i->", Tensor([1.0]))

    @pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "pow", "eq", "ne", "lt", "le", "gt", "ge"])
    @pytest.mark.parametrize("left", [np.array([1.0, 3.0], np.float32), np.float64(2), np.float32(2), np.int64(2)], ids=type)
    def test_an_array_on_the_left_of_an_operator_leaves_it_to_the_tensor(self, name: str, left: Any) -> None:
        x = Tensor(np.array([2.0, 3.0], np.float32), requires_grad=True)
        out, expected = getattr(operator, name)(left, x), getattr(operator, name)(np.float32(left), x.data)
        assert (out.dtype, out.requires_grad) == (expected.dtype, expected.dtype != bool)
        np.testing.assert_array_equal(out.data, expected)

    def test_an_array_is_not_changed_in_place_by_a_tensor(self) -> None:
        array = np.ones(2, np.float32)
        with pytest.raises(TypeError, match="leave the graph"):
            array += Tensor([1.0, 2.0])
        with pytest.raises(TypeError, match="leave the graph"):
            np.add.reduce(Tensor([1.0, 2.0]))  # type: ignore[call-overload]

    def test_masks_combine_as_those_of_numpy(self) -> None:
        a, b = (np.array(values) for values in ([True, True, False, False], [True, False, True, False]))
        for function in (operator.and_, operator.or_, operator.xor):
            for x, y in ((Tensor(a), Tensor(b)), (Tensor(a), b), (a, Tensor(b))):
                np.testing.assert_array_equal(function(x, y).data, function(a, b))
        np.testing.assert_array_equal((~Tensor(a)).data, ~a)

    def test_several_values_are_neither_true_nor_false(self) -> None:
        x = Tensor([1.0, 2.0])
        with pytest.raises(ValueError, match=r"a tensor \(2,\) is neither true nor false: write x\.numpy\(\)\.all\(\)"):
            bool(x == x)

    def test_values_and_indices_are_not_unpacked_from_rows(self) -> None:
        x = Tensor([[1.0, 2.0], [3.0, 0.0]])
        for reduced in (x.max(1), x.min(axis=0)):
            with pytest.raises(TypeError, match=r"return only the values; x\.argmax\(axis\) has the indices"):
                _values, _indices = reduced
            assert (reduced + 1).shape == (2,)
        assert x.argmax(1).numpy().tolist() == [1, 0]
        assert (x.argmax().item(), x.argmax(0, keepdims=True).numpy().tolist()) == (2, [[1, 0]])

    def test_changes_in_place_are_refused_in_words(self) -> None:
        x = Tensor([1.0, 2.0])
        with pytest.raises(TypeError, match="a part of a tensor cannot be set"):
            x[0] = 1.0
        with pytest.raises(AttributeError, match=r"changed in place only by `x\.assign\(values\)`"):
            x.mul_(2)
        with pytest.raises(TypeError, match="size is the number of elements, not a method"):
            x.size()  # type: ignore[operator]

    def test_requires_grad_of_leaves_can_be_set(self) -> None:
        x = Tensor([1.0])
        assert x.requires_grad_() is x
        assert mg.grad((x * 2).sum(), [x])[0].item() == 2
        with pytest.raises(RuntimeError, match="detach"):
            (x * 2).requires_grad_(False)
        with pytest.raises(TypeError, match="only floating-point"):
            Tensor([1]).requires_grad_()

    def test_a_clone_is_a_copy_in_the_graph(self) -> None:
        x = leaf(1.0, 2.0)
        y = x.clone()
        x.assign([5.0, 5.0])
        assert y.numpy().tolist() == [1.0, 2.0]
        assert mg.grad(y.sum(), [x])[0].numpy().tolist() == [1.0, 1.0]

    def test_iterating_a_number_is_an_error_as_in_numpy(self) -> None:
        with pytest.raises(TypeError, match="without axes cannot be iterated over"):
            list(Tensor(1.0))

    def test_methods_compute_the_functions(self) -> None:
        x = Tensor(np.arange(6.0).reshape(2, 3))
        assert x.sum().item() == 15
        assert x.mean(axis=0).numpy().tolist() == [1.5, 2.5, 3.5]
        assert x.var(1, 1).numpy().tolist() == [1, 1]
        assert x.max(1).numpy().tolist() == [2, 5]
        assert x.min(1, keepdims=True).numpy().tolist() == [[0], [3]]
        assert x.reshape(3, 2).shape == x.reshape((3, -1)).shape == x.T.shape == x.transpose(1, 0).shape == (3, 2)
        assert x.flatten().shape == (6,)
        assert x.astype(np.float32).dtype == np.float32


class TestMistakes:
    @pytest.mark.parametrize("sign", ["+", "-", "*", "/", "**"])
    def test_a_trained_leaf_cannot_be_given_away_by_an_operator_with_assignment(self, sign: str) -> None:
        w = leaf(3)
        with pytest.raises(TypeError, match=re.escape(f"write p.assign(p {sign} x)")):
            exec(f"w {sign}= 2.0", {"w": w})
        for part in (nn.Parameter(FLOAT32).requires_grad_(False), nn.Buffer(FLOAT32)):
            with pytest.raises(TypeError, match=re.escape(f"write p.assign(p {sign} x)")):
                exec(f"w {sign}= 2.0", {"w": part})
        x = Tensor(FLOAT32)
        names = {"x": x, "total": 2 * w}
        exec(f"x {sign}= 2.0; total {sign}= 2.0", names)
        np.testing.assert_array_equal(names["x"].data, eval(f"x {sign} 2", {"x": FLOAT32}))
        assert names["total"].requires_grad
        np.testing.assert_array_equal(x.data, FLOAT32)

    def test_assigning_none_is_refused_and_changes_nothing(self) -> None:
        x = Tensor(FLOAT32.copy())
        with pytest.raises(TypeError, match="the new values are None"):
            x.assign(None)  # type: ignore[arg-type]
        np.testing.assert_array_equal(x.data, FLOAT32)

    def test_one_element_with_axes_is_a_number(self) -> None:
        assert float(Tensor([2.5])) == 2.5
        assert int(Tensor([[3]])) == 3
        with pytest.raises(ValueError, match="size 1"):
            float(Tensor(FLOAT32))

    def test_a_change_through_a_shallow_copy_makes_graphs_stale(self) -> None:
        w = leaf(3)
        loss = (w * w).sum()
        copy.copy(w).assign(9.0)
        with pytest.raises(RuntimeError, match="changed in place"):
            mg.grad(loss, [w])
