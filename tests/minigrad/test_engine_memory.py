"""A graph keeps only what its backward needs, and is freed at once and without recursion, whatever its depth."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import Op, Tensor
from tests.minigrad.conftest import leaf


class TestDepth:
    def test_a_chain_of_three_hundred_thousand_ops(self) -> None:
        """Forward, backward and release, all without recursion."""
        x = leaf(1.0)
        y = x
        for _ in range(300_000):
            y = y + 1.0
        last = weakref.ref(y)
        (gx,) = mg.grad(y, [x])
        assert (y.item(), gx.item()) == (300_001, 1)
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
    """Disable the garbage collector, so that only reference counts free memory."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def watch(x: Tensor) -> weakref.ref[np.ndarray]:
    """A weak reference to the tensor's array, which gives None once the array is freed."""
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

    def test_values_needed_only_for_the_gradient_of_a_constant_are_not_kept(self) -> None:
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

        class Probe(Op):
            def forward(self, x: np.ndarray) -> np.ndarray:
                return x * 1

            def backward_x(self, g: Tensor) -> Tensor:
                alive_later.append(kept() is not None)
                return g

        x = leaf(1.0, 2.0)
        early = Probe()(x)
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
