"""Data-parallel training: several processes, the ranks, compute one training step together.

    mpiexec -n 4 python program.py      # the program calls minigrad.parallel.start()

Every rank runs the whole program, on the whole batch, with the same random numbers. Only the
networks' work is shared. A network in training gets its rank's rows of the batch, and what it
returns is put together from the rows of all ranks:

    x (all rows) -> own rows -> network -> all rows -> loss, metrics, the next network's input, ...

So whatever a step computes from outputs (means, a softmax over the batch, a pool of images) is what
a single process computes. The gradient of a network's weight comes from the rank's own rows; an
optimizer sums it over the ranks before its step. Batch normalisation sums its statistics. n ranks
make the step that one makes, up to rounding.

A network in evaluation, `eval()`, is computed whole by each rank, without any exchange. So a rank may
call it when the others do not. What else only one rank does belongs in `alone()`.

Two rules keep a gradient from being counted once for each rank. Weights enter a loss only through calls
of networks (`nn.Module`). And optimizers change only the weights of networks, never their inputs.

Inside a network only batch normalisation and random numbers know of the other ranks' rows:
`mg.randn((len(x), 3))` gives the rank's rows of the whole batch's numbers, and arrays of another length
are the same on all ranks.

MPI exchanges NumPy arrays, NCCL CuPy's. An exchange is a call like any other, so captured steps
contain it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import numpy as np

from minigrad.arrays import backend, hooks
from minigrad.arrays.gpu import BackendError
from minigrad.arrays.layout import axes_in_memory

Array = Any
T = TypeVar("T")
Problem = Exception | KeyboardInterrupt

BUCKET = 1 << 24  # bytes: gradients are copied together and summed in pieces of about this size


class Share(NamedTuple):
    """The rows `start` to `stop` of a batch of `whole` rows."""

    start: int
    stop: int
    whole: int


class Ranks:
    """The processes that train together. `sum_in_place` is all that a training step needs of them.

    Parameters
    ----------
    comm : mpi4py's communicator
    local_statistics : batch normalisation uses the statistics of each rank's own rows
    """

    def __init__(self, comm: Any, local_statistics: bool = False) -> None:
        self.comm, self.local_statistics = comm, local_statistics
        self.ending = comm.Dup()  # where ranks meet that end early, while others may still exchange arrays
        self.rank, self.size = comm.rank, comm.size
        self.share: Share | None = None  # while a network computes its share
        self.exchanges, self.bytes = 0, 0  # so far, in eager and in captured steps
        self._nccl: Any = None

    def sum_in_place(self, x: Array) -> None:
        """Add up a contiguous array over all ranks."""
        if backend.is_gpu(x):
            self._sum_on_gpu(x)
        else:
            hooks.launch(self._sum_on_cpu, x)

    def _sum_on_cpu(self, x: np.ndarray) -> None:
        from mpi4py import MPI

        self._count(x.nbytes)
        self.comm.Allreduce(MPI.IN_PLACE, x)

    def _sum_on_gpu(self, x: Array) -> None:
        """A kernel on the current stream, as all others: a CUDA graph that is being captured contains it."""
        from cupy.cuda import get_current_stream, nccl

        if not nccl.available:
            raise BackendError(
                "ranks with GPUs exchange arrays by NCCL, which CuPy does not find: pip install nvidia-nccl-cu13"
            )
        if self._nccl is None:  # in an eager step: captures come later
            number = self.comm.bcast(nccl.get_unique_id() if self.rank == 0 else None)
            self._nccl = nccl.NcclCommunicator(self.size, number, self.rank)
        kind = {"f": nccl.NCCL_FLOAT32, "d": nccl.NCCL_FLOAT64}[x.dtype.char]
        size = x.nbytes
        hooks.on_host(lambda: self._count(size))
        self._nccl.allReduce(x.data.ptr, x.data.ptr, x.size, kind, nccl.NCCL_SUM, get_current_stream().ptr)

    def _count(self, size: int) -> None:
        self.exchanges += 1
        self.bytes += size

    def sum_gradients(self, gradients: Sequence[Array | None], params: Sequence[Array]) -> list[Array | None]:
        """Each gradient's sum over the ranks, in its parameter's memory layout. What is None stays None.

        The gradients are copied together, so that few large pieces travel.
        """
        summed = list(gradients)
        bucket: list[int] = []
        for i, g in enumerate(gradients):
            if g is None:
                continue
            if bucket and (g.dtype != params[bucket[0]].dtype or sum(params[k].nbytes for k in [*bucket, i]) > BUCKET):
                self._sum_bucket(summed, params, bucket)
                bucket = []
            bucket.append(i)
        if bucket:
            self._sum_bucket(summed, params, bucket)
        return summed

    def _sum_bucket(self, gradients: list[Array | None], params: Sequence[Array], bucket: Sequence[int]) -> None:
        """Replace some gradients by views of one new array with their sums over the ranks."""
        flat = backend.empty((sum(params[i].size for i in bucket),), like=params[bucket[0]])
        end = 0
        for i in bucket:
            p = params[i]
            first, end = end, end + p.size
            axes = axes_in_memory(p) or range(p.ndim)
            view = flat[first:end].reshape([p.shape[a] for a in axes]).transpose(sorted(range(p.ndim), key=axes.__getitem__))
            view[...] = gradients[i]
            gradients[i] = view
        self.sum_in_place(flat)

    @contextlib.contextmanager
    def sharing(self, rows: int) -> Iterator[Share]:
        """Context in which this rank computes its share of a batch."""
        if rows < self.size:
            raise ValueError(f"a batch of {rows} cannot be shared among {self.size} ranks")
        self.share = Share(rows * self.rank // self.size, rows * (self.rank + 1) // self.size, rows)
        try:
            yield self.share
        finally:
            self.share = None

    # --- around the steps: Python objects

    def largest(self, *numbers: int) -> list[int]:
        """The largest of the ranks' numbers, place by place."""
        from mpi4py import MPI

        found = np.array(numbers)
        self.comm.Allreduce(MPI.IN_PLACE, found, MPI.MAX)
        return found.tolist()

    def agree(self, value: object) -> bool:
        """Whether all ranks have the same value."""
        return all(other == value for other in self.comm.allgather(value))

    def raise_one(self, error: Problem | None) -> None:
        """If any rank has an error, raise one on all: a rank's own, or else that of the first rank that has one."""
        errors = [other for other in self.comm.allgather(_sendable(error)) if other is not None]
        if errors:
            raise error or errors[0]


