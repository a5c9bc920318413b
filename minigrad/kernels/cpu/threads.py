"""The threads that share a kernel's work: `share` cuts it up, and a pool of threads takes the shares.

A training step has some hundred parallel loops, many of them no longer than it takes to wake a thread. So a thread
without work busy-waits for the next loop, 0.3 ms or more, before it sleeps. And nobody waits for a thread to begin: the
thread that runs the step takes shares as well, and one that comes late finds none left. So beside other programs, a
thread that has lost its processor delays no more than the share it holds. (numba's own pools do one or the other: those
of OpenMP wait for all of their threads in each loop, and TBB's threads are woken for each.)

The threads agree by a few numbers in memory. A loop is open while TURN is odd:

    the thread that runs the step               the others
        write down the job                          wait until TURN is odd
        TURN += 1                                   VISITORS += 1
        wake those that sleep                       if TURN is still the same: take shares until none is left
        take shares until none is left              VISITORS -= 1
        TURN += 1
        wait until VISITORS = 0

The job is on the first thread's stack. It stays there for as long as another thread may look at it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import platform
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigrad.kernels.cpu.units import call_unit, inner, options, unit

Array = Any

INT: Any = types.intp
VOID: Any = types.void
I32, I64 = ir.IntType(32), ir.IntType(64)
BYTES = ir.IntType(8).as_pointer()

PAUSES = 30_000  # for which a thread busy-waits, at most: 0.3 ms on some processors, 1.5 ms on others
X86, ARM = "llvm.x86.sse2.pause", "llvm.aarch64.hint"
PAUSE = {"x86_64": X86, "AMD64": X86, "aarch64": ARM, "arm64": ARM}.get(platform.machine())
THREADS = numba.config.NUMBA_NUM_THREADS  # at most

# Places in the pool, each in a cache line of its own. PLACES counts the threads that may still take part in the loop. From
# STATES on, each thread has its state, and beside it the lock on which it sleeps.
LINE = 8  # int64
TURN, VISITORS, PLACES, FUNCTION, JOB, STOPPED, STATES = range(0, 7 * LINE, LINE)
AWAKE, ASLEEP, LOCK = 0, 1, 1

_memory = np.zeros(STATES + LINE * (THREADS + 1), np.int64)
_pool = _memory[-_memory.ctypes.data // 8 % LINE :]
_threads: list[threading.Thread] = []
_started = False
_count = THREADS

_python = ctypes.pythonapi  # its locks work without the interpreter's own
_python.PyThread_allocate_lock.restype = ctypes.c_void_p
for _name, _value in (
    ("minigrad_pool", _pool.ctypes.data),
    ("minigrad_acquire", ctypes.cast(_python.PyThread_acquire_lock, ctypes.c_void_p).value),
    ("minigrad_release", ctypes.cast(_python.PyThread_release_lock, ctypes.c_void_p).value),
):
    llvmlite.binding.add_symbol(_name, _value)


def set_num_threads(count: int) -> None:
    """How many threads share the work of the kernels from now on: from 1 to THREADS, as at first."""
    global _count
    if not 1 <= count <= THREADS:
        raise ValueError(f"the kernels run on 1 to {THREADS} threads, not {count} (NUMBA_NUM_THREADS sets the largest number)")
    _count = count


def get_num_threads() -> int:
    """How many threads share a kernel's work.

    One while `tracemalloc` traces: the memory that numba takes in another thread would wait for Python's lock, which the
    thread that waits for the kernel holds. Start it before a step is captured, which keeps its number of threads.
    """
    return 1 if tracemalloc.is_tracing() else _count


@intrinsic
def share(typingctx: Any, threads: Any, shares: Any, count: Any, function: Any, args: Any) -> Any:
    """Cut range(count) into shares, and call unit(first, last, *args) for each: range(first, last) is the share.

    So many threads, at most THREADS, take shares until none is left.
    """
    kinds = INT, INT, *args.types
    function.get_call_type(typingctx, kinds, {})

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        threads, shares, count, _, given = values
        job = cgutils.alloca_once(builder, ir.LiteralStructType([I64, I64, I64, I64, given.type]))
        for field, value in ((_TAKEN, I64(0)), (_FAILED, I64(0)), (_SHARES, shares), (_COUNT, count), (_ARGS, given)):
            builder.store(value, _field(builder, job, field))
        worker, address = _worker(context, builder, function.dispatcher, kinds, job.type), builder.bitcast(job, BYTES)
        helpers = builder.sub(builder.select(builder.icmp_signed("<", threads, shares), threads, shares), I64(1))
        with builder.if_else(builder.icmp_signed(">", helpers, I64(0))) as (several, alone):
            with several:
                start_threads()
                context.active_code_library._reload_init.add(start_threads)
                numbers = [*(builder.ptrtoint(pointer, I64) for pointer in (worker, address)), helpers]
                call_unit(context, builder, _run, [INT] * 3, numbers)
            with alone:
                builder.call(worker, [address])
        failed = builder.load(_field(builder, job, _FAILED))
        with builder.if_then(builder.icmp_signed("!=", failed, I64(0)), likely=False):
            context.call_conv.return_user_exc(builder, MemoryError, ("no memory left for a kernel",))
        return context.get_dummy_value()

    return VOID(INT, INT, INT, function, args), generate


_TAKEN, _FAILED, _SHARES, _COUNT, _ARGS = range(5)  # fields of a job


def _field(builder: Any, job: Any, number: int) -> Any:
    return cgutils.gep_inbounds(builder, job, 0, number)


def _worker(context: Any, builder: Any, function: Any, kinds: Sequence[Any], job_type: Any) -> Any:
    """A C function that takes shares of a job until none is left."""
    worker = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [BYTES]), builder.module.get_unique_name("worker"))
    worker.linkage = "internal"
    entry, head, body, failed, done = (worker.append_basic_block(name) for name in ("entry", "head", "body", "failed", "done"))
    builder = ir.IRBuilder(entry)
    job = builder.bitcast(worker.args[0], job_type)
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


@unit
def _run(function: int, job: int, helpers: int) -> None:
    """Run a job, function(job), on this thread, and on others as they come, at most so many."""
    _set(FUNCTION, function)
    _set(JOB, job)
    _set(PLACES, helpers)
    _add(TURN, 1)
    for helper in range(1, helpers + 1):
        _wake(STATES + LINE * helper)
    _call(function, job)
    _add(TURN, 1)
    waited = 0
    while _get(VISITORS) > 0:
        if waited < PAUSES:
            _pause()
            waited += 1
        else:
            _set(STATES, ASLEEP)
            _sleep(STATES, _get(VISITORS) == 0)


@numba.njit(nogil=True, **options)
def _work(state: int) -> None:
    """What each other thread does until the process ends.

    If it has busy-waited for nothing, other programs may need its processor. So it does so no more at first, and then a
    little longer after each loop.
    """
    seen, waited, limit = 0, 0, PAUSES
    while not _get(STOPPED):
        turn = _get(TURN)
        if turn % 2 == 1 and turn != seen:
            _add(VISITORS, 1)
            if _get(TURN) == turn and _add(PLACES, -1) > 0:
                _call(_get(FUNCTION), _get(JOB))
            if _add(VISITORS, -1) == 1:
                _wake(STATES)
            seen, waited, limit = turn, 0, min(limit + PAUSES // 16, PAUSES)
        elif waited < limit:
            _pause()
            waited += 1
        else:
            _set(state, ASLEEP)
            _sleep(state, _get(STOPPED) != 0 or _get(TURN) != turn)
            waited, limit = 0, 0
    while True:
        _set(state, ASLEEP)
        _acquire(_get(state + LOCK))


@inner
def _sleep(state: int, too_late: bool) -> None:
    """Sleep until woken, unless it is too late: what came before the thread's state was ASLEEP wakes nobody."""
    if not (too_late and _change(state, ASLEEP, AWAKE)):
        _acquire(_get(state + LOCK))


