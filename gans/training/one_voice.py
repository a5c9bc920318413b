"""Several processes, one voice: rank 0 prints, and an error of all ranks is one sentence."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Iterator

import numpy as np

from minigrad import parallel
from minigrad.arrays.gpu import BackendError

PATIENCE = 5.0  # seconds that a failed rank waits for the others to end, before it ends them


@contextlib.contextmanager
def one_voice(parallel_run: bool, local_norm: bool) -> Iterator[None]:
    """Context of a whole command. A rank that fails alone says why and ends all others."""
    ranks = None
    if parallel_run:
        with contextlib.suppress(BackendError):  # the command says it
            ranks = parallel.start(local_norm)
    if ranks is None:
        yield
        return
    said, code = io.StringIO(), 0
    try:
        with contextlib.ExitStack() as stack:
            if ranks.rank:
                stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
                stack.enter_context(contextlib.redirect_stderr(said))
            yield
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    codes = _codes(ranks, code)
    if code and ranks.rank and (codes is None or not any(codes[: ranks.rank])):
        *_, sentence = said.getvalue().strip().split("\n")
        if sentence:
            print(f"rank {ranks.rank}: {sentence}", file=sys.stderr)
    if codes is None:
        parallel.end_all(ranks, code)
    if code:
        raise SystemExit(code)


def _codes(ranks: parallel.Ranks, code: int) -> list[int] | None:
    """The exit codes of all ranks; None if this one has failed and the others do not get here within a few seconds."""
    codes = np.zeros(ranks.size, np.int64)
    meeting, until = ranks.ending.Iallgather(np.array([code]), codes), time.monotonic() + PATIENCE
    while not meeting.Test():
        if code and time.monotonic() > until:
            return None
        time.sleep(0.01)
    return codes.tolist()
