"""Where numba caches the compiled kernels: in one folder for each version of all their sources.

By itself, numba recompiles a function when its own file has changed, but not when the file of a
function that it calls has: after an update, old and new kernels would be mixed.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numba

from minigrad.kernels.cpu.vectors import L2_BYTES  # loops are compiled for it

SOURCES = Path(__file__).parent


def version_of(sources: Path) -> str:
    """A hash of the contents of all Python files of a folder."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources.glob("*.py")))).hexdigest()[:16]


FOLDER = Path(numba.config.CACHE_DIR or SOURCES / "__pycache__") / f"minigrad-{version_of(SOURCES)}-{L2_BYTES >> 10}k"


@contextmanager
def cached_by_version() -> Iterator[None]:
    """Cache the functions defined in this context in FOLDER; where numba chooses, if it is read-only."""
    before = numba.config.CACHE_DIR
    if not before and not FOLDER.exists():
        for old in set(FOLDER.parent.glob("minigrad-*")) - {FOLDER}:  # another process may have just created it
            shutil.rmtree(old, ignore_errors=True)
    numba.config.CACHE_DIR = str(FOLDER)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


def is_filled() -> bool:
    """Whether compiled kernels are on disk; otherwise the first step takes some seconds longer."""
    return any(FOLDER.rglob("gemm.*.nbi"))
