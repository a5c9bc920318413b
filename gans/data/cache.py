"""Where files are kept that can be made or fetched again."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path


def cache_folder(data_set: str) -> Path:
    """The folder for a data set's files: $MINIGRAD_CACHE/NAME, or in the platform's usual place. It need not exist."""
    if chosen := os.environ.get("MINIGRAD_CACHE"):
        return Path(chosen, data_set)
    return _platform_cache() / "minigrad" / data_set


def _platform_cache() -> Path:
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    chosen = Path(os.environ.get(variable, ""))
    if chosen.is_absolute() and sys.platform != "darwin":
        return chosen
    try:
        home = Path.home()
    except RuntimeError:  # a user without a home, as in some containers
        return Path(tempfile.gettempdir())
    usual = {"darwin": "Library/Caches", "win32": "AppData/Local"}
    return home / usual.get(sys.platform, ".cache")


def drawn_version(*patterns: str) -> str:
    """Changes with the sources in `drawn` that match, so that what an older version of them drew is not taken for theirs."""
    digest = hashlib.md5(usedforsecurity=False)
    folder = Path(__file__).with_name("drawn")
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]
