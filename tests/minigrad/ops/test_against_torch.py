"""Outputs, gradients and second derivatives of every function equal PyTorch's: recorded values, and live where installed.

The points where minigrad differs on purpose are left out of the table: softplus beyond 20, which PyTorch rounds to x, and
binary_cross_entropy with probabilities closer to 0 or 1 than 1e-12, where PyTorch clamps p (1 - p) and not each factor.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from reference import op_cases
from reference.op_cases import CASES, Case, Results, run_minigrad, run_torch

import minigrad as mg
import minigrad.functional as F

RECORDED = Path(op_cases.__file__).parent / "ops.safetensors"
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    return mg.load(RECORDED)


def assert_same(case: Case, ours: Results, theirs: Results) -> None:
    assert ours.keys() == theirs.keys()
    for key, expected in theirs.items():
        assert ours[key].dtype == expected.dtype, (case.name, key)
        largest = float(np.abs(expected).max(initial=0))
        np.testing.assert_allclose(
            ours[key], expected, rtol=1e-12, atol=1e-15 * max(1.0, largest), err_msg=f"{case.name} {key}"
        )


@each_case
def test_values_equal_the_recorded_ones(case: Case, recorded: Results) -> None:
    start = f"{case.name}/"
    theirs = {key.removeprefix(start): a for key, a in recorded.items() if key.startswith(start)}
    assert theirs, "not recorded; run tests/reference/record.py"
    assert_same(case, run_minigrad(case), theirs)


@each_case
def test_values_equal_those_of_an_installed_torch(case: Case) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns while it is imported
        pytest.importorskip("torch")
    assert_same(case, run_minigrad(case), run_torch(case))


@each_case
def test_second_derivatives_of_a_plain_sum_equal_those_of_an_installed_torch(case: Case) -> None:
    """Zeros where the first derivatives are constant. PyTorch has no derivative of most of these."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
    ours = [mg.Tensor(a, requires_grad=a.dtype.kind == "f") for a in case.arrays()]
    theirs = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in case.arrays()]
    xs, ts = [x for x in ours if x.requires_grad], [t for t in theirs if t.requires_grad]
    for g, h in zip(
        mg.grad(case.minigrad(*ours).sum(), xs, create_graph=True),
        torch.autograd.grad(case.torch(torch, *theirs).sum(), ts, create_graph=True),
        strict=True,
    ):
        found = mg.grad(g.sum(), xs, create_graph=True)
        expected = [torch.zeros_like(t) for t in ts]
        if h.requires_grad and case.second:
            expected = torch.autograd.grad(h.sum(), ts, retain_graph=True, materialize_grads=True)
        for a, b in zip(found, expected, strict=True):
            if case.second or not h.requires_grad:
                np.testing.assert_allclose(a.numpy(), b.numpy(force=True), rtol=1e-11, atol=1e-12, err_msg=case.name)


def test_every_function_is_compared_or_left_out_for_a_reason() -> None:
    compared = {case.function for case in CASES}
    assert compared.isdisjoint(op_cases.NOT_COMPARED)
    assert compared | op_cases.NOT_COMPARED.keys() == set(F.__all__)


def test_case_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_recorded_file_is_small() -> None:
    assert RECORDED.stat().st_size < 300_000
