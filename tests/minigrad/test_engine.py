"""`grad` and `backward` walk the graph once, only to the requested inputs, and give correct gradients of any order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import Op, Tensor
from tests.minigrad.conftest import leaf


class Double(Op):
    """2 x, with a log of the times each method ran"""

    def __init__(self, log: list[str], label: str = "") -> None:
        self.log = log
        self.label = label

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.log.append(f"forward {self.label}")
        return 2 * x

    def backward_x(self, g: Tensor) -> Tensor:
        self.log.append(f"backward {self.label}")
        return 2 * g


class ProductLess(Op):
    """x y, whose derivative with respect to y is not given"""

    def forward(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x * y

    def backward_x(self, g: Tensor, y: Tensor) -> Tensor:
        return g * y


class TestGradients:
    def test_cotangents_of_all_uses_of_a_tensor_are_added(self) -> None:
        x = leaf(3.0, -1.0)
        square = x * x
        (gx,) = mg.grad((square * x + square + x).sum(), [x])
        np.testing.assert_array_equal(gx.data, 3 * x.data**2 + 2 * x.data + 1)

    def test_an_op_runs_backward_once_however_many_paths_leave_it(self) -> None:
        log: list[str] = []
        x = leaf(1.0)
        y = Double(log, "shared")(x)
        out = y
        for _ in range(10):
            out = out + y * out
        mg.grad(out, [x])
        assert log == ["forward shared", "backward shared"]

    def test_backward_skips_ops_that_lead_to_no_requested_input(self) -> None:
        log: list[str] = []
        x, w = leaf(1.0), leaf(2.0)
        y = Double(log, "of x")(x) * Double(log, "of w")(w)
        mg.grad(y, [w])
        assert log == ["forward of x", "forward of w", "backward of w"]

    def test_the_walk_stops_at_a_requested_input_inside_the_graph(self) -> None:
        log: list[str] = []
        x = leaf(1.0)
        middle = Double(log, "below")(x)
        out = Double(log, "above")(middle)
        (gradient,) = mg.grad(out, [middle])
        assert gradient.item() == 2
        assert log[2:] == ["backward above"]

    def test_inputs_may_be_leaves_and_intermediate_results(self) -> None:
        x = leaf(2.0)
        y = x * x
        z = y * x
        gx, gy, gz = mg.grad(z * z, [x, y, z])
        assert (gx.item(), gy.item(), gz.item()) == (6 * 2**5, 2 * 4 * 2**2, 2 * 8)

    def test_an_input_listed_twice_gets_its_gradient_twice(self) -> None:
        x, y = leaf(2.0), leaf(5.0)
        gradients = mg.grad(x * y, [x, y, x])
        assert [g.item() for g in gradients] == [5, 2, 5]

    @pytest.mark.parametrize("make", [lambda x: x, lambda x: x * 3], ids=["leaf", "result"])
    def test_the_gradient_of_the_output_with_respect_to_itself_is_the_cotangent(self, make: Callable[[Tensor], Tensor]) -> None:
        x = leaf(1.0, 2.0)
        out = make(x)
        cotangent = Tensor(np.array([5.0, 7.0]))
        (gradient,) = mg.grad(out, [out], cotangent)
        np.testing.assert_array_equal(gradient.data, cotangent.data)

    def test_an_input_the_output_does_not_depend_on_has_gradient_zero(self) -> None:
        x = leaf(1.0)
        other = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
        gx, zero = mg.grad(x * 2, [x, other])
        assert gx.item() == 2
        np.testing.assert_array_equal(zero.data, np.zeros((2, 3)))
        assert zero.dtype == np.float32

    def test_an_input_without_a_backward_method_has_gradient_zero(self) -> None:
        x, y = leaf(2.0), leaf(3.0)
        gx, gy = mg.grad(ProductLess()(x, y), [x, y])
        assert (gx.item(), gy.item()) == (3, 0)

    def test_without_inputs_there_are_no_gradients(self) -> None:
        assert mg.grad(leaf(2.0) * 2, []) == []

    def test_grad_output_weights_the_elements(self) -> None:
        x = leaf(1.0, 2.0, 3.0)
        (gx,) = mg.grad(x * x, [x], Tensor(np.array([1.0, 0.0, -1.0])))
        np.testing.assert_array_equal(gx.data, [2, 0, -6])

    def test_grad_leaves_dot_grad_alone(self) -> None:
        x = leaf(1.0)
        mg.grad(x * x, [x])
        assert x.grad is None

    def test_backward_methods_run_in_reverse_order_of_application(self) -> None:
        log: list[str] = []
        x = leaf(1.0)
        first = Double(log, "1")(x)
        second = Double(log, "2")(x)
        mg.grad(second * first + Double(log, "3")(first), [x])
        assert [entry for entry in log if entry.startswith("backward")] == ["backward 3", "backward 2", "backward 1"]


class TestHigherOrders:
    def test_third_derivatives(self) -> None:
        x = leaf(0.7)
        (first,) = mg.grad(F.exp(x) * x**4, [x], create_graph=True)
        (second,) = mg.grad(first, [x], create_graph=True)
        (third,) = mg.grad(second, [x])
        v, e = 0.7, np.exp(0.7)
        assert first.item() == pytest.approx(e * (v**4 + 4 * v**3), rel=1e-14)
        assert second.item() == pytest.approx(e * (v**4 + 8 * v**3 + 12 * v**2), rel=1e-14)
        assert third.item() == pytest.approx(e * (v**4 + 12 * v**3 + 36 * v**2 + 24 * v), rel=1e-14)

    def test_mixed_derivative_by_two_inputs(self) -> None:
        x, y = leaf(2.0), leaf(3.0)
        (gx,) = mg.grad(x * x * y**3, [x], create_graph=True)
        (gxy,) = mg.grad(gx, [y])
        assert gxy.item() == 2 * 2 * 3 * 3**2

    def test_the_cotangent_can_be_differentiated_too(self) -> None:
        x = leaf(2.0, 3.0)
        g = leaf(1.0, 1.0)
        (gx,) = mg.grad(x * x, [x], g, create_graph=True)
        (gg,) = mg.grad(gx.sum(), [g])
        np.testing.assert_array_equal(gg.data, [4, 6])

    def test_create_graph_keeps_the_first_graph_for_more_gradients(self) -> None:
        x = leaf(2.0)
        y = x**3
        answers = [mg.grad(y, [x], create_graph=True)[0].item() for _ in range(3)]
        assert answers == [12, 12, 12]

    def test_without_create_graph_gradients_are_constants(self) -> None:
        x = leaf(2.0)
        (gx,) = mg.grad(x**3, [x])
        assert not gx.requires_grad
        assert gx.op is None

    def test_constant_gradients_have_derivatives_of_zero_and_leave_the_given_cotangent_alone(self) -> None:
        x, g = Tensor([1.0, 2.0], requires_grad=True), Tensor([3.0, 4.0])
        (gx,) = mg.grad(x + 1, [x], g, create_graph=True)
        (second,) = mg.grad(gx.sum(), [x], create_graph=True)
        (third,) = mg.grad(second.sum(), [x])
        assert gx.numpy().tolist() == [3.0, 4.0]
        assert (second.numpy().tolist(), third.numpy().tolist()) == ([0.0, 0.0], [0.0, 0.0])
        assert not g.requires_grad
        assert not third.requires_grad

    def test_gradient_penalty_reaches_the_weights(self) -> None:
        """d/dw of (d(w x^2)/dx)^2 = (2 w x)^2 is 8 w x^2."""
        x, w = leaf(3.0), leaf(0.5)
        (gx,) = mg.grad(w * x * x, [x], create_graph=True)
        (gw,) = mg.grad(gx * gx, [w])
        assert gw.item() == 8 * 0.5 * 9


class TestNoGrad:
    def test_no_graph_is_built_in_the_context_and_one_is_after_it(self) -> None:
        x = leaf(1.0)
        with mg.no_grad():
            inside = x * 2
        assert not inside.requires_grad
        assert inside.op is None
        assert (x * 2).requires_grad

    def test_the_graph_is_built_again_after_an_error(self) -> None:
        def fail() -> None:
            with mg.no_grad():
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert (leaf(1.0) * 2).requires_grad

    def test_set_grad_enabled_works_as_a_statement_and_as_a_context(self) -> None:
        x = leaf(1.0)
        mg.set_grad_enabled(False)
        assert not mg.is_grad_enabled() and not (x * 2).requires_grad
        with mg.set_grad_enabled(True):
            assert (x * 2).requires_grad
        assert not mg.is_grad_enabled()
        mg.set_grad_enabled(True)
        assert (x * 2).requires_grad

    def test_contexts_nest(self) -> None:
        x = leaf(1.0)
        with mg.no_grad():
            with mg.no_grad():
                pass
            assert not (x * 2).requires_grad

    @pytest.mark.parametrize("decorate", [mg.no_grad(), mg.no_grad], ids=["with parentheses", "without"])
    def test_as_a_decorator_any_number_of_times(self, decorate: Any) -> None:
        @decorate
        def twice(x: Tensor) -> Tensor:
            return x * 2

        x = leaf(1.0)
        assert [twice(x).requires_grad for _ in range(3)] == [False] * 3
        assert (x * 2).requires_grad

    def test_what_is_no_function_cannot_be_decorated(self) -> None:
        with pytest.raises(TypeError, match="no_grad takes nothing, or the function that it decorates, not False"):
            mg.no_grad(False)  # type: ignore[call-overload]

    @pytest.mark.parametrize("decorate", [mg.no_grad(), mg.no_grad], ids=["with parentheses", "without"])
    def test_what_runs_after_its_call_cannot_be_decorated(self, decorate: Any) -> None:
        def walk() -> Iterator[Tensor]:
            yield leaf(1.0) * 2

        async def fetch() -> Tensor:
            return leaf(1.0) * 2

        for function in (walk, fetch):
            with pytest.raises(TypeError, match=f"{function.__name__} is a generator or a coroutine: write `with mg.no_grad"):
                decorate(function)
        with pytest.raises(TypeError, match="Linear is a class: write"):
            decorate(mg.nn.Linear)

    def test_one_context_can_be_entered_again_inside_itself(self) -> None:
        without, x = mg.no_grad(), leaf(1.0)
        with without:
            with without:
                pass
            assert not (x * 2).requires_grad
        assert (x * 2).requires_grad

    def test_other_threads_still_build_their_graphs(self) -> None:
        built = []
        with mg.no_grad():
            thread = threading.Thread(target=lambda: built.append((leaf(1.0) * 2).requires_grad))
            thread.start()
            thread.join()
        assert built == [True]

    def test_backward_ops_build_no_graph_without_create_graph(self) -> None:
        seen = []

        class Spy(Op):
            def forward(self, x: np.ndarray) -> np.ndarray:
                return x * 1

            def backward_x(self, g: Tensor, x: Tensor) -> Tensor:
                seen.append((g * x).requires_grad)
                return g

        x = leaf(2.0)
        mg.grad(Spy()(x), [x])
        mg.grad(Spy()(x), [x], create_graph=True)
        assert seen == [False, True]

    def test_detach_shares_the_array_and_stops_the_gradient(self) -> None:
        x = leaf(3.0)
        constant = (x * x).detach()
        assert not constant.requires_grad
        (gx,) = mg.grad(constant * x, [x])
        assert gx.item() == 9
        assert x.detach().data is x.data

    def test_results_of_constants_have_no_graph(self) -> None:
        out = Tensor([1.0]) * Tensor([2.0])
        assert not out.requires_grad
        assert out.op is None


class TestBackward:
    def test_fills_dot_grad_with_plain_arrays(self) -> None:
        x, y = leaf(2.0, 3.0), leaf(5.0, 7.0)
        (x * y).sum().backward()
        assert type(x.grad) is np.ndarray
        assert type(y.grad) is np.ndarray
        np.testing.assert_array_equal(x.grad, y.data)
        np.testing.assert_array_equal(y.grad, x.data)

    def test_adds_to_an_existing_dot_grad(self) -> None:
        x = leaf(2.0)
        (x * 3).backward()
        (x * 5).backward()
        assert x.grad is not None
        assert x.grad.tolist() == [8]

    def test_takes_a_cotangent(self) -> None:
        x = leaf(2.0, 3.0)
        (x * x).backward(Tensor(np.array([1.0, 10.0])))
        assert x.grad is not None
        assert x.grad.tolist() == [4, 60]

    def test_of_a_leaf_is_one(self) -> None:
        x = leaf(2.0)
        x.backward()
        assert x.grad is not None
        assert x.grad.tolist() == [1]

    def test_intermediate_results_get_no_dot_grad(self) -> None:
        x = leaf(2.0)
        y = x * 2
        (y * y).backward()
        assert y.grad is None

    def test_each_leaf_owns_its_dot_grad_so_that_it_can_be_scaled_in_place(self) -> None:
        x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
        (x + y).sum().backward()
        assert x.grad is not None
        x.grad *= 10
        assert y.grad is not None
        assert y.grad.tolist() == [1, 1]

    def test_dot_grad_does_not_share_memory_with_the_cotangent(self) -> None:
        x = leaf(1.0, 2.0)
        cotangent = Tensor(np.array([1.0, 1.0]))
        (x + 1).backward(cotangent)
        cotangent.data[...] = 7
        assert x.grad is not None
        assert x.grad.tolist() == [1, 1]

    def test_a_second_backward_is_refused_and_says_what_to_do(self) -> None:
        x = leaf(2.0)
        y = F.exp(x)
        y.backward()
        with pytest.raises(RuntimeError, match=r"Exp: .*one grad\(\) call.*create_graph=True"):
            y.backward()

    def test_backward_from_another_output_through_a_freed_part_is_refused(self) -> None:
        x = leaf(2.0)
        shared = F.exp(x)
        (shared * 2).backward()
        with pytest.raises(RuntimeError, match="Exp: backward ran through this graph before"):
            (shared * 3).backward()
