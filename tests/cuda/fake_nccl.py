"""The stand-in's `cupy.cuda.nccl`: ranks exchange over MPI, on the memory of stand-in arrays."""

from __future__ import annotations

import ctypes

import numpy as np
from fake_cuda import current_stream, launch

from minigrad import parallel

available = True
NCCL_SUM, NCCL_FLOAT32, NCCL_FLOAT64 = 0, 7, 8
TYPES = {NCCL_FLOAT32: ctypes.c_float, NCCL_FLOAT64: ctypes.c_double}


def get_unique_id() -> tuple[int, ...]:
    return (0,) * 128


class NcclCommunicator:
    """The ranks that train when it is made. A graph that is being captured contains its exchanges."""

    def __init__(self, size: int, number: tuple[int, ...], rank: int) -> None:
        ranks = parallel.current()
        assert ranks
        assert (size, len(number), rank) == (ranks.size, 128, ranks.rank)
        self.comm = ranks.comm

    def allReduce(self, sent: int, received: int, count: int, kind: int, op: int, stream: int) -> None:
        from mpi4py import MPI

        assert sent == received
        assert op == NCCL_SUM
        assert stream == current_stream().ptr
        memory = np.ctypeslib.as_array((TYPES[kind] * count).from_address(sent))
        launch(lambda: self.comm.Allreduce(MPI.IN_PLACE, memory))
