"""Writing files atomically: a crash, a full disk or Ctrl-C never leaves half a file."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class FileError(Exception):
    """A file cannot be read or written; the message is one sentence that names it and says what is wrong."""


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that is renamed to `path` when the block ends, and deleted if the block raises.

    It is written under a temporary name in the same folder and flushed to disk before it is renamed, so
    `path` is always either unchanged or complete. Raises OSError.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # KeyboardInterrupt too
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a whole file. FileError if that fails; `path` is then unchanged."""
    try:
        with replacing(Path(path)) as file:
            file.write(content)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error


def read(path: str | Path) -> bytes:
    """Read a whole file. FileError if that fails."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
