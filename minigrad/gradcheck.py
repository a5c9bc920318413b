"""Gradient checks: does the backward of a function compute the derivative of its forward?

The derivative along a direction v is (f(x + h v) - f(x - h v)) / 2h, up to an error of order h^2. For a
cotangent g, backward computes the vector whose inner product with any v is <g, df(v)>. So for random g and
v the two numbers

    <g, (f(x + h v) - f(x - h v)) / 2h>   and   <backward(g), v>

must agree. One random direction tests all elements at once; it is very unlikely to miss a large error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from minigrad.arrays.backend import array_module, zeros_like
from minigrad.engine import grad
from minigrad.ops.movement import concatenate, reshape
from minigrad.tensor import Array, Tensor

Function = Callable[..., Tensor]


class GradcheckError(AssertionError):
    """Backward and finite differences disagree; the message says for which input and by how much."""


def gradcheck(
    f: Function, inputs: Tensor | Sequence[Tensor], h: float = 1e-6, tolerance: float = 1e-6, seed: int = 0
) -> Literal[True]:
    """Compare the gradients of `f(*inputs)` with finite differences.

    Returns True, so that it can be asserted.

    Parameters
    ----------
    f : function of tensors that returns one tensor
    inputs : float64 tensors, or one; those that require gradients are checked, one at a time
    h : step of the finite differences, whose error is of order h^2 + 1e-16 / h
    tolerance : allowed difference, relative to the norms of the vectors whose inner products are compared

    Raises
    ------
    GradcheckError if they disagree
    """
    rng = np.random.default_rng(seed)
    inputs, checked = _checked("gradcheck", inputs)
    out = f(*inputs)
    g = _normal(rng, out)
    gradients = _gradients(out, [inputs[i] for i in checked], g, create_graph=False)
    for i, gradient in zip(checked, gradients, strict=True):
        x = inputs[i]
        if gradient.shape != x.shape or gradient.dtype != x.dtype:
            raise GradcheckError(f"input {i} is {x.shape} {x.dtype}, its gradient {gradient.shape} {gradient.dtype}")
        v = _normal(rng, x)
        change = (_shifted(f, inputs, i, h * v) - _shifted(f, inputs, i, -h * v)) / (2 * h)
        numeric, analytic = float((g * change).sum()), float((gradient.data * v).sum())
        scale = 1 + _norm(g) * _norm(change) + _norm(gradient.data) * _norm(v)
        if not abs(numeric - analytic) <= tolerance * scale:
            raise GradcheckError(f"input {i} {x.shape}: finite differences give {numeric:.9g}, backward gives {analytic:.9g}")
    return True


def gradgradcheck(
    f: Function, inputs: Tensor | Sequence[Tensor], h: float = 1e-6, tolerance: float = 1e-6, seed: int = 0
) -> Literal[True]:
    """Compare second derivatives with finite differences: `gradcheck` of the function (g, inputs) -> gradients.

    Takes the same arguments, returns and raises the same. The gradients of all inputs are joined into one vector.
    """
    rng = np.random.default_rng(seed + 1)
    inputs, checked = _checked("gradgradcheck", inputs)
    out = f(*inputs)
    cotangent = Tensor(_normal(rng, out), requires_grad=True)

    def gradients(cotangent: Tensor, *xs: Tensor) -> Tensor:
        parts = _gradients(f(*xs), [xs[i] for i in checked], cotangent, create_graph=True)
        return concatenate([reshape(part, (part.size,)) for part in parts])

    return gradcheck(gradients, [cotangent, *inputs], h, tolerance, seed)


def _checked(caller: str, inputs: Tensor | Sequence[Tensor]) -> tuple[Sequence[Tensor], list[int]]:
    """The inputs as a sequence, and which of them require gradients."""
    inputs = [inputs] if isinstance(inputs, Tensor) else inputs
    checked = [i for i, x in enumerate(inputs) if x.requires_grad]
    if not checked or any(inputs[i].dtype != np.float64 for i in checked):
        raise ValueError(f"{caller}: at least one input must require gradients, and those that do must be float64")
    return inputs, checked


def _gradients(out: Tensor, xs: Sequence[Tensor], g: Array | Tensor, create_graph: bool) -> list[Tensor]:
    """`grad`, with gradients of zero if the function does not depend on its inputs."""
    if not out.requires_grad:
        return [Tensor(zeros_like(x.data)) for x in xs]
    return grad(out, xs, g if isinstance(g, Tensor) else Tensor(g), create_graph)


def _shifted(f: Function, inputs: Sequence[Tensor], i: int, by: Array) -> Array:
    moved = [Tensor(x.data + by if j == i else x.data, x.requires_grad) for j, x in enumerate(inputs)]
    return f(*moved).data


def _normal(rng: np.random.Generator, like: Tensor) -> Array:
    return array_module(like.data).asarray(rng.standard_normal(like.shape))


def _norm(x: Array) -> float:
    return float((x * x).sum()) ** 0.5