@inner
def _wake(state: int) -> None:
    """Wake a thread if it sleeps."""
    if _get(state) == ASLEEP and _change(state, ASLEEP, AWAKE):
        _release(_get(state + LOCK))


def start_threads() -> None:
    """Start the threads, once: before the first kernel runs that shares work."""
    global _started
    if _started:
        return
    _started = True
    states = range(STATES, STATES + LINE * THREADS, LINE)
    for state in states:
        lock = _python.PyThread_allocate_lock()
        _python.PyThread_acquire_lock(ctypes.c_void_p(lock), 1)
        _pool[state + LOCK] = lock
    if not _work.overloads:  # a forked process would wait for numba's compiler, which another thread may have used
        _work.compile((INT,))
    with contextlib.suppress(RuntimeError):  # the system allows no more threads: those that there are do the work
        for state in states[1:]:
            thread = threading.Thread(target=_work, args=(state,), name="minigrad", daemon=True)
            thread.start()
            _threads.append(thread)


@atexit.register
def _stop_threads() -> None:
    """No thread may run compiled code while Python ends. It stays asleep: to return, it would need Python's lock."""
    _pool[STOPPED] = 1
    deadline = time.monotonic() + 1  # a thread may not get a processor
    for number in range(1, len(_threads) + 1):
        while _pool[STATES + LINE * number] == AWAKE and time.monotonic() < deadline:
            pass


