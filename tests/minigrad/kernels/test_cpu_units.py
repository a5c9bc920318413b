"""Units are compiled once; threads share all of a unit's work, and nothing is done twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.kernels.cpu import gemm
from minigrad.kernels.cpu.units import add_up, compiled, share, unit


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
    _mark_all(min(threads, numba.config.NUMBA_NUM_THREADS), shares, counts, shares_done)
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


def test_callers_do_not_contain_the_code_of_a_unit() -> None:
    gemm.product(np.ones((70, 70), np.float32), np.ones((70, 70), np.float32))
    if not gemm._product.stats.cache_hits:
        assert all("fmuladd" not in code for code in gemm._product.inspect_llvm().values())


PRODUCT = """
import numpy as np
from minigrad.kernels import cpu
x = np.arange(4900.0).reshape(70, 70)
y = cpu.linear(x, x, None), cpu.leaky_relu(x, 0.5), cpu.sum_axes(np.ones((600, 8)), (0,))
print(float(sum(a.sum() for a in y)))
"""


def test_a_process_that_finds_everything_compiled_computes_the_same(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(root)}
    compiling, loading = (
        subprocess.run([sys.executable, "-c", PRODUCT], capture_output=True, text=True, env=environment) for _ in range(2)
    )
    assert compiling.returncode == 0, compiling.stderr
    assert (loading.returncode, loading.stdout) == (0, compiling.stdout), loading.stderr


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


KERNELS = """
import sys
from minigrad.kernels.cpu.cache import cached_by_version

with cached_by_version():
    import numpy as np
    from minigrad.kernels.cpu.units import compiled, inner, share, unit

    @unit
    def _fill(first, last, x):
        for i in range(first, last):
            x[i] = i

    @inner
    def _fill_all(x):
        share(2, 4, len(x), _fill, (x,))

    @compiled
    def first(x):
        _fill_all(x)

    @compiled
    def second(x):
        _fill_all(x)

x = np.zeros(100)
globals()[sys.argv[1]](x)
print(int(x.sum()))
"""


def test_a_function_compiled_around_one_that_was_loaded_finds_its_units_when_it_is_loaded_itself(tmp_path: Path) -> None:
    """The third process loads only `second`, which was compiled after `_fill_all` had been loaded."""
    (tmp_path / "kernels.py").write_text(KERNELS)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(Path(__file__).parents[3])}
    for function in ("first", "second", "second"):
        command = [sys.executable, str(tmp_path / "kernels.py"), function]
        assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "4950\n"
