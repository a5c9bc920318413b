"""The settings for the whole process: they take effect, and can be turned off."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (1_000_000 << 10, resource.RLIM_INFINITY))
import numpy as np
import minigrad
from minigrad.kernels import cpu
x = np.ones((64, 64), np.float32)
print(cpu.linear(x, x, None).sum())
"""

FLAGS_OF_AN_ARRAY = """
import minigrad
import numpy as np

place = np.ones(1 << 18, np.float32).ctypes.data
inside = False
for line in open("/proc/self/smaps"):
    first, _, rest = line.partition(" ")
    if "-" in first:
        begin, end = (int(x, 16) for x in first.split("-"))
        inside = begin <= place < end
    elif inside and first == "VmFlags:":
        print("hg" in rest.split())
"""


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux says which memory may be in huge pages")
@pytest.mark.parametrize("tuning", [True, False])
def test_an_array_of_a_megabyte_is_where_huge_pages_are_allowed(tuning: bool) -> None:
    environment = {**os.environ, "MINIGRAD_TUNING": str(int(tuning))}
    done = subprocess.run([sys.executable, "-c", FLAGS_OF_AN_ARRAY], capture_output=True, text=True, env=environment)
    assert not done.returncode, done.stderr
    if done.stdout:  # else this kernel does not tell the flags
        assert done.stdout.strip() == str(tuning)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have other limits")
def test_a_process_that_may_have_a_gigabyte_of_addresses_keeps_them_for_its_libraries() -> None:
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.returncode) == (f"{64.0**3}\n", 0), done.stderr
