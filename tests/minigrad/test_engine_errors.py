"""Values changed in place after use, wrong inputs and NaN raise errors that name the op and its inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import Op, Tensor, grad, nn, no_grad, optim
from minigrad.ops.elementwise import Elementwise, Exp
from minigrad.ops.reduce import Mean
from tests.minigrad.conftest import leaf


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

    @pytest.mark.parametrize(
        "change",
        [
            lambda y: y.assign([7.0, 7.0]),
            lambda y: F.reshape(y, 2, 1).assign(np.zeros((2, 1))),
            lambda y: y[:1].assign(0.0),
            lambda y: y.detach().assign(0.0),
            lambda y: Tensor(y).assign(0.0),
            lambda y: y.to("numpy").assign(0.0),
            lambda y: optim.SGD([y.detach()]).step([Tensor(np.ones(2))]),
        ],
        ids=["itself", "reshape", "slice", "detach", "Tensor", "to", "step"],
    )
    @pytest.mark.parametrize(
        "f",
        [
            F.exp,
            F.sqrt,
            F.tanh,
            F.sigmoid,
            F.relu,
            lambda x: F.norm(x, axis=1),
            lambda x: F.logsumexp(x, 1),
            lambda x: F.max(x, 1),
        ],
        ids=["exp", "sqrt", "tanh", "sigmoid", "relu", "norm", "logsumexp", "max"],
    )
    @pytest.mark.parametrize("create_graph", [False, True])
    def test_an_output_changed_in_place_is_refused(self, f: Any, change: Any, create_graph: bool) -> None:
        x = Tensor(np.array([0.5, 1.0]), requires_grad=True)
        y = F.flatten(f(F.reshape(x, 2, 1)))
        z = (y * 3).sum()
        change(y)
        with pytest.raises(RuntimeError, match=r"its output .* was changed in place .* change a copy"):
            mg.grad(z, [x], create_graph=create_graph)

    def test_arrays_assigned_to_data_count_as_changes(self) -> None:
        w, x = leaf(1.0), leaf(3.0)
        for product in (x * w, x * w):
            w.data += 1
            with pytest.raises(RuntimeError, match="Mul: its input y"):
                mg.grad(product, [x])

    def test_a_changed_value_that_is_not_needed_does_no_harm(self) -> None:
        w, x = leaf(1.0), leaf(3.0)
        loss = x * w
        w.assign(np.array([5.0]))
        (gw,) = mg.grad(loss, [w])
        assert gw.item() == 3

    def test_an_op_object_cannot_be_applied_twice(self) -> None:
        """An op object is a node of the graph: a second call would overwrite its first inputs."""
        exp = Exp()
        x = leaf(0.5)
        y = exp(x)
        with pytest.raises(RuntimeError, match="Exp"):
            exp(y)


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


def test_an_op_object_cannot_be_applied_again_even_under_no_grad() -> None:
    op = Mean()
    mean = op(Tensor(np.ones(2), requires_grad=True))
    with no_grad(), pytest.raises(RuntimeError, match="Mean: an op object is one node"):
        op(Tensor(np.ones(15)))
    assert mean.op is op


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

    def test_errors_whose_constructors_need_more_than_a_message_name_the_op_too(self) -> None:
        """NumPy's casting errors are of this kind."""

        class AddHalf(Op):
            def forward(self, x: np.ndarray) -> np.ndarray:
                y = x.copy()
                y += 0.5
                return y

        with pytest.raises(TypeError, match=r"^AddHalf\(x \(2,\)\): Cannot cast ufunc 'add' output"):
            AddHalf()(Tensor([1, 2]))

    def test_the_original_error_is_the_cause(self) -> None:
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

    def test_an_output_that_depends_on_no_input(self) -> None:
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


def test_a_fused_method_must_have_a_backward_method_with_the_same_parameters() -> None:
    with pytest.raises(TypeError, match="fused_x must have the parameters of a method backward_x"):

        class Wrong(Op):
            def forward(self, x: Any) -> Any:
                return x

            def fused_x(self, g: Any) -> Any:
                return g


def test_a_nan_from_a_fused_backward_is_an_anomaly() -> None:
    class FusedNaN(Op):
        def forward(self, x: Any) -> Any:
            return x * 1

        def backward_x(self, g: Tensor) -> Tensor:
            return g

        def fused_x(self, g: Any) -> Any:
            return g * np.nan

    x = Tensor([1.0], requires_grad=True)
    with mg.detect_anomaly(), pytest.raises(FloatingPointError, match="the backward of FusedNaN gave 1 NaN"):
        mg.grad(FusedNaN()(x), [x])


