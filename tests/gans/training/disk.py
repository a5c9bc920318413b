"""A disk that fails: the run of a tiny GAN is killed, or gets an error, at any of the events by which it changes files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from minigrad.io import files

EVENTS = "open", "unlink", "replace", "mkdir", "fsync"  # and "write"


class Killed(BaseException):
    """The process is gone: nothing that it does from now on reaches the disk."""


class Disk:
    """Counts the events in a folder in `log`, and ends some of them.

    At event number `fatal` half of a write, or nothing else, happens. Then `failure` is raised, at all later events too if it
    is `Killed`: a killed process cannot clean up.
    """

    def __init__(self, folder: Path, fatal: int = -1, failure: BaseException | None = None) -> None:
        self.folder, self.fatal, self.failure = str(folder), fatal, failure
        self.log: list[tuple[str, str]] = []
        self.plain: dict[str, Any] = {name: getattr(os, name) for name in EVENTS}
        self.opened = files.opened

    def event(self, kind: str, name: str) -> bool:
        """Count an event. Returns whether it fails."""
        self.log.append((kind, os.path.relpath(name, self.folder)))
        number = len(self.log) - 1
        return self.failure is not None and (number == self.fatal or (number > self.fatal and isinstance(self.failure, Killed)))

    def replacement(self, kind: str) -> Callable[..., Any]:
        def call(first: Any, *more: Any, **named: Any) -> Any:
            name = (
                os.readlink(f"/proc/self/fd/{first}") if kind == "fsync" else os.fspath(more[0] if kind == "replace" else first)
            )
            idle = kind == "open" and not more[0] & (os.O_WRONLY | os.O_RDWR)
            idle = idle or (kind in ("mkdir", "unlink") and os.path.lexists(name) == (kind == "mkdir"))
            if str(name).startswith(self.folder) and not idle and self.event(kind, name):
                assert self.failure
                raise self.failure
            return self.plain[kind](first, *more, **named)

        return call

    def open_to_write(self, path: Any, mode: str, follow: bool = False) -> Any:
        file = self.opened(path, mode, follow)
        return Written(file, str(path), self) if mode in ("ab", "xb") and str(path).startswith(self.folder) else file

    @contextmanager
    def in_use(self) -> Iterator[Disk]:
        with pytest.MonkeyPatch.context() as patch:
            for name in EVENTS:
                patch.setattr(os, name, self.replacement(name))
            patch.setattr(files, "opened", self.open_to_write)
            yield self


class Written:
    """An open file whose writes are events."""

    def __init__(self, file: Any, name: str, disk: Disk) -> None:
        self.file, self.name, self.disk = file, name, disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> Written:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> None:
        if self.disk.event("write", self.name):
            assert self.disk.failure
            self.file.write(content[: len(content) // 2])
            self.file.flush()
            raise self.disk.failure
        self.file.write(content)
