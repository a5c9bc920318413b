"""The graph and the walk back along it: what `grad` computes, what it leaves alone, what it keeps, and what it says."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import Op, Tensor, grad, nn, no_grad, optim
from minigrad.ops.elementwise import Exp
from minigrad.ops.reduce import Mean


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values, dtype=np.float64), requires_grad=True)


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

    def test_ops_that_lead_to_no_asked_input_are_not_run(self) -> None:
        log: list[str] = []
        x, w = leaf(1.0), leaf(2.0)
        y = Double(log, "of x")(x) * Double(log, "of w")(w)
        mg.grad(y, [w])
        assert log == ["forward of x", "forward of w", "backward of w"]

    def test_the_walk_stops_at_an_asked_input_in_the_middle(self) -> None:
        log: list[str] = []
        x = leaf(1.0)
        middle = Double(log, "below")(x)
        out = Double(log, "above")(middle)
        (gradient,) = mg.grad(out, [middle])
        assert gradient.item() == 2
        assert log[2:] == ["backward above"]

    def test_inputs_may_be_leaves_and_results_at_once(self) -> None:
        x = leaf(2.0)
        y = x * x
        z = y * x
        gx, gy, gz = mg.grad(z * z, [x, y, z])
        assert (gx.item(), gy.item(), gz.item()) == (6 * 2**5, 2 * 4 * 2**2, 2 * 8)

    def test_an_input_asked_twice_is_answered_twice(self) -> None:
        x, y = leaf(2.0), leaf(5.0)
        gradients = mg.grad(x * y, [x, y, x])
        assert [g.item() for g in gradients] == [5, 2, 5]

    @pytest.mark.parametrize("make", [lambda x: x, lambda x: x * 3], ids=["leaf", "result"])
    def test_the_gradient_of_the_output_by_itself_is_the_cotangent(self, make: Callable[[Tensor], Tensor]) -> None:
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

    def test_no_inputs_no_gradients(self) -> None:
        assert mg.grad(leaf(2.0) * 2, []) == []

    def test_grad_output_weights_the_elements(self) -> None:
        x = leaf(1.0, 2.0, 3.0)
        (gx,) = mg.grad(x * x, [x], Tensor(np.array([1.0, 0.0, -1.0])))
        np.testing.assert_array_equal(gx.data, [2, 0, -6])

    def test_grad_leaves_dot_grad_alone(self) -> None:
        x = leaf(1.0)
        mg.grad(x * x, [x])
        assert x.grad is None

    def test_backward_methods_follow_each_others_order_of_application(self) -> None:
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

    def test_create_graph_keeps_the_first_graph_for_more_questions(self) -> None:
        x = leaf(2.0)
        y = x**3
        answers = [mg.grad(y, [x], create_graph=True)[0].item() for _ in range(3)]
        assert answers == [12, 12, 12]

    def test_without_create_graph_gradients_are_constants(self) -> None:
        x = leaf(2.0)
        (gx,) = mg.grad(x**3, [x])
        assert not gx.requires_grad
        assert gx.op is None

    def test_gradient_penalty_reaches_the_weights(self) -> None:
        """d/dw of (d(w x^2)/dx)^2 = (2 w x)^2 is 8 w x^2."""
        x, w = leaf(3.0), leaf(0.5)
        (gx,) = mg.grad(w * x * x, [x], create_graph=True)
        (gw,) = mg.grad(gx * gx, [w])
        assert gw.item() == 8 * 0.5 * 9


class TestNoGrad:
    def test_nothing_is_recorded_in_the_context_and_all_after_it(self) -> None:
        x = leaf(1.0)
        with mg.no_grad():
            inside = x * 2
        assert not inside.requires_grad
        assert inside.op is None
        assert (x * 2).requires_grad

    def test_recording_is_on_again_after_an_error(self) -> None:
        def fail() -> None:
            with mg.no_grad():
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert (leaf(1.0) * 2).requires_grad

    def test_contexts_nest(self) -> None:
        x = leaf(1.0)
        with mg.no_grad():
            with mg.no_grad():
                pass
            assert not (x * 2).requires_grad

    def test_as_a_decorator_any_number_of_times(self) -> None:
        @mg.no_grad()
        def twice(x: Tensor) -> Tensor:
            return x * 2

        x = leaf(1.0)
        assert [twice(x).requires_grad for _ in range(3)] == [False] * 3
        assert (x * 2).requires_grad

    def test_other_threads_go_on_recording(self) -> None:
        recorded = []
        with mg.no_grad():
            thread = threading.Thread(target=lambda: recorded.append((leaf(1.0) * 2).requires_grad))
            thread.start()
            thread.join()
        assert recorded == [True]

    def test_backward_ops_are_not_recorded_without_create_graph(self) -> None:
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

    def test_results_of_constants_are_not_recorded(self) -> None:
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

    def test_adds_to_what_is_there(self) -> None:
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

    def test_results_in_the_middle_get_no_dot_grad(self) -> None:
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

    def test_a_second_one_says_what_to_do(self) -> None:
        x = leaf(2.0)
        y = F.exp(x)
        y.backward()
        with pytest.raises(RuntimeError, match=r"Exp: .*one grad\(\) call.*create_graph=True"):
            y.backward()

    def test_a_freed_part_is_noticed_from_another_output(self) -> None:
        x = leaf(2.0)
        shared = F.exp(x)
        (shared * 2).backward()
        with pytest.raises(RuntimeError, match="Exp: backward ran through this graph before"):
            (shared * 3).backward()


class TestDepth:
    def test_a_chain_of_a_hundred_thousand_ops(self) -> None:
        """Forward, backward and release, all without recursion."""
        x = leaf(1.0)
        y = x
        for _ in range(100_000):
            y = y + 1.0
        last = weakref.ref(y)
        (gx,) = mg.grad(y, [x])
        assert (y.item(), gx.item()) == (100_001, 1)
        del y
        assert last() is None

    def test_a_long_chain_is_released_without_a_backward(self) -> None:
        x = leaf(1.0)
        y = F.exp(x * 0.0)
        first = weakref.ref(y.op)
        for _ in range(100_000):
            y = y * 1.0
        del y
        assert first() is None


@pytest.fixture
def no_gc() -> Iterator[None]:
    """No garbage collector: what is freed is freed because nothing points to it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def watch(x: Tensor) -> weakref.ref[np.ndarray]:
    """Tells whether the tensor's array is still alive."""
    return weakref.ref(x.data)


