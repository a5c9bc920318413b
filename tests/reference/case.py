"""`Case`: a function call written for minigrad and for PyTorch, and functions that run it on either side.

Both sides get the same float64 inputs and return the output, the gradients for a fixed cotangent g
(`grad.0`, `grad.1`, ...), and the gradients of <v, gradients> for fixed v, with respect to the inputs
(`second.0`, ...) and to g (`second.g`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg

Maker = Callable[[np.random.RandomState], np.ndarray]
Results = dict[str, np.ndarray]


def thousandths(rng: np.random.RandomState, low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
    """Random multiples of 1/1000, from `low` to `high` thousandths: the same bits on every machine and NumPy version."""
    return rng.randint(low, high, shape) / 1000


def real(*shape: int) -> Maker:
    return lambda rng: thousandths(rng, -2000, 2000, shape)


def positive(*shape: int) -> Maker:
    return lambda rng: thousandths(rng, 200, 2000, shape)


def probability(*shape: int) -> Maker:
    return lambda rng: thousandths(rng, 50, 950, shape)


def integers(high: int, *shape: int) -> Maker:
    return lambda rng: rng.randint(0, high, shape).astype(np.int64)


def mask(*shape: int) -> Maker:
    return lambda rng: rng.randint(0, 2, shape).astype(bool)


def exactly(*values: float) -> Maker:
    return lambda rng: np.array(values, dtype=np.float64)


TIES = (1.0, 3.0, 3.0, -2.0, 3.0)  # largest values, for `exactly`


@dataclass(frozen=True)
class Case:
    """A call of one function of `minigrad.functional`; `torch` is the same call with the torch module and its tensors."""

    function: str
    what: str
    inputs: tuple[Maker, ...]
    minigrad: Callable[..., mg.Tensor]
    torch: Callable[..., Any]
    second: bool = True  # whether second derivatives are compared

    @property
    def name(self) -> str:
        return f"{self.function}/{self.what}"

    def arrays(self) -> list[np.ndarray]:
        rng = self._rng()
        return [make(rng) for make in self.inputs]

    def vector(self, key: str, shape: tuple[int, ...]) -> np.ndarray:
        """The fixed cotangent ("g") or direction ("v.0", ...) of this shape."""
        return thousandths(self._rng(key), -1000, 1000, shape)

    def _rng(self, key: str = "") -> np.random.RandomState:
        return np.random.RandomState(zlib.crc32(f"{self.name} {key}".encode()))


def run_minigrad(case: Case) -> Results:
    inputs = [mg.Tensor(a, requires_grad=a.dtype.kind == "f") for a in case.arrays()]
    out = case.minigrad(*inputs)
    g = mg.Tensor(case.vector("g", out.shape).astype(out.dtype), requires_grad=True)
    checked = {str(i): x for i, x in enumerate(inputs) if x.requires_grad}
    grads = mg.grad(out, list(checked.values()), g, create_graph=True)
    inner = 0 * g.sum()  # so that it depends on something where all gradients are constant
    for i, grad in zip(checked, grads, strict=True):
        inner = inner + (mg.Tensor(case.vector(f"v.{i}", grad.shape)) * grad).sum()
    wanted = {**checked, "g": g}
    seconds = mg.grad(inner, list(wanted.values()))
    return _results(case, out.data, checked, [x.data for x in grads], wanted, [x.data for x in seconds])


def run_torch(case: Case) -> Results:
    import torch

    inputs = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in case.arrays()]
    out = case.torch(torch, *inputs)
    g = torch.tensor(case.vector("g", tuple(out.shape))).to(out.dtype).requires_grad_()
    checked = {str(i): x for i, x in enumerate(inputs) if x.requires_grad}
    grads = torch.autograd.grad(out, list(checked.values()), g, create_graph=True)
    inner = 0 * g.sum()
    for i, grad in zip(checked, grads, strict=True):
        inner = inner + (torch.tensor(case.vector(f"v.{i}", tuple(grad.shape))) * grad).sum()
    wanted = {**checked, "g": g}
    seconds = torch.autograd.grad(inner, list(wanted.values()), materialize_grads=True)
    first, second = [x.detach().numpy() for x in grads], [x.numpy(force=True) for x in seconds]
    return _results(case, out.detach().numpy(), checked, first, wanted, second)


def _results(
    case: Case, out: np.ndarray, checked: dict[str, Any], grads: list, wanted: dict[str, Any], seconds: list
) -> Results:
    named = {"out": out}
    named |= {f"grad.{i}": grad for i, grad in zip(checked, grads, strict=True)}
    if case.second:
        named |= {f"second.{i}": second for i, second in zip(wanted, seconds, strict=True)}
    return named
