"""Each kernel package has the functions of `interface.Kernels`, under the same names and with the same parameters.

mypy checks the types, but not the names of parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType

import cuda_emulator
import fake_cupy
import pytest

from minigrad.arrays import backend
from minigrad.kernels import cpu, reference
from minigrad.kernels.interface import Kernels

CONTRACT = {name: f for name, f in vars(Kernels).items() if inspect.isfunction(f) and not name.startswith("_")}


def parameters(function: Callable) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def check(kernels: ModuleType) -> None:
    assert set(kernels.__all__) == set(CONTRACT)
    for name, declared in CONTRACT.items():
        assert parameters(getattr(kernels, name)) == parameters(declared), name


@pytest.mark.parametrize("kernels", [reference, cpu], ids=lambda module: module.__name__)
def test_functions_and_parameters_are_those_of_the_contract(kernels: ModuleType) -> None:
    check(kernels)


def test_functions_and_parameters_on_the_gpu_are_those_of_the_contract() -> None:
    if reason := cuda_emulator.why_not():
        pytest.skip(reason)
    with fake_cupy.installed():
        check(backend.kernels_named("cupy"))