@pytest.mark.usefixtures("no_gc")
class TestMemory:
    def test_a_graph_dies_with_its_output(self) -> None:
        x = leaf(1.0, 2.0)
        hidden = F.tanh(F.exp(x) * x)
        out = (hidden * hidden).sum()
        alive = [watch(hidden), weakref.ref(hidden), weakref.ref(hidden.op), weakref.ref(out.op)]
        del hidden, out
        assert [ref() for ref in alive] == [None] * 4

    def test_a_graph_of_gradients_dies_with_the_gradients(self) -> None:
        x = leaf(1.0, 2.0)
        out = (F.tanh(x) * F.sigmoid(x) * F.leaky_relu(x) / F.sqrt(x)).sum()
        (gx,) = mg.grad(out, [x], create_graph=True)
        (ggx,) = mg.grad((gx * gx).sum(), [x], create_graph=True)
        alive = [weakref.ref(t.op) for t in (out, gx, ggx)]
        del out, gx, ggx
        assert [ref() for ref in alive] == [None] * 3

    def test_no_cycle_is_left_by_any_step_of_training(self) -> None:
        w = Tensor(np.ones((3, 3)), requires_grad=True)

        def step() -> None:
            out = F.softmax(F.linear(Tensor(np.ones((2, 3))), w))
            mg.grad(F.mse_loss(out, Tensor(np.zeros((2, 3)))), [w])
            F.tanh(w).sum().backward()

        step()  # the first one loads the kernels, and loading leaves cycles
        gc.collect()
        step()
        assert gc.collect() == 0

    def test_forward_keeps_only_what_backward_names(self) -> None:
        x = leaf(1.0, 2.0)
        summed, multiplied = x + 1, x + 2
        sum_alive, product_alive = watch(summed), watch(multiplied)
        out = (summed + 3) + multiplied * x
        del summed, multiplied
        assert sum_alive() is None, "the sum's derivative needs no values"
        assert product_alive() is not None, "the product's derivative needs the other factor"
        del out
        assert product_alive() is None

    def test_an_op_that_names_out_keeps_its_output_and_not_its_input(self) -> None:
        x = leaf(1.0, 2.0)
        y = x * 3.0
        alive = watch(y)
        z = F.exp(y)
        out_alive = watch(z)
        out = z.sum()
        del y, z
        assert alive() is None
        assert out_alive() is not None
        del out
        assert out_alive() is None

    def test_what_only_an_unasked_gradient_would_need_is_not_kept(self) -> None:
        """With a constant weight, the product's input is not needed."""
        x = leaf(1.0, 2.0)
        hidden = x + 1
        alive = watch(hidden)
        out = hidden * Tensor(np.array([3.0, 4.0]))
        del hidden
        assert alive() is None
        assert out.requires_grad

    def test_no_grad_keeps_nothing(self) -> None:
        x = leaf(1.0, 2.0)
        with mg.no_grad():
            hidden = F.exp(x)
            alive = watch(hidden)
            out = hidden * x
        del hidden
        assert alive() is None
        assert out.op is None

    def test_each_node_is_freed_as_soon_as_its_backward_has_run(self) -> None:
        alive_later: list[bool] = []

        class Ask(Op):
            def forward(self, x: np.ndarray) -> np.ndarray:
                return x * 1

            def backward_x(self, g: Tensor) -> Tensor:
                alive_later.append(kept() is not None)
                return g

        x = leaf(1.0, 2.0)
        early = Ask()(x)
        hidden = F.exp(early)
        kept = watch(hidden)
        out = hidden.sum()
        del hidden
        assert kept() is not None
        mg.grad(out, [x])
        assert alive_later == [False]
        assert out.op is not None

    def test_backward_frees_the_values_even_while_the_loss_is_held(self) -> None:
        x = leaf(1.0, 2.0)
        hidden = F.exp(x)
        alive = watch(hidden)
        loss = (hidden * hidden).sum()
        del hidden
        loss.backward()
        assert alive() is None