def _sendable(error: Problem | None) -> Problem | None:
    """The error, or its sentence if it is one of those that pickle cannot copy."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


_current: Ranks | None = None


def current() -> Ranks | None:
    """The ranks that train together, or None if this process trains alone."""
    return _current


def start(local_statistics: bool = False) -> Ranks | None:
    """Join the processes that mpiexec has started. With a single one, returns None: it trains alone.

    Call it before the first operation: it divides the machine's processors and GPUs among its ranks.
    BackendError if there is no MPI.
    """
    global _current
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py is there, but no MPI library
        raise BackendError(f"training in parallel needs MPI ({error}): pip install 'minigrad[mpi]'") from error
    comm = MPI.COMM_WORLD
    if _current is not None:
        return _current
    _divide_machine(comm.Split_type(MPI.COMM_TYPE_SHARED))
    if comm.size > 1:
        _current = Ranks(comm, local_statistics)
        sys.excepthook = _on_exception
    return _current


def _on_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What becomes of an exception that ends the program of a rank: the others, who would wait for it, end too."""
    sys.__excepthook__(kind, error, trace)
    if _current:
        end_all(_current, 1)


def end_all(ranks: Ranks, code: int) -> None:
    """End all ranks, when this one has written why to stderr.

    It waits for a second, because mpiexec shows only what it has read from this rank before the ranks end.
    """
    sys.stderr.flush()
    time.sleep(1)
    ranks.comm.Abort(code)


def _divide_machine(local: Any) -> None:
    """Give each rank of this machine its part of the threads, and a GPU."""
    if hasattr(os, "sched_getaffinity"):
        processors = len(set().union(*local.allgather(os.sched_getaffinity(0))))  # mpiexec may have divided them already
    else:
        processors = os.cpu_count() or 1
    os.environ.setdefault("NUMBA_NUM_THREADS", str(max(1, processors // local.size)))
    given = os.environ.get("CUDA_VISIBLE_DEVICES")  # "": the user hides the GPUs; one number: a launcher chose this rank's
    gpus = None if given is None else given.split(",")
    if local.size > 1 and (gpus is None or len(gpus) > 1):
        own = [str(local.rank)] if gpus is None else gpus[local.rank : local.rank + 1]
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(own)


@contextlib.contextmanager
def using(ranks: Ranks | None) -> Iterator[None]:
    """Context in which these ranks train together, or with None each process alone."""
    global _current
    before, _current = _current, ranks
    try:
        yield
    finally:
        _current = before


def alone() -> contextlib.AbstractContextManager[None]:
    """Context in which this rank does all the work itself and exchanges nothing."""
    return using(None)


# --- around the steps: what one rank does, or one after the other; without ranks, plain calls


def tried(work: Callable[[], object]) -> Problem | None:
    """Run `work` on this rank alone. Returns the exception that ended it, to be passed to `Ranks.raise_one`.

    Without ranks it is raised at once.
    """
    if _current is None:
        work()
        return None
    try:
        with alone():
            work()
    except (Exception, KeyboardInterrupt) as error:
        return error
    return None


def on_first(work: Callable[[], T]) -> T | None:
    """Run `work` on rank 0, alone, and return what it returns; None on the others. An exception is raised on all."""
    if (ranks := _current) is None:
        return work()
    done: list[T] = []
    problem = tried(lambda: done.append(work())) if ranks.rank == 0 else None
    met = ranks.comm.Ibarrier()
    problem = problem or tried(lambda: _wait(met))
    met.Wait()
    ranks.raise_one(problem)
    return done[0] if done else None


def _wait(request: Any) -> None:
    """Wait for other ranks outside of MPI, so that Python handles a signal when it comes."""
    while not request.Test():
        time.sleep(0.001)


def from_first(work: Callable[[], T]) -> T:
    """What `work` returns on rank 0, the only one to run it. An exception is raised on all."""
    done = on_first(work)
    return _current.comm.bcast(done) if _current else done  # type: ignore[return-value]


def first_then_others(work: Callable[[], T]) -> T:
    """Run `work` on rank 0, then on all others: what it stores on a shared disk is there for them."""
    done = on_first(work)
    return work() if _current and _current.rank else done  # type: ignore[return-value]
