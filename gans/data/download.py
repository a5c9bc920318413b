"""Download a file from one of several mirrors, with time-outs and a checksum."""

import hashlib
import queue
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from textwrap import shorten
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from gans.data.errors import DataError, write_error
from gans.data.file_types import guess_file_type
from minigrad.io.files import replacing

_CHUNK = 1 << 16
_MAX_REASON = 120  # characters


class DownloadError(DataError):
    """Every mirror failed. `failures` maps each URL to the reason."""

    def __init__(self, name: str, failures: Mapping[str, str]) -> None:
        self.failures = dict(failures)
        reasons = "; ".join(f"{url}: {reason}" for url, reason in failures.items())
        super().__init__(
            f"{name} cannot be downloaded ({reasons}); check the network connection, or download the file by other means."
        )


class _MirrorError(Exception):
    """Why one mirror failed, in a few words."""


def download(urls: Sequence[str], path: Path, md5: str, timeout: float = 10.0) -> Path:
    """Download a file to `path` from the first mirror in `urls` that delivers it with the checksum `md5`.

    If `path` already has that checksum, nothing is downloaded. A mirror fails if it takes more than
    `timeout` seconds to respond, or more than that between two chunks of data. Each failure is
    reported in a line on stderr before the next mirror is tried.

    Returns `path`. Raises DownloadError if every mirror fails, DataError if `path` cannot be written.
    """
    if has_md5(path, md5):
        return path
    failures = {}
    for url in urls:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                _fetch(url, file, path.name, md5, timeout)
            return path
        except _MirrorError as error:
            failures[url] = str(error)
            print(f"{url}: {error}.", file=sys.stderr)
        except OSError as error:  # from the disk: network errors were turned into _MirrorError
            raise write_error(path, error) from error
    raise DownloadError(path.name, failures)


def has_md5(path: Path, md5: str) -> bool:
    """Whether `path` is a readable file with the MD5 checksum `md5`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, _new_md5).hexdigest() == md5
    except OSError:
        return False


def _new_md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)


def _fetch(url: str, file: BinaryIO, name: str, md5: str, timeout: float) -> None:
    from tqdm import tqdm

    digest, head = _new_md5(), b""
    with _open(url, timeout) as response:
        length = _length(response)
        with tqdm(total=length, desc=name, unit="B", unit_scale=True, disable=None) as bar:  # None: no bar in a log file
            for chunk in _chunks(response, length, timeout):
                file.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
                head = head or chunk[:64]
    if digest.hexdigest() != md5:
        guess = guess_file_type(head) if head else "nothing"
        raise _MirrorError(f"sent {guess} instead of the file" if guess else "sent a file with the wrong checksum")


def _open(url: str, timeout: float) -> HTTPResponse:
    """`urlopen` that takes at most `timeout` seconds in total.

    Its own time-out does not cover the name lookup and starts again for each of the host's addresses.
    So it runs in a daemon thread, which is abandoned when the time is up.
    """
    results: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()

    def connect() -> None:
        try:
            results.put(urlopen(url, timeout=timeout))
        except Exception as error:
            results.put(error)

    threading.Thread(target=connect, daemon=True).start()
    try:
        result = results.get(timeout=timeout)
    except queue.Empty:
        result = TimeoutError()
    if isinstance(result, (OSError, HTTPException, ValueError)):  # ValueError: a malformed URL, or a redirect to one
        raise _MirrorError(_reason(result, timeout)) from result
    if isinstance(result, Exception):
        raise result
    return result


def _length(response: HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _chunks(response: HTTPResponse, length: int | None, timeout: float) -> Iterator[bytes]:
    received = 0
    while length is None or received < length:
        try:
            chunk = response.read1(_CHUNK)  # read() would block until the chunk is full, hiding slow progress
        except (OSError, HTTPException, ValueError) as error:
            raise _MirrorError(_reason(error, timeout)) from error
        if not chunk:
            break
        received += len(chunk)
        yield chunk
    if length is not None and received < length:
        raise _MirrorError(f"closed the connection after {received:,} of {length:,} bytes")


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, HTTPError):
        error.close()
        return shorten(f"HTTP error {error.code} {error.reason}", _MAX_REASON)
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no response for {timeout:g} s"
    if isinstance(cause, socket.gaierror):
        return "the host name cannot be resolved"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    return shorten(str(cause), _MAX_REASON) or type(cause).__name__