class TestBackwardMethods:
    @pytest.mark.parametrize("name", ["backward", "backwards_x", "backward_z", "fused", "fused_z"])
    def test_any_other_name_that_looks_like_one_is_refused(self, name: str) -> None:
        methods = {"forward": lambda self, x: 2 * x, "backward_x": lambda self, g: 2 * g, name: lambda self, g: 2 * g}
        with pytest.raises(TypeError, match=f"^Wrong: {name} is for no input; forward takes x, and .* is backward_x$"):
            type("Wrong", (Op,), methods)

    @pytest.mark.parametrize("forward", [lambda self, x, k=2: k * x, lambda self, x, *, k: k * x, lambda self, x, **k: x])
    def test_settings_among_the_inputs_are_refused(self, forward: Any) -> None:
        with pytest.raises(TypeError, match=r"^Wrong: forward takes inputs only, without defaults"):
            type("Wrong", (Op,), {"forward": forward})

    def test_one_for_no_input_is_refused_with_the_class(self) -> None:
        with pytest.raises(TypeError, match=r"^Wrong: backward_z is for no input; forward takes x, y"):

            class Wrong(Op):
                def forward(self, x: Any, y: Any) -> Any:
                    return x + y

                def backward_z(self, g: Tensor) -> Tensor:
                    return g

    def test_one_that_takes_no_input_is_refused_with_the_class(self) -> None:
        with pytest.raises(
            TypeError, match=r"^Wrong: backward_x takes z after the cotangent; it can take inputs \(x\) and out"
        ):

            class Wrong(Op):
                def forward(self, x: Any) -> Any:
                    return x * 2

                def backward_x(self, g: Tensor, z: Tensor) -> Tensor:
                    return g * z

    @pytest.mark.parametrize("base", [Op, Elementwise])
    @pytest.mark.parametrize(
        ("returned", "error", "message"),
        [
            (lambda g: g.data, TypeError, "Doubled: backward_x must return a Tensor, made by ops, not ndarray"),
            (lambda g: None, TypeError, "Doubled: backward_x must return a Tensor, made by ops, not NoneType"),
            (
                lambda g: g[:1],
                ValueError,
                r"Doubled: backward_x returned a cotangent of shape \(1,\) for an input of shape \(2,\)",
            ),
        ],
    )
    def test_what_they_return_is_checked(self, base: type[Op], returned: Any, error: type[Exception], message: str) -> None:
        class Doubled(base):  # type: ignore[misc, valid-type]
            def forward(self, x: Any) -> Any:
                return x * 2

            def backward_x(self, g: Tensor) -> Any:
                return returned(g)

        x = leaf(1.0, 2.0)
        with pytest.raises(error, match=message):
            mg.grad(Doubled()(x).sum(), [x])


class TestWrongKinds:
    def test_inputs_may_come_from_a_generator_and_other_things_are_named(self) -> None:
        x = leaf(1.0, 2.0, 3.0)
        (gx,) = grad((2 * x).sum(), (t for t in [x]))
        np.testing.assert_array_equal(gx.data, np.full(3, 2.0))
        with pytest.raises(TypeError, match="grad: an input is not a Tensor, but of type ndarray"):
            grad((2 * x).sum(), [x.data])  # type: ignore[list-item]

    @pytest.mark.parametrize("cotangent", [np.ones(3), 1.0], ids=["array", "number"])
    def test_a_cotangent_that_is_no_tensor_is_named(self, cotangent: Any) -> None:
        x = leaf(1.0, 2.0, 3.0)
        with pytest.raises(TypeError, match=f"backward: grad_output is a Tensor .*, not {type(cotangent).__name__}"):
            (2 * x).backward(cotangent)
        with pytest.raises(TypeError, match=f"grad: grad_output is a Tensor .*, not {type(cotangent).__name__}"):
            grad(2 * x, [x], cotangent)

    def test_a_forward_that_returns_two_arrays_is_refused(self) -> None:
        class Both(Op):
            def forward(self, x: Any) -> Any:
                return x, 2 * x

        with pytest.raises(TypeError, match=r"Both\(x \(3,\)\): forward must return one array, not a tuple"):
            Both()(leaf(1.0, 2.0, 3.0))

    @pytest.mark.parametrize("f", [F.exp, F.sqrt, F.abs, F.sigmoid, lambda x: F.add(x, 2), lambda x: F.maximum(1, x)])
    def test_python_floats_become_float32_as_in_a_tensor(self, f: Any) -> None:
        assert f(1.5).dtype == np.float32
        np.testing.assert_array_equal(f(1.5).data, f(Tensor(1.5)).data)
