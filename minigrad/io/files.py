"""Files: read, replaced and locked so that no crash, full disk or strange file does harm.

- A new file gets its name only when it is complete and on disk: a crash, a full disk or Ctrl-C never leaves half a file.
- Only regular files are opened. A named pipe would block for ever, a device may have no end, and a symbolic link may lead to a
  file that is nothing to this program; links are followed only where a caller says so.
- Errors are one sentence that names the file.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, cast

UNFINISHED = ".*." + 8 * "[0-9a-f]" + ".part"  # names of files that are being written, or that a killed process left
NOT_SUPPORTED = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}  # the file system cannot do this
NO_LOCKS = {errno.ENOLCK, *NOT_SUPPORTED}
HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}  # another process has locked the file
NO_SYNC = {errno.EINVAL, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR, *NOT_SUPPORTED}  # of a folder

NOT_REGULAR = "it is not a regular file"

_ALWAYS = getattr(os, "O_NONBLOCK", 0)  # opening a named pipe would wait for its other end
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


class FileError(Exception):
    """A file cannot be read or written; the message is one sentence that names it and says what is wrong."""


def _check_link(path: str | Path, follow: bool) -> None:
    if not follow and os.path.islink(path):  # O_NOFOLLOW says "too many levels of symbolic links", and Windows lacks it
        raise OSError(errno.ELOOP, "it is a symbolic link, which is not followed")


def _check_replaceable(path: Path) -> None:
    """OSError if there is a named pipe, a device or a folder, in whose place a file would come."""
    with suppress(FileNotFoundError):
        mode = os.lstat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise OSError(errno.EINVAL, NOT_REGULAR)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn an OSError into a FileError: `what`, and the system's reason."""
    try:
        yield
    except OSError as error:
        raise FileError(f"{what}: {error.strerror or error}") from error


def opened(path: str | Path, mode: str, follow: bool = False) -> BinaryIO:
    """Open a regular file in a binary mode of `open`. OSError if it is anything else, or a symbolic link not to follow."""

    def open_regular(name: str, flags: int) -> int:
        _check_link(name, follow)
        try:
            handle = os.open(name, flags | _ALWAYS | (0 if follow else _NO_LINK), 0o666)
        except OSError as error:
            if error.errno != errno.ENXIO:  # a named pipe that no one reads, or a socket
                raise
            raise OSError(errno.EINVAL, NOT_REGULAR) from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(errno.EINVAL, NOT_REGULAR)
        return handle

    return cast(BinaryIO, open(path, mode, opener=open_regular))


def read(path: str | Path, limit: int | None = None, follow: bool = False) -> bytes:
    """Read a whole file. FileError if that fails, or if the file has more than `limit` bytes."""
    with explained(f"cannot read {path}"), opened(path, "rb", follow) as file:
        size = os.fstat(file.fileno()).st_size
        if limit is not None and size > limit:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes, more than the {limit:,} that can be right")
        return file.read(-1 if limit is None else limit)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that is renamed to `path` when the block ends, and deleted if the block raises.

    It is written under a temporary name in the same folder and flushed to disk before it is renamed, so
    `path` is always either unchanged or complete. Raises OSError.
    """
    _check_replaceable(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with opened(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # KeyboardInterrupt too
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that a new name in it survives a power cut. Some systems, such as Windows, cannot do that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a whole file. FileError if that fails; `path` is then unchanged (or complete, if it failed at the very end)."""
    with explained(f"cannot write {path}"), replacing(Path(path)) as file:
        file.write(content)


def append(path: Path, content: bytes, heading: bytes) -> None:
    """Append to a file, which begins with the heading. FileError if that fails."""
    with explained(f"cannot write {path}"), opened(path, "ab") as file:
        file.write(content if file.tell() else heading + content)


def remove(path: Path) -> None:
    """Delete a file, if it exists. FileError if that fails."""
    with explained(f"cannot delete {path}"):
        path.unlink(missing_ok=True)


def exists(path: Path) -> bool:
    """Whether there is anything at this path. FileError if the system does not tell."""
    with explained(f"cannot read {path}"):
        try:
            os.lstat(path)
        except FileNotFoundError:
            return False
        return True


def make_folder(path: Path, follow: bool = False) -> None:
    """Make a folder and its parents, if they do not exist. FileError if that fails, or it is a symbolic link not to follow."""
    with explained(f"cannot use the folder {path}"):
        _check_link(path, follow)
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is a file")
        path.mkdir(parents=True, exist_ok=True)


def entries(folder: Path, pattern: str = "*", follow: bool = False) -> list[Path]:
    """What is in a folder, sorted by name; nothing if there is no folder. FileError if it cannot be read, or is a link."""
    with explained(f"cannot use the folder {folder}"):
        _check_link(folder, follow)
        try:
            return [folder / name for name in sorted(fnmatch.filter(os.listdir(folder), pattern))]
        except FileNotFoundError:
            return []


def lock(file: IO[bytes]) -> None:
    """Lock an open file until it is closed; the system releases the lock even if this process is killed.

    OSError with a number of `HELD` if another process has locked it, of `NO_LOCKS` where the file system has no locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
