"""Compiled units: functions that LLVM compiles once.

numba copies a compiled function into every function that calls it, so that LLVM can inline it, and
compiles it there again; a `prange` adds three more copies. For the kernels that is most of the time
they take to compile. A unit is not copied: its callers contain its name only. When a caller is
compiled, or loaded from numba's cache, its units are compiled or loaded first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import llvmlite.binding
import numba
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

Array = Any

options: Any = {"cache": True, "error_model": "numpy", "no_cfunc_wrapper": True}
compiled = numba.njit(**options)  # how all kernels are compiled
inner = numba.njit(no_cpython_wrapper=True, **options)  # those that only kernels call

_functions: dict[str, Any] = {}  # name -> what numba compiled


class _Unit(NamedTuple):
    """A function compiled for arguments of some types."""

    name: str
    types: tuple[Any, ...]

    def __call__(self) -> None:
        """Make it known to LLVM by its name. numba calls this before it loads a caller from its cache."""
        if llvmlite.binding.address_of_symbol(self.symbol) is None:
            function = _functions[self.name]
            function.compile(self.types)
            result = function.overloads[self.types]
            address = result.library.get_pointer_to_function(result.fndesc.llvm_func_name)
            llvmlite.binding.add_symbol(self.symbol, address)

    @property
    def symbol(self) -> str:
        return f"{self.name}{self.types}"


def unit(body: Any) -> Any:
    """Compile a function without a result as a unit, for `call` and `share`."""
    function = inner(body)
    _functions[_name(function)] = function
    return function


def _name(function: Any) -> str:
    return f"{function.py_func.__module__}.{function.py_func.__qualname__}"


def call_unit(context: Any, builder: Any, function: Any, kinds: Sequence[Any], args: Sequence[Any]) -> Any:
    """Generate a call of a unit; returns numba's status: whether it raised an exception."""
    needed = _Unit(_name(function), tuple(kinds))
    needed()
    context.active_code_library._reload_init.add(needed)
    kind = context.call_conv.get_function_type(types.none, kinds)
    callee = cgutils.get_or_insert_function(builder.module, kind, needed.symbol)
    return context.call_conv.call_function(builder, callee, types.none, kinds, args)[0]


@intrinsic
def call(typingctx: Any, function: Any, args: Any) -> Any:
    """Call a unit with a tuple of arguments."""
    kinds = [types.unliteral(kind) for kind in args.types]
    function.get_call_type(typingctx, kinds, {})

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        typed = zip(cgutils.unpack_tuple(builder, values[1]), args.types, kinds, strict=True)
        given = [context.cast(builder, value, kind, plain) for value, kind, plain in typed]
        status = call_unit(context, builder, function.dispatcher, kinds, given)
        with builder.if_then(status.is_error, likely=False):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.void(function, args), generate
