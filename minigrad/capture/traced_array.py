"""`TracedArray`, the arrays of a step that is being captured, and the part of NumPy that a capture understands.

NumPy consults such an array before it computes anything with it (`__array_ufunc__`, `__array_function__`),
and the program makes the call and notes it. A use that it could not repeat, or would not see, is refused.

Source: NumPy enhancement proposals 13 (`__array_ufunc__`) and 18 (`__array_function__`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigrad.arrays import hooks
from minigrad.tensor import Tensor

# NumPy functions that return one new array or view, of a shape that does not depend on values.
FUNCTIONS = {
    np.all, np.amax, np.amin, np.any, np.argmax, np.argmin, np.argsort, np.around, np.broadcast_to, np.clip, np.concatenate,
    np.copy, np.count_nonzero, np.cumprod, np.cumsum, np.diag, np.diagonal, np.diff, np.dot, np.einsum, np.empty,
    np.empty_like, np.expand_dims, np.flip, np.full, np.full_like, np.hstack, np.inner, np.kron, np.linalg.norm, np.max,
    np.mean, np.median, np.min, np.moveaxis, np.ones, np.ones_like, np.outer, np.pad, np.prod, np.quantile, np.ravel,
    np.repeat, np.reshape, np.roll, np.rot90, np.round, np.lib.stride_tricks.sliding_window_view, np.sort, np.squeeze,
    np.stack, np.std, np.sum, np.swapaxes, np.take, np.take_along_axis, np.tensordot, np.tile, np.trace, np.transpose,
    np.tril, np.triu, np.var, np.vstack, np.where, np.zeros, np.zeros_like,
}  # fmt: skip
QUESTIONS = {np.can_cast, np.iscomplexobj, np.may_share_memory, np.ndim, np.result_type, np.shape, np.shares_memory, np.size}

# Methods of arrays that do the same; those that give values to Python; and attributes that are harmless.
METHODS = {
    "argmax", "argmin", "argsort", "astype", "choose", "copy", "cumprod", "cumsum", "diagonal", "dot", "flatten", "ravel",
    "repeat", "reshape", "round", "take", "trace",
}  # fmt: skip
READINGS = {
    "__bool__", "__complex__", "__contains__", "__float__", "__format__", "__index__", "__int__", "__reduce__", "__repr__",
    "__str__", "item", "tobytes", "tolist",
}  # fmt: skip
HARMLESS = {
    "T", "all", "any", "base", "clip", "ctypes", "dtype", "fill", "flags", "itemsize", "max", "mean", "min", "nbytes", "ndim",
    "prod", "shape", "size", "squeeze", "std", "strides", "sum", "swapaxes", "transpose", "var", "view",
}  # fmt: skip
ALLOWED = METHODS | READINGS | HARMLESS
MAY_RETURN_ITSELF = {np.ndarray.astype, np.broadcast_to, np.squeeze}
KNOWN = FUNCTIONS | QUESTIONS | {np.ndarray.__getitem__, *(getattr(np.ndarray, name) for name in METHODS)}


class Tracer(hooks.Eager):
    """A capture to which traced arrays report. `program.Program` is the one there is."""

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> None:
        raise NotImplementedError

    def ufunc(self, function: Callable[..., Any], inputs: Any, out: Any, options: dict[str, Any]) -> Any:
        raise NotImplementedError

    def function(self, function: Callable[..., Any], args: Any, options: Any) -> Any:
        raise NotImplementedError


def tracer() -> Tracer | None:
    """The capture in progress in this thread."""
    capture = hooks.current()
    return capture if isinstance(capture, Tracer) else None


class TracedArray(np.ndarray):
    """An array of a step that is being captured: everything computed with it is noted."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **options: Any) -> Any:
        if any(isinstance(x, Tensor) for x in inputs):
            return NotImplemented  # `array + tensor` is for the tensor to compute
        program, function = tracer(), getattr(ufunc, method)
        if program is None:
            return function(*_plain(inputs), **({"out": _plain(out)} if out else {}), **_plain(options))
        return program.ufunc(function, inputs, out, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return _any_function(function, args, options)

    def __getattribute__(self, name: str) -> Any:
        if hooks.captures and name not in ALLOWED and not name.startswith("__"):
            hooks.refuse(f"`{name}` of an array is used, which a capture cannot see")
        return super().__getattribute__(name)

    def __setattr__(self, name: str, new: Any) -> None:
        hooks.refuse(f"`{name}` of an array is set, which a capture cannot see")
        super().__setattr__(name, new)

    def __getitem__(self, key: Any) -> Any:
        if any(isinstance(part, np.ndarray) and part.dtype == bool for part in (key if isinstance(key, tuple) else (key,))):
            _value_is_read()  # the number of true elements
        return _any_function(np.ndarray.__getitem__, (self, key), {})

    def __setitem__(self, key: Any, new: Any) -> None:
        if program := tracer():
            program.call(np.ndarray.__setitem__, self, key, new)
        else:
            np.ndarray.__setitem__(*_plain((self, key, new)))

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy(order="K")

    def fill(self, new: Any) -> None:
        self[...] = new


def _method(name: str) -> Callable[..., Any]:
    plain = getattr(np.ndarray, name)
    return lambda self, *args, **options: _any_function(plain, (self, *args), options)


def _reading(name: str) -> Callable[..., Any]:
    plain = getattr(np.ndarray, name)

    def method(self: TracedArray, *args: Any) -> Any:
        _value_is_read()
        return plain(*_plain((self, *args)))

    return method


for _name in METHODS:
    setattr(TracedArray, _name, _method(_name))
for _name in READINGS:
    setattr(TracedArray, _name, _reading(_name))


def _any_function(function: Callable[..., Any], args: Any, options: Any) -> Any:
    program = tracer()
    return function(*_plain(args), **_plain(options)) if program is None else program.function(function, args, options)


def _value_is_read() -> None:
    hooks.refuse("a value is read, which a replay would not do")


def _plain(x: Any) -> Any:
    """Traced arrays as plain ones."""
    return each(lambda a: np.ndarray.view(a, np.ndarray) if type(a) is TracedArray else a, x)


def each(function: Callable[[Any], Any], x: Any) -> Any:
    """Apply the function to x, or to each part of a tuple, list or dictionary."""
    if isinstance(x, tuple | list):
        parts = [each(function, part) for part in x]
        return parts if isinstance(x, list) else type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)  # NamedTuples stay
    if isinstance(x, dict):
        return {key: each(function, part) for key, part in x.items()}
    return function(x)
