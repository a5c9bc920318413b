"""Threads share all of a unit's work, nothing is done twice, and no loop waits for ever."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.kernels.cpu.threads import THREADS, add_up, get_num_threads, set_num_threads, share
from minigrad.kernels.cpu.units import compiled, unit

SEVERAL = pytest.mark.skipif(THREADS < 2, reason="one processor")


@unit
def _mark(first: int, last: int, counts: Any, shares: Any) -> None:
    add_up(shares, 1)
    for i in range(first, last):
        counts[i] += 1


@compiled
def _mark_all(threads: int, shares: int, counts: Any, shares_done: Any) -> None:
    share(threads, shares, len(counts), _mark, (counts, shares_done))


@given(threads=st.integers(1, 4), shares=st.integers(1, 40), count=st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_every_index_is_in_one_share(threads: int, shares: int, count: int) -> None:
    counts, shares_done = np.zeros(count, np.int64), np.zeros(1, np.int64)
    _mark_all(min(threads, THREADS), shares, counts, shares_done)
    np.testing.assert_array_equal(counts, 1)
    assert shares_done[0] == shares


@unit
def _allocate(first: int, last: int, size: int, out: Any) -> None:
    for i in range(first, last):
        out[i] = len(np.empty(size if i == 3 else 1, np.float64))


@compiled
def _allocate_all(threads: int, size: int, out: Any) -> None:
    share(threads, len(out), len(out), _allocate, (size, out))


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_a_share_reaches_the_caller(threads: int) -> None:
    out = np.zeros(8, np.int64)
    _allocate_all(threads, 5, out)
    assert out[3] == 5
    with pytest.raises(MemoryError):
        _allocate_all(threads, 1 << 60, out)


@SEVERAL
def test_thousands_of_loops_share_their_work_whether_the_threads_are_awake_or_asleep() -> None:
    draw, counts, shares_done = random.Random(0), np.zeros(20, np.int64), np.zeros(1, np.int64)
    for _ in range(5000):
        _mark_all(draw.randint(1, THREADS), 8, counts, shares_done)
        if draw.random() < 0.1:
            time.sleep(draw.choice([1e-5, 1e-4, 1e-3]))  # while which the others wait, and fall asleep
    np.testing.assert_array_equal(counts, 5000)
    assert shares_done[0] == 8 * 5000


@unit
def _work_hard(first: int, last: int, sums: Any) -> None:
    total = 0.0
    for i in range(1_000_000 * (last - first)):
        total += np.sqrt(i)
    sums[first] = total


@compiled
def _work_hard_all(threads: int, sums: Any) -> None:
    share(threads, len(sums), len(sums), _work_hard, (sums,))


@SEVERAL
def test_the_threads_do_a_part_of_the_work() -> None:
    """The thread that calls a kernel is busy for less time than the work takes on one thread."""
    deadline = time.monotonic() + 60  # the processors may be busy with something else

    def seconds(threads: int) -> float:
        start = time.thread_time()
        _work_hard_all(threads, np.zeros(40))
        return time.thread_time() - start

    while seconds(2) > 0.7 * seconds(1):
        assert time.monotonic() < deadline


@unit
def _add_roots(first: int, last: int, counts: Any, sums: Any) -> None:
    for i in range(first, last):
        for number in range(counts[i]):
            sums[i] += np.sqrt(number)


@compiled
def _add_all_roots(threads: int, counts: Any, sums: Any) -> None:
    share(threads, len(counts), len(counts), _add_roots, (counts, sums))


@SEVERAL
@pytest.mark.parametrize("counts", [[30_000, 200_000], [200_000, 30_000]])
def test_a_loop_ends_when_all_shares_are_done_however_unequal_they_are(counts: list[int]) -> None:
    expected = np.zeros(2)
    _add_all_roots(1, np.array(counts), expected)
    for _ in range(300):
        sums = np.zeros(2)
        _add_all_roots(2, np.array(counts), sums)
        np.testing.assert_array_equal(sums, expected)


def test_a_system_that_allows_no_more_threads_leaves_the_work_to_one() -> None:
    refused = run(REFUSED)
    assert (refused.stdout, refused.returncode) == (f"{512.0}\n", 0), refused.stderr


REFUSED = """
import threading
import numpy as np
def start(thread):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
from minigrad.kernels import cpu
x = np.ones((512, 512), np.float32)
print(float(cpu.linear(x, x, None)[0, 0]))
"""


def test_the_number_of_threads_is_one_that_there_are() -> None:
    before = get_num_threads()
    for count in (1, THREADS):
        set_num_threads(count)
        assert get_num_threads() == count
    for count in (0, -1, THREADS + 1):
        with pytest.raises(ValueError, match=f"on 1 to {THREADS} threads, not {count}"):
            set_num_threads(count)
    assert get_num_threads() == THREADS
    set_num_threads(before)


TRACED = """
import tracemalloc
import numpy as np
from minigrad.kernels import cpu
x = np.ones((512, 512), np.float32)
tracemalloc.start()
print(float(sum(cpu.linear(x, x, None)[0, 0] for _ in range(50))))
"""


def test_kernels_do_not_wait_for_pythons_lock_while_tracemalloc_traces() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    traced = subprocess.run([sys.executable, "-c", TRACED], capture_output=True, text=True, env=environment, timeout=120)
    assert traced.stdout == f"{50 * 512.0}\n", traced.stderr


def run(program: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "NUMBA_NUM_THREADS": "2"}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=120)


FORKED = """
import os
import threading
import warnings
import numpy as np
from minigrad.kernels import cpu
warnings.simplefilter("ignore")  # Python warns of forks beside threads
x = np.ones((512, 512), np.float32)
cpu.linear(x, x, None)
child = os.fork()
assert [thread.name for thread in threading.enumerate()].count("minigrad") == 1
total = float(sum(cpu.linear(x, x, None)[0, 0] for _ in range(50)))
os.write(1, f"{total}\\n".encode())  # at once, so that the two do not mix
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    forked = run(FORKED)
    assert (forked.stdout, forked.returncode) == (2 * f"{50 * 512.0}\n", 0), forked.stderr


ENDING = """
import threading
import time
import numpy as np
from minigrad.kernels import cpu
x = np.ones((512, 512), np.float32)
def work():
    while True:
        cpu.linear(x, x, None)
        time.sleep(0)  # gives the others a chance to take Python's lock
cpu.linear(x, x, None)
threading.Thread(target=work, daemon=True).start()
"""


@pytest.mark.parametrize("program", [ENDING, ENDING.replace("\nthreading.Thread", "\n0 and threading.Thread")])
def test_a_process_ends_at_once_whether_its_threads_work_or_wait(program: str) -> None:
    start = time.perf_counter()
    ended = run(program)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert time.perf_counter() - start < 60
