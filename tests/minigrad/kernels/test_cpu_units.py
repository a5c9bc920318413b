"""Units are compiled once, and found again by processes that load what calls them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from minigrad.kernels.cpu import gemm


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


KERNELS = """
import sys
from minigrad.kernels.cpu.cache import cached_by_version

with cached_by_version():
    import numpy as np
    from minigrad.kernels.cpu.threads import share
    from minigrad.kernels.cpu.units import compiled, inner, unit

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
