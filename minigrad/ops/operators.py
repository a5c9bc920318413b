"""Gives `Tensor` its operators and methods: each is an op, and the ops need `Tensor`, so they are put there afterwards."""

from __future__ import annotations

from typing import Any

from minigrad import engine
from minigrad.ops import elementwise, linear, reduce, shape
from minigrad.tensor import Tensor


def _matmul(a: Tensor, b: Any) -> Tensor:
    return linear.matmul(a, b if isinstance(b, Tensor) else Tensor(b))


OPERATORS: dict[str, Any] = {
    "__add__": elementwise.add,
    "__radd__": elementwise.add,
    "__sub__": elementwise.sub,
    "__rsub__": lambda x, y: elementwise.sub(y, x),
    "__mul__": elementwise.mul,
    "__rmul__": elementwise.mul,
    "__truediv__": elementwise.div,
    "__rtruediv__": lambda x, y: elementwise.div(y, x),
    "__pow__": elementwise.pow,
    "__rpow__": lambda x, y: elementwise.pow(y, x),
    "__matmul__": _matmul,
    "__rmatmul__": lambda x, y: linear.matmul(Tensor(y), x),
    "__neg__": elementwise.neg,
    "__abs__": elementwise.abs,
    "__getitem__": shape.index,
    "T": property(shape.transpose),
    "sum": reduce.sum,
    "mean": reduce.mean,
    "var": reduce.var,
    "max": reduce.max,
    "min": reduce.min,
    "reshape": shape.reshape,
    "transpose": shape.transpose,
    "flatten": shape.flatten,
    "astype": shape.astype,
    "backward": engine.backward,
}

for _name, _function in OPERATORS.items():
    setattr(Tensor, _name, _function)
