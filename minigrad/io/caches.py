"""Folders for caches that no other user can change: compiled kernels are code, and cached data is believed."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import stat
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

WRITE, ENTER = stat.S_IWGRP | stat.S_IWOTH, stat.S_IXGRP | stat.S_IXOTH  # what others may do


def user_cache() -> list[Path]:
    """The platform's folder for this user's caches, such as ~/.cache; an empty list for a user without a home folder."""
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    chosen = Path(os.environ.get(variable, ""))
    if chosen.is_absolute() and sys.platform != "darwin":
        return [chosen]
    try:
        home = Path.home()
    except RuntimeError:  # as in some containers
        return []
    default = {"darwin": "Library/Caches", "win32": "AppData/Local"}
    return [home / default.get(sys.platform, ".cache")]


def private_folder(usual: Sequence[Path], name: str, what: str, to_write: bool = True) -> Path | None:
    """A folder that only this user can change: the first usable one of `usual`, else one in the temporary folder.

    Folders that do not exist are created. The temporary one is `name` with the user's number; if another user holds that
    name, a new one that is deleted at the end of the process. None if there is no place at all. A warning says where the
    `what` are cached if it is none of `usual`. Without `to_write`, a folder that exists need not be writable.
    """
    problems = []
    for folder in [*usual, *_temporary(name)]:
        if problem := _problem(folder, to_write):
            problems.append(f"{folder} {problem}")
            continue
        if folder not in usual:
            _warn(f"The {what} are cached in {folder}", problems)
        return folder
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    except OSError:  # no temporary folder either
        _warn(f"The {what} are not cached", problems)
        return None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _warn(f"The {what} are cached for this run only", problems)
    return folder


def _temporary(name: str) -> list[Path]:
    user = f"-{os.geteuid()}" if hasattr(os, "geteuid") else ""  # on Windows each user has a temporary folder
    try:
        return [Path(tempfile.gettempdir(), name + user)]
    except OSError:
        return []


def _problem(folder: Path, to_write: bool) -> str | None:
    """Why a folder, created if necessary, cannot be a cache."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "geteuid") and _others_can_change(folder):
            return "can be changed by other users"
        if to_write:
            tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"cannot be used ({error.strerror or error})"
    return None


def _others_can_change(folder: Path) -> bool:
    """Whether the folder or anything in it belongs to another user than this one and root, or lets others write."""
    mode = folder.stat().st_mode
    if mode & WRITE:
        return True
    paths = [folder, folder.resolve()]  # the folder may be a link of this user
    for parent, folders, files in os.walk(folder):
        paths += [Path(parent, name) for name in [*folders, *files]]
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # another process has just renamed its temporary file
            status = path.lstat()
            reachable = mode & ENTER and status.st_mode & WRITE and not stat.S_ISLNK(status.st_mode)
            if reachable or status.st_uid not in (0, os.geteuid()):
                return True
    return False


def _warn(outcome: str, problems: Sequence[str]) -> None:
    reason = f", because {' and '.join(problems)}" if problems else ""
    warnings.warn(f"{outcome}{reason}.", RuntimeWarning, stacklevel=3)
