"""The products that are timed are those of the steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from benchmarks.cases import CASES
from benchmarks.measure import products, watch
from benchmarks.measure.floor import NumPy
from benchmarks.settings import Settings
from minigrad.kernels import cpu


@pytest.mark.parametrize("name", ["mnist_gan", "dcgan_28"])
def test_the_products_of_a_step_have_its_arithmetic(name: str) -> None:
    trainer = replace(CASES[name], batch_size=2).trainer()
    with watch.watching(cpu) as calls:
        trainer.step(*(mg.Tensor(np.zeros(shape, np.float32)) for shape in trainer.batch_shapes))
    shapes = [(products.shape_of(call), watch.flops(call)) for call in calls]
    assert sum(flops > 0 for _, flops in shapes) > 10
    for shape, flops in shapes:
        m, k, n = shape or (0, 0, 0)
        assert flops == 2 * m * k * n


class Side:
    """A worker that answers with a time and notes what it is asked."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.asked = seconds, []  # type: ignore[var-annotated]

    def ask(self, method: str, **arguments: Any) -> float:
        self.asked.append((method, arguments))
        return self.seconds


def test_a_product_that_two_cases_share_is_timed_once() -> None:
    sides: Any = {(1, "minigrad"): Side(2.0), (1, "NumPy"): Side(3.0)}
    timer = products.ProductTimer(sides)
    timer.add("first", {(2, 3, 4): 5})
    asked = len(sides[1, "NumPy"].asked)
    rows = timer.add("second", {(2, 3, 4): 6})
    assert len(sides[1, "NumPy"].asked) == asked
    assert [row["order"] for row in rows] == list(products.ORDERS)
    assert rows[0]["seconds"] == {"1": {"minigrad": 2.0, "NumPy": 3.0}}
    assert rows[0]["cases"] == {"first": 5, "second": 6}


def test_each_order_is_timed_on_operands_of_that_order() -> None:
    side = NumPy(Settings(threads=1))
    seen: list[tuple[bool, bool]] = []
    side.product = lambda a, b, out: seen.append((a.flags.c_contiguous, b.flags.c_contiguous))  # type: ignore[method-assign]
    side.prepare(3, 4, 5)
    del seen[:]
    for order in products.ORDERS:
        side.actions[order]()
    assert seen == [(True, True), (True, False), (False, True)]


@pytest.mark.parametrize("text", ["axb", "1x2", "0x1x1", "1x2x3x4", "-1x2x3"])
def test_a_wrong_shape_is_refused_in_a_sentence(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        products.main(["--", text])
    assert f"{text!r} is not of the form MxKxN" in capsys.readouterr().err
