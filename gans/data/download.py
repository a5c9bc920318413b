"""Downloads that end in a complete, verified file or in one clear sentence."""

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

from gans.data.errors import DataError
from gans.data.idx import cannot_write, looks_like
from minigrad.io.files import replacing

_CHUNK = 1 << 16
_LONGEST_REASON = 120


class DownloadError(DataError):
    """No mirror gave the file; `failures` maps each URL to its reason."""

    def __init__(self, name: str, failures: Mapping[str, str]) -> None:
        self.failures = dict(failures)
        reasons = "; ".join(f"{url}: {reason}" for url, reason in failures.items())
        super().__init__(f"{name} cannot be downloaded ({reasons}); check the network, or get the file by other means.")


class _MirrorError(Exception):
    """Why one mirror did not give the file, in a few words."""


def download(urls: Sequence[str], path: Path, md5: str, timeout: float = 10.0) -> Path:
    """Makes `path` the file with the checksum `md5`, from the first of the mirrors `urls` that has it.

    A good file already there is kept. A mirror may take `timeout` seconds to answer, and as long between
    two pieces of the file; one that fails is reported in a line on stderr, and the next is tried.

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
        except OSError as error:  # the disk's: those of the network are _MirrorErrors by now
            raise cannot_write(path, error) from error
    raise DownloadError(path.name, failures)


def has_md5(path: Path, md5: str) -> bool:
    """Whether `path` is a readable file with this checksum."""
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
        with tqdm(total=length, desc=name, unit="B", unit_scale=True, disable=None) as bar:  # None: not into a log file
            for chunk in _chunks(response, length, timeout):
                file.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
                head = head or chunk[:64]
    if digest.hexdigest() != md5:
        look = looks_like(head) if head else "nothing"
        raise _MirrorError(f"sent {look}, not the file" if look else "sent a file with the wrong checksum")


def _open(url: str, timeout: float) -> HTTPResponse:
    """`urlopen` within `timeout` seconds in all.

    By itself it waits without limit for the name lookup, and for a full `timeout` on each of the host's
    addresses; hence a thread, which is left behind if it is late.
    """
    answers: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(urlopen(url, timeout=timeout))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=timeout)
    except queue.Empty:
        answer = TimeoutError()
    if isinstance(answer, (OSError, HTTPException, ValueError)):  # ValueError: a malformed URL, or a redirect to one
        raise _MirrorError(_reason(answer, timeout)) from answer
    if isinstance(answer, Exception):
        raise answer
    return answer


def _length(response: HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _chunks(response: HTTPResponse, length: int | None, timeout: float) -> Iterator[bytes]:
    received = 0
    while length is None or received < length:
        try:
            chunk = response.read1(_CHUNK)  # read() would wait for a full chunk, and hide a slow mirror's progress
        except (OSError, HTTPException, ValueError) as error:
            raise _MirrorError(_reason(error, timeout)) from error
        if not chunk:
            break
        received += len(chunk)
        yield chunk
    if length is not None and received < length:
        raise _MirrorError(f"broke off after {received:,} of {length:,} bytes")


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, HTTPError):
        error.close()
        return shorten(f"answers {error.code} {error.reason}", _LONGEST_REASON)
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer for {timeout:g} s"
    if isinstance(cause, socket.gaierror):
        return "the host name cannot be resolved"
    if isinstance(cause, ConnectionRefusedError):
        return "the connection is refused"
    return shorten(str(cause), _LONGEST_REASON) or type(cause).__name__
