"""Several processes, one voice: rank 0 prints, and an error of all ranks is one sentence."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Iterator

from minigrad import parallel
from minigrad.arrays.gpu import BackendError

PATIENCE = 5.0  # seconds in which all ranks meet that end with the same error


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
    said = io.StringIO()
    try:
        with contextlib.ExitStack() as stack:
            if ranks.rank:
                stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
                stack.enter_context(contextlib.redirect_stderr(said))
            yield
    except SystemExit as end:
        if end.code and not _all_end(ranks):
            if ranks.rank:
                *_, sentence = said.getvalue().strip().split("\n")
                if sentence:
                    print(f"rank {ranks.rank}: {sentence}", file=sys.stderr)
            sys.stderr.flush()
            ranks.comm.Abort(end.code if isinstance(end.code, int) else 1)
        raise


def _all_end(ranks: parallel.Ranks) -> bool:
    """Whether all ranks get here within a few seconds."""
    meeting, until = ranks.ending.Ibarrier(), time.monotonic() + PATIENCE
    while not meeting.Test():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