class TestVersions:
    def test_a_step_between_forward_and_backward_is_refused_and_names_the_op(self) -> None:
        w = leaf(1.0, 2.0)
        x = leaf(3.0, 4.0)
        loss = (w * x).sum()
        optim.SGD([w]).step([Tensor(np.ones(2))])
        with pytest.raises(RuntimeError, match=r"^Mul: its input x \(2,\) was changed in place"):
            mg.grad(loss, [x])

    def test_assign_counts_as_a_change(self) -> None:
        w, x = leaf(1.0), leaf(3.0)
        loss = x * w
        w.assign(np.array([5.0]))
        with pytest.raises(RuntimeError, match="Mul: its input y"):
            mg.grad(loss, [x])

    def test_a_changed_value_that_is_not_needed_does_no_harm(self) -> None:
        w, x = leaf(1.0), leaf(3.0)
        loss = x * w
        w.assign(np.array([5.0]))
        (gw,) = mg.grad(loss, [w])
        assert gw.item() == 3

    def test_an_op_object_cannot_be_applied_twice(self) -> None:
        """It is the node of the graph: applied again, it would forget where its first inputs came from."""
        exp = Exp()
        x = leaf(0.5)
        y = exp(x)
        with pytest.raises(RuntimeError, match="Exp"):
            exp(y)


