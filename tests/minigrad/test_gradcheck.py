"""The derivative checks catch wrong derivatives and accept correct ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import Op, Tensor
from minigrad.gradcheck import GradcheckError, gradcheck, gradgradcheck


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


class Square(Op):
    """x^2"""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return x * x

    def backward_x(self, g: Tensor, x: Tensor) -> Tensor:
        return g * (2 * x)


class WrongFactor(Square):
    def backward_x(self, g: Tensor, x: Tensor) -> Tensor:
        return g * (2.02 * x)


class WrongInOnePlace(Square):
    def backward_x(self, g: Tensor, x: Tensor) -> Tensor:
        wrong = np.zeros(x.shape)
        wrong.flat[-1] = 0.05
        return g * (2 * x + wrong)


class NotANumber(Square):
    def backward_x(self, g: Tensor, x: Tensor) -> Tensor:
        return g * np.full(x.shape, np.nan)


class KeepsARawArray(Square):
    """Correct to first order; to second order, the array that forward keeps is wrongly a constant."""

    def backward_x(self, g: Tensor) -> Tensor:
        return g * Tensor(2 * self.x)


class DetachesTheCotangent(Square):
    """Correct to first order; the second derivative with respect to the cotangent is lost."""

    def backward_x(self, g: Tensor, x: Tensor) -> Tensor:
        return g.detach() * (2 * x)


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 3)])
def test_a_correct_derivative_passes(check: Callable[..., None], shape: tuple[int, ...]) -> None:
    check(lambda x: Square()(x), [leaf(*shape)])


@pytest.mark.parametrize("op", [WrongFactor, WrongInOnePlace, NotANumber])
@pytest.mark.parametrize("seed", range(5))
def test_a_wrong_derivative_is_caught_with_any_seed(op: type[Op], seed: int) -> None:
    with pytest.raises(GradcheckError, match=r"^input 0 "):
        gradcheck(lambda x: op()(x), [leaf(2, 3)], seed=seed)


@pytest.mark.parametrize("op", [KeepsARawArray, DetachesTheCotangent])
@pytest.mark.parametrize("seed", range(5))
def test_a_backward_with_a_hidden_constant_passes_the_first_order_and_is_caught_by_the_second(op: type[Op], seed: int) -> None:
    gradcheck(lambda x: op()(x), [leaf(2, 3)], seed=seed)
    with pytest.raises(GradcheckError):
        gradgradcheck(lambda x: op()(x), [leaf(2, 3)], seed=seed)


def test_the_input_at_fault_is_named_with_both_numbers() -> None:
    def f(x: Tensor, y: Tensor) -> Tensor:
        return F.mul(x, WrongFactor()(y))

    message = r"^input 1 \(3,\): finite differences give -?\d.*, backward gives -?\d"
    with pytest.raises(GradcheckError, match=message):
        gradcheck(f, [leaf(3), leaf(3, seed=1)])


@pytest.mark.parametrize("check", [mg.gradcheck, mg.gradgradcheck])
def test_a_check_can_be_asserted_and_takes_one_tensor_as_it_is(check: Callable[..., bool]) -> None:
    x = leaf(3, 2)
    assert check(F.tanh, x) is True
    assert check(F.tanh, [x]) is True
    with pytest.raises(GradcheckError):
        check(lambda x: KeepsARawArray()(x) if check is mg.gradgradcheck else WrongFactor()(x), x)


def test_inputs_that_require_no_gradient_are_left_alone() -> None:
    constant = Tensor(np.array([1, 2]))
    for check in (gradcheck, gradgradcheck):
        check(lambda x, i: x[i] * x[i], [leaf(4), constant])
        check(lambda i, x: x[i] * x[i], [constant, leaf(4)])


def test_constant_and_linear_functions_can_be_checked_too() -> None:
    for f in (lambda x: x + 0.5, lambda x: x * 0.0, lambda x: Tensor(np.ones(3))):
        gradcheck(f, [leaf(3)])
        gradgradcheck(f, [leaf(3)])


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize(
    "inputs",
    [[], [Tensor(np.ones(2))], [Tensor(np.ones(2, np.float32), requires_grad=True)]],
    ids=["none", "constant", "float32"],
)
def test_inputs_that_cannot_be_checked_are_refused(check: Callable[..., None], inputs: list[Tensor]) -> None:
    with pytest.raises(
        ValueError, match="gradcheck: at least one input must require gradients, and those that do must be float64"
    ):
        check(lambda *xs: F.mul(xs[0], 2.0) if xs else Tensor(1.0), inputs)


def test_the_inputs_are_left_unchanged() -> None:
    x = leaf(3)
    before: Any = x.data.copy()
    gradgradcheck(lambda x: Square()(x), [x])
    np.testing.assert_array_equal(x.data, before)
    assert x.grad is None
    assert x.changes == [0]


def test_a_function_that_calls_grad_itself_can_be_checked() -> None:
    x = Tensor(np.random.default_rng(0).standard_normal(3), requires_grad=True)
    gradgradcheck(lambda x: mg.grad(F.tanh(x).sum(), [x], create_graph=True)[0], [x])
