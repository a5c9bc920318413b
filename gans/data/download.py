"""Download a file from one of several mirrors, with time-outs, a known size and a checksum."""

import hashlib
import queue
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse
from io import BufferedReader, BytesIO
from pathlib import Path
from textwrap import shorten
from typing import Any, BinaryIO, NamedTuple
from urllib import request
from urllib.error import HTTPError, URLError

from gans.data.errors import DataError, printable, write_error
from gans.data.file_types import guess_file_type
from minigrad.io.files import opened, replacing

_CHUNK = 1 << 16
_MAX_REASON = 120  # characters
_MIN_RATE = 1 << 14  # bytes per second, on average after the first `timeout` seconds


class Published(NamedTuple):
    """What is known of a file before it is downloaded."""

    size: int  # bytes
    md5: str


class DownloadError(DataError):
    """Every mirror failed. `failures` maps each URL to the reason."""

    def __init__(self, name: str, failures: Mapping[str, str]) -> None:
        self.name, self.failures = name, dict(failures)
        reasons = "; ".join(f"{url}: {reason}" for url, reason in failures.items())
        super().__init__(
            f"{name} cannot be downloaded ({reasons}); check the network connection, or download the file by other means."
        )

    def __reduce__(self) -> Any:  # else pickle would give the sentence to __init__
        return type(self), (self.name, self.failures)


class _MirrorError(Exception):
    """Why one mirror failed, in a few words."""


def download(urls: Sequence[str], path: Path, published: Published, timeout: float = 10.0) -> Path:
    """Download a file to `path` from the first mirror in `urls` that delivers it with its size and checksum.

    If `path` is already that file, nothing is downloaded. A mirror fails if it takes more than `timeout`
    seconds to respond, or more than that between two chunks of data, if it sends less than 16 KiB/s
    (on average, after the first `timeout` seconds), or as soon as it sends a byte too many. Only http
    and https are followed. Each failure is reported in a line on stderr before the next mirror is tried.

    Returns `path`. Raises DownloadError if every mirror fails, DataError if `path` cannot be written.
    """
    if is_intact(path, published):
        return path
    failures = {}
    for url in urls:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                _fetch(url, file, path.name, published, timeout)
            return path
        except _MirrorError as error:
            failures[url] = str(error)
            print(f"{url}: {error}.", file=sys.stderr)
        except OSError as error:  # from the disk: network errors were turned into _MirrorError
            raise write_error(path, error) from error
    raise DownloadError(path.name, failures)


def is_intact(path: Path, published: Published) -> bool:
    """Whether `path` is a readable file with the published size and checksum."""
    try:
        with opened(path, "rb", follow=True) as file:
            content = file.read(published.size + 1)
    except OSError:
        return False
    return len(content) == published.size and _md5(content).hexdigest() == published.md5


def _md5(content: bytes = b"") -> "hashlib._Hash":
    return hashlib.md5(content, usedforsecurity=False)


def _fetch(url: str, file: BinaryIO, name: str, published: Published, timeout: float) -> None:
    from tqdm import tqdm

    digest, head, received = _md5(), b"", 0
    with (
        _open(url, timeout, published.size) as response,
        tqdm(total=published.size, desc=name, unit="B", unit_scale=True, disable=None) as bar,  # None: no bar in a log file
    ):
        for chunk in _chunks(response, published.size, timeout):
            file.write(chunk)
            digest.update(chunk)
            bar.update(len(chunk))
            head, received = head or chunk[:64], received + len(chunk)
        missing = response.length or 0
    if received == published.size and digest.hexdigest() == published.md5:
        return
    guess = guess_file_type(head) if head else "nothing"
    if guess and guess != "a gzip file":
        raise _MirrorError(f"sent {guess} instead of the file")
    if missing:
        raise _MirrorError(f"closed the connection after {received:,} of {received + missing:,} bytes")
    if received > published.size:
        raise _MirrorError(f"sent more than the file's {published.size:,} bytes")
    raise _MirrorError("sent a file with the wrong checksum")


class _Response(HTTPResponse):
    """A response that ends at a deadline, whatever http.client waits for or loops over.

    Its time-out starts again with each byte, and interim responses and trailers may go on forever.
    """

    def __init__(self, seconds: float, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._timer = threading.Timer(seconds, self._end, [sock])
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        self._timer.cancel()
        super().close()

    def _end(self, sock: socket.socket) -> None:
        self.fp = BufferedReader(BytesIO())  # ends loops: Linux goes on to deliver what arrives after a shutdown
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # ends waiting; SSLSocket's own would disturb the reading thread


class _Handler(request.HTTPSHandler):
    """Opens http and https. Each response ends after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def http_open(self, req: request.Request) -> HTTPResponse:
        return self.do_open(HTTPConnection, req)

    http_request = request.HTTPSHandler.https_request

    def do_open(self, http_class: Any, req: request.Request, **kwargs: Any) -> HTTPResponse:
        def connect(*args: Any, **kwargs: Any) -> HTTPConnection:
            connection = http_class(*args, **kwargs)
            connection.response_class = partial(_Response, self._seconds)
            return connection

        return super().do_open(connect, req, **kwargs)


class _Redirects(request.HTTPRedirectHandler):
    """Follows redirects without reading their bodies, which may have no end."""

    def redirect_request(self, req: request.Request, fp: Any, *args: Any) -> request.Request | None:
        fp.close()
        return super().redirect_request(req, fp, *args)


def _open(url: str, timeout: float, size: int) -> HTTPResponse:
    """Open a URL in at most `timeout` seconds in total.

    The time-out of `open` does not cover the name lookup and starts again for each of the host's
    addresses. So it runs in a daemon thread, which is abandoned when the time is up.
    """
    opener = request.OpenerDirector()  # build_opener would add ftp, files and data URLs
    opener.add_handler(_Handler(2 * timeout + size / _MIN_RATE))
    for handler in (request.ProxyHandler, request.UnknownHandler, request.HTTPDefaultErrorHandler, _Redirects):
        opener.add_handler(handler())
    opener.add_handler(request.HTTPErrorProcessor())
    results: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()

    def connect() -> None:
        try:
            results.put(opener.open(url, timeout=timeout))
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


def _chunks(response: HTTPResponse, size: int, timeout: float) -> Iterator[bytes]:
    """What the response holds, up to one byte more than `size`."""
    start, received = time.monotonic(), 0
    while received <= size:
        try:  # read() would block until the chunk is full, hiding slow progress
            chunk = response.read1(min(_CHUNK, size + 1 - received))
        except (OSError, HTTPException, ValueError) as error:
            raise _MirrorError(_reason(error, timeout)) from error
        received += len(chunk)
        elapsed = time.monotonic() - start
        if elapsed > timeout + received / _MIN_RATE:
            raise _MirrorError(f"too slow: {received:,} bytes in {elapsed:.1f} s")
        if not chunk:
            break
        yield chunk


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, HTTPError):
        error.close()
        return printable(shorten(f"HTTP error {error.code} {error.reason}", _MAX_REASON))
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no response for {timeout:g} s"
    if isinstance(cause, socket.gaierror):
        return "the host name cannot be resolved"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    return printable(shorten(str(cause), _MAX_REASON)) or type(cause).__name__
