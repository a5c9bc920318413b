"""Where files are cached that can be downloaded or drawn again."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path


def cache_folder(data_set: str) -> Path:
    """The cache folder of a data set. It may not exist yet.

    It is $MINIGRAD_CACHE/DATA_SET if that variable is set, else minigrad/DATA_SET in the platform's
    cache folder, such as ~/.cache.
    """
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
    except RuntimeError:  # a user without a home folder, as in some containers
        return Path(tempfile.gettempdir())
    default = {"darwin": "Library/Caches", "win32": "AppData/Local"}
    return home / default.get(sys.platform, ".cache")


def drawn_version(*patterns: str) -> str:
    """A hash of the source files in `drawn` that match the patterns.

    It is part of the names of cached images, so images drawn by older code are not reused.
    """
    digest = hashlib.md5(usedforsecurity=False)
    folder = Path(__file__).with_name("drawn")
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]
