"""Where numba keeps the compiled kernels: in one folder for each version of all their sources.

By itself numba compiles a function anew when the text of its own file has changed, but not when a function of another file has
that it calls: after an update it would run half of the old kernels.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numba

SOURCES = Path(__file__).parent


def version_of(sources: Path) -> str:
    """A name for what all files of a folder say now."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources.glob("*.py")))).hexdigest()[:16]


FOLDER = Path(numba.config.CACHE_DIR or SOURCES / "__pycache__") / f"minigrad-{version_of(SOURCES)}"


@contextmanager
def kept_by_version() -> Iterator[None]:
    """Functions that are defined meanwhile are kept in FOLDER; where that cannot be written, in the place of numba's choice."""
    before = numba.config.CACHE_DIR
    if not before and not FOLDER.exists():
        for old in set(FOLDER.parent.glob("minigrad-*")) - {FOLDER}:  # which another process may just have made
            shutil.rmtree(old, ignore_errors=True)
    numba.config.CACHE_DIR = str(FOLDER)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


def is_filled() -> bool:
    """Whether there are compiled kernels on disk, so that the first step will not take some seconds longer."""
    return any(FOLDER.rglob("gemm.*.nbi"))