class TestErrors:
    def test_shapes_that_do_not_fit_name_the_op_and_both_shapes(self) -> None:
        with pytest.raises(ValueError, match=r"^Add\(x \(2, 3\), y \(4,\)\): .*broadcast"):
            Tensor(np.ones((2, 3))) + Tensor(np.ones(4))

    def test_variadic_ops_number_their_inputs(self) -> None:
        with pytest.raises(ValueError, match=r"^Concatenate\(xs\[0\] \(2, 3\), xs\[1\] \(2, 4\)\): "):
            F.concatenate([Tensor(np.ones((2, 3))), Tensor(np.ones((2, 4)))])

    def test_python_numbers_are_shown_as_they_are(self) -> None:
        with pytest.raises(TypeError, match=r"^Sub\(x \(1,\), y True\): "):
            Tensor(np.array([True])) - True

    def test_errors_whose_constructors_take_more_than_a_message_are_explained_too(self) -> None:
        """NumPy's casting errors do."""

        class AddHalf(Op):
            def forward(self, x: np.ndarray) -> np.ndarray:
                y = x.copy()
                y += 0.5
                return y

        with pytest.raises(TypeError, match=r"^AddHalf\(x \(2,\)\): Cannot cast ufunc 'add' output"):
            AddHalf()(Tensor([1, 2]))

    def test_the_first_error_is_the_cause(self) -> None:
        with pytest.raises(ValueError) as caught:
            F.reshape(Tensor(np.ones(6)), 4, 2)
        assert isinstance(caught.value.__cause__, ValueError)

    def test_one_tensor_instead_of_a_list(self) -> None:
        x = leaf(1.0)
        with pytest.raises(TypeError, match=r"write grad\(output, \[x\]\)"):
            mg.grad(x * 2, x)

    def test_an_input_that_requires_no_gradient(self) -> None:
        with pytest.raises(ValueError, match=r"input of shape \(2,\) does not require gradients"):
            mg.grad(leaf(1.0) * 2, [Tensor([1.0, 2.0])])

    def test_an_output_that_depends_on_nothing(self) -> None:
        x = leaf(1.0)
        with pytest.raises(ValueError, match=r"^grad: the output does not depend on any tensor"):
            mg.grad(Tensor([1.0]) * 2, [x])
        with pytest.raises(ValueError, match=r"^backward: the output does not depend on any tensor"):
            (Tensor([1.0]) * 2).backward()

    def test_an_output_of_more_than_one_element(self) -> None:
        x = leaf(1.0, 2.0)
        with pytest.raises(ValueError, match=r"shape \(2,\); reduce it to one number or give grad_output"):
            mg.grad(x * 2, [x])

    def test_a_cotangent_of_another_shape(self) -> None:
        x = leaf(1.0, 2.0)
        with pytest.raises(ValueError, match=r"grad_output has shape \(2, 1\), the output \(2,\)"):
            mg.grad(x * 2, [x], Tensor(np.ones((2, 1))))

    @pytest.mark.parametrize("values", [[1, 2], [True], np.array([1], np.uint8)])
    def test_only_floating_point_tensors_require_gradients(self, values: Any) -> None:
        with pytest.raises(TypeError, match="only floating-point tensors can require gradients, not"):
            Tensor(values, requires_grad=True)


