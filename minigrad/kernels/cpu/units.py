"""Compiled units: functions that LLVM compiles once, and threads that share their work.

numba copies a compiled function into every function that calls it, so that LLVM can inline it, and
compiles it there again; a `prange` adds three more copies. For the kernels that is most of the time
they take to compile. A unit is not copied: its callers contain its name only. When a caller is
compiled, or loaded from numba's cache, its units are compiled or loaded first.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any, NamedTuple

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

Array = Any

_options: Any = {"cache": True, "error_model": "numpy", "no_cfunc_wrapper": True}
compiled = numba.njit(**_options)  # how all kernels are compiled
inner = numba.njit(no_cpython_wrapper=True, **_options)  # those that only kernels call
I64 = ir.IntType(64)
BYTES = ir.IntType(8).as_pointer()

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


def thread_count() -> int:
    """How many threads share a kernel's work.

    One while `tracemalloc` traces: the memory that numba takes in another thread would wait for Python's lock, which the
    thread that waits for the kernel holds. Start it before a step is captured, which keeps its number of threads.
    """
    return 1 if tracemalloc.is_tracing() else numba.get_num_threads()


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


@intrinsic
def share(typingctx: Any, threads: Any, shares: Any, count: Any, function: Any, args: Any) -> Any:
    """Cut range(count) into shares, and call unit(first, last, *args) for each: range(first, last) is the share.

    Threads take shares until none is left, so that a thread that has lost its processor to another
    program leaves the rest to the others.
    """
    kinds = types.intp, types.intp, *args.types
    function.get_call_type(typingctx, kinds, {})

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        threads, shares, count, _, given = values
        job = cgutils.alloca_once(builder, ir.LiteralStructType([I64, I64, I64, I64, given.type]))
        for field, value in ((_TAKEN, I64(0)), (_FAILED, I64(0)), (_SHARES, shares), (_COUNT, count), (_ARGS, given)):
            builder.store(value, _field(builder, job, field))
        worker, nothing = _worker(context, builder, function.dispatcher, kinds, job.type), ir.Constant(BYTES, None)
        with builder.if_else(builder.icmp_signed(">", threads, I64(1))) as (several, alone):
            with several:
                start_threads()
                context.active_code_library._reload_init.add(start_threads)
                kind = ir.FunctionType(ir.VoidType(), [BYTES] * 5 + [I64] * 3)
                parallel_for = cgutils.get_or_insert_function(builder.module, kind, "numba_parallel_for")
                size = cgutils.alloca_once_value(builder, threads)
                pointers = [builder.bitcast(x, BYTES) for x in (worker, size, size, size, job)]
                builder.call(parallel_for, [*pointers, I64(0), I64(0), threads])
            with alone:
                builder.call(worker, [nothing, nothing, nothing, builder.bitcast(job, BYTES)])
        failed = builder.load(_field(builder, job, _FAILED))
        with builder.if_then(builder.icmp_signed("!=", failed, I64(0)), likely=False):
            context.call_conv.return_user_exc(builder, MemoryError, ("no memory left for a kernel",))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, function, args), generate


_TAKEN, _FAILED, _SHARES, _COUNT, _ARGS = range(5)  # fields of a job


def _field(builder: Any, job: Any, number: int) -> Any:
    return cgutils.gep_inbounds(builder, job, 0, number)


def _worker(context: Any, builder: Any, function: Any, kinds: Sequence[Any], job_type: Any) -> Any:
    """What each thread runs: a C function that takes shares of a job. Its signature is that of NumPy's loops."""
    kind = ir.FunctionType(ir.VoidType(), [BYTES] * 4)
    worker = ir.Function(builder.module, kind, builder.module.get_unique_name("worker"))
    worker.linkage = "internal"
    entry, head, body, failed, done = (worker.append_basic_block(name) for name in ("entry", "head", "body", "failed", "done"))
    builder = ir.IRBuilder(entry)
    job = builder.bitcast(worker.args[3], job_type)
    shares, count, args = (builder.load(_field(builder, job, field)) for field in (_SHARES, _COUNT, _ARGS))
    builder.branch(head)
    builder.position_at_end(head)
    number = builder.atomic_rmw("add", _field(builder, job, _TAKEN), I64(1), "monotonic")
    builder.cbranch(builder.icmp_signed("<", number, shares), body, done)
    builder.position_at_end(body)
    bounds = [builder.sdiv(builder.mul(count, n), shares) for n in (number, builder.add(number, I64(1)))]
    status = call_unit(context, builder, function, kinds, [*bounds, *cgutils.unpack_tuple(builder, args)])
    builder.cbranch(status.is_error, failed, head)
    builder.position_at_end(failed)
    builder.atomic_rmw("or", _field(builder, job, _FAILED), I64(1), "monotonic")
    builder.branch(done)
    builder.position_at_end(done)
    builder.ret_void()
    return worker


def start_threads() -> None:
    numba.get_num_threads()  # also makes `numba_parallel_for` known to LLVM


@intrinsic
def add_up(typingctx: Any, counter: Any, number: Any) -> Any:
    """counter[0] += number, for an array of ints that several threads add to."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = context.make_array(counter)(context, builder, args[0]).data
        value = context.cast(builder, args[1], signature.args[1], counter.dtype)
        builder.atomic_rmw("add", address, value, "monotonic")
        return context.get_dummy_value()

    return types.void(counter, types.intp), generate