def _start_again() -> None:
    """In a forked process, which has none of the threads."""
    global _started
    _pool[:] = 0
    _threads.clear()
    if _started:
        _started = False
        start_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_again)


# What compiled functions need, and numba has no words for. All accesses to the pool are sequentially consistent.


def _instructions(signature: Any, build: Callable[..., Any]) -> Any:
    """An intrinsic whose instructions `build` generates, given a builder and the arguments."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        result = build(builder, *args)
        return context.get_dummy_value() if signature.return_type == VOID else result

    return signature, generate


def _address(builder: Any, place: Any) -> Any:
    """The address of a number of the pool."""
    pool = builder.module.globals.get("minigrad_pool") or ir.GlobalVariable(builder.module, I64, "minigrad_pool")
    return builder.gep(pool, [place])


def _function(builder: Any, name: str, result: Any, *parameters: Any) -> Any:
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, parameters), name)


@intrinsic
def _get(typingctx: Any, place: Any) -> Any:
    return _instructions(INT(INT), lambda b, i: b.load_atomic(_address(b, i), "seq_cst", 8))


@intrinsic
def _set(typingctx: Any, place: Any, value: Any) -> Any:
    return _instructions(VOID(INT, INT), lambda b, i, x: b.atomic_rmw("xchg", _address(b, i), x, "seq_cst"))


@intrinsic
def _add(typingctx: Any, place: Any, value: Any) -> Any:
    """Add to a number of the pool, and return what it was."""
    return _instructions(INT(INT, INT), lambda b, i, x: b.atomic_rmw("add", _address(b, i), x, "seq_cst"))


@intrinsic
def _change(typingctx: Any, place: Any, old: Any, new: Any) -> Any:
    """Change a number of the pool if it is still the old one; whether it was."""

    def build(builder: Any, place: Any, old: Any, new: Any) -> Any:
        return builder.extract_value(builder.cmpxchg(_address(builder, place), old, new, "seq_cst", "seq_cst"), 1)

    result: Any = types.boolean
    return _instructions(result(INT, INT, INT), build)


@intrinsic
def _call(typingctx: Any, function: Any, job: Any) -> Any:
    """function(job), given as addresses."""

    def build(builder: Any, function: Any, job: Any) -> None:
        kind = ir.FunctionType(ir.VoidType(), [BYTES])
        builder.call(builder.inttoptr(function, kind.as_pointer()), [builder.inttoptr(job, BYTES)])

    return _instructions(VOID(INT, INT), build)


@intrinsic
def _pause(typingctx: Any) -> Any:
    """Let the processor wait for a moment."""

    def build(builder: Any) -> None:
        if PAUSE:
            args = [I32(1)] if PAUSE == ARM else []
            builder.call(_function(builder, PAUSE, ir.VoidType(), *(x.type for x in args)), args)

    return _instructions(VOID(), build)


@intrinsic
def _acquire(typingctx: Any, lock: Any) -> Any:
    """Sleep until a lock is free, and take it."""

    def build(builder: Any, lock: Any) -> None:
        builder.call(_function(builder, "minigrad_acquire", I32, I64, I32), [lock, I32(1)])

    return _instructions(VOID(INT), build)


@intrinsic
def _release(typingctx: Any, lock: Any) -> Any:
    def build(builder: Any, lock: Any) -> None:
        builder.call(_function(builder, "minigrad_release", ir.VoidType(), I64), [lock])

    return _instructions(VOID(INT), build)


@intrinsic
def add_up(typingctx: Any, counter: Any, number: Any) -> Any:
    """counter[0] += number, for an array of ints that several threads add to."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = context.make_array(counter)(context, builder, args[0]).data
        value = context.cast(builder, args[1], signature.args[1], counter.dtype)
        builder.atomic_rmw("add", address, value, "monotonic")
        return context.get_dummy_value()

    return VOID(counter, INT), generate