class TestAnomalies:
    def test_forward_names_the_op_and_counts_the_values(self) -> None:
        x = leaf(0.0, 1.0, -1.0)
        with mg.detect_anomaly(), np.errstate(all="ignore"), pytest.raises(FloatingPointError) as caught:
            F.log(x)
        assert str(caught.value) == "Log(x (3,)) gave 1 NaN and 1 infinite of 3 values"

    def test_backward_names_the_op(self) -> None:
        x = leaf(0.0)
        with np.errstate(all="ignore"):
            y = F.sqrt(x)
            with mg.detect_anomaly(), pytest.raises(FloatingPointError, match=r"^Div\(.*gave 0 NaN and 1 infinite of 1"):
                mg.grad(y, [x])

    def test_finite_values_pass_with_the_right_result(self) -> None:
        x = leaf(2.0)
        with mg.detect_anomaly():
            (gx,) = mg.grad(F.log(x), [x])
        assert gx.item() == 0.5

    def test_outside_the_context_nothing_is_checked(self) -> None:
        with mg.detect_anomaly():
            pass
        with np.errstate(all="ignore"):
            assert F.log(leaf(0.0)).item() == -np.inf

    def test_integers_are_always_finite(self) -> None:
        with mg.detect_anomaly():
            assert (Tensor([1, 2]) + 1).numpy().tolist() == [2, 3]


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
    def test_what_is_no_number_is_refused(self, bad: Any) -> None:
        with pytest.raises(TypeError, match="a tensor holds numbers, not"):
            Tensor(bad)

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

    def test_equality_is_identity_so_tensors_can_be_keys(self) -> None:
        x, y = Tensor([1.0]), Tensor([1.0])
        assert x == x
        assert x != y
        assert {x: "x", y: "y"}[x] == "x"

    def test_iterating_a_number_is_an_error_as_in_numpy(self) -> None:
        with pytest.raises(TypeError, match="without axes cannot be iterated over"):
            list(Tensor(1.0))

    def test_methods_are_the_functions(self) -> None:
        x = Tensor(np.arange(6.0).reshape(2, 3))
        assert x.sum().item() == 15
        assert x.mean(axis=0).numpy().tolist() == [1.5, 2.5, 3.5]
        assert x.var(1, 1).numpy().tolist() == [1, 1]
        assert x.max(1).numpy().tolist() == [2, 5]
        assert x.min(1, keepdims=True).numpy().tolist() == [[0], [3]]
        assert x.reshape(3, 2).shape == x.reshape((3, -1)).shape == x.T.shape == x.transpose(1, 0).shape == (3, 2)
        assert x.flatten().shape == (6,)
        assert x.astype(np.float32).dtype == np.float32


@pytest.mark.parametrize(
    "view",
    [
        lambda p: p.T,
        lambda p: p[0],
        lambda p: p.reshape(9)[:3],
        lambda p: p.detach(),
        lambda p: F.broadcast_to(p, (2, 3, 3))[0],
    ],
    ids=["transpose", "slice", "reshape", "detach", "broadcast"],
)
def test_a_parameter_changed_after_use_through_a_view_is_refused(view: Any) -> None:
    p = nn.Parameter(np.eye(3))
    x = Tensor(np.ones((3, 3)), requires_grad=True)
    loss = (x * view(p)).sum()
    optim.SGD([p], lr=1.0).step([Tensor(np.ones((3, 3)))])
    with pytest.raises(RuntimeError, match=r"Mul: its input y .* was changed in place"):
        grad(loss, [x])


def test_a_copy_of_a_parameter_may_be_used_after_the_parameter_has_changed() -> None:
    p = nn.Parameter(np.eye(3))
    x = Tensor(np.ones(3), requires_grad=True)
    loss = (x * p[np.array([0, 1, 1]), np.array([0, 1, 2])]).sum()
    optim.SGD([p], lr=1.0).step([Tensor(np.ones((3, 3)))])
    assert grad(loss, [x])[0].numpy().tolist() == [1, 1, 0]


def test_an_op_object_cannot_be_applied_again_even_without_recording() -> None:
    op = Mean()
    mean = op(Tensor(np.ones(2), requires_grad=True))
    with no_grad(), pytest.raises(RuntimeError, match="Mean: an op object is one node"):
        op(Tensor(np.ones(15)))
    assert mean.op is op
