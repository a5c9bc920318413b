"""Downloads against a local server that misbehaves in every way that a mirror can."""

import contextlib
import errno
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import tqdm

from gans.data import download as module
from gans.data.download import DownloadError, Published, download, is_intact
from gans.data.errors import DataError

CONTENT = bytes(range(256)) * 1000
PUBLISHED = Published(len(CONTENT), hashlib.md5(CONTENT).hexdigest())
TIMEOUT = 0.25


class Mirror(BaseHTTPRequestHandler):
    """Responds to /NAME with the method NAME, and records the requests."""

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        getattr(self, self.path.strip("/"))()

    def log_message(self, *_: object) -> None:
        pass

    def send(self, content: bytes, status: int = 200, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def good(self) -> None:
        self.send(CONTENT)

    def chunked(self) -> None:
        self.start_chunks()
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(CONTENT), CONTENT))

    def without_length(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT)

    def slow(self) -> None:
        """Takes longer than the time-out in total, but not between any two chunks."""
        self.send(CONTENT[:-5], length=len(CONTENT))
        for byte in CONTENT[-5:]:
            time.sleep(TIMEOUT / 4)
            self.wfile.write(bytes([byte]))

    def moved(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/good")
        self.end_headers()

    def moved_with_an_endless_body(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/good")
        self.end_headers()
        self.forever(bytes(1 << 16))

    def moved_in_a_circle(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/moved_in_a_circle")
        self.end_headers()

    def moved_to_ftp(self) -> None:
        self.send_response(302)
        self.send_header("Location", "ftp://127.0.0.1/good")
        self.end_headers()

    def moved_to_a_file(self) -> None:
        self.send_response(302)
        self.send_header("Location", Path(__file__).as_uri())
        self.end_headers()

    def missing(self) -> None:
        self.send_error(404)

    def broken(self) -> None:
        self.send_error(500)

    def html(self) -> None:
        self.send(b"<!DOCTYPE html><title>Log in to the hotel's network</title>")

    def empty(self) -> None:
        self.send(b"")

    def corrupt(self) -> None:
        self.send(CONTENT[:-1] + b"!")

    def truncated(self) -> None:
        self.send(CONTENT[:1000], length=len(CONTENT))

    def stalled(self) -> None:
        self.send(CONTENT[:1000], length=len(CONTENT))
        self.server.closing.wait(5)

    def silent(self) -> None:
        self.server.closing.wait(5)

    def gibberish(self) -> None:
        self.wfile.write(b"\0\1\2\r\n" * 100)

    def forever(self, content: bytes) -> None:
        """Send `content` again and again until the client goes away or no longer reads.

        A client that closes its end while the window is zero sends no reset: the server would wait for a minute.
        """
        self.connection.settimeout(4 * TIMEOUT)
        with contextlib.suppress(OSError):
            while not self.server.closing.is_set():
                self.wfile.write(content)
                if len(content) == 1:
                    self.server.closing.wait(TIMEOUT / 8)
        self.server.left.set()

    def endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.forever(CONTENT[:-1])

    def too_long(self) -> None:
        self.send(CONTENT + b"!")

    def dripping(self) -> None:
        self.send(b"", length=len(CONTENT))
        self.forever(b"\0")

    def chunk_size_without_end(self) -> None:
        self.start_chunks()
        self.forever(b"0")

    def trailers_without_end(self) -> None:
        self.start_chunks()
        self.wfile.write(b"%x\r\n%s\r\n0\r\n" % (len(CONTENT), CONTENT))
        self.forever(b"x: y\r\n" * 1000)

    def start_chunks(self) -> None:
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def interim_responses(self) -> None:
        self.forever(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    def header_without_end(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self.forever(b"x" * 10_000)

    def headers_without_end(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self.forever(b"x: y\r\n" * 100)

    def length_of_5000_digits(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n" % (b"9" * 5000))

    def escape_codes(self) -> None:
        self.wfile.write(b"HTTP/1.1 500 \x1b]0;owned\x07\x1b[2J\x9b31m\x08\r\n\r\n")


@pytest.fixture(autouse=True)
def _soon_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MIN_RATE", 1 << 19)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        server.requests, server.closing, server.left = [], threading.Event(), threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def url(server: ThreadingHTTPServer) -> Callable[[str], str]:
    return lambda name: f"http://127.0.0.1:{server.server_port}/{name}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "images.gz"


@pytest.fixture
def closed_port() -> Iterator[str]:
    """The URL of a port on which no server listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/"


def files_beside(path: Path) -> list[str]:
    return [file.name for file in path.parent.iterdir()]


@pytest.mark.parametrize("name", ["good", "chunked", "without_length", "slow", "moved", "moved_with_an_endless_body"])
def test_a_file_is_downloaded(url, path: Path, name: str) -> None:
    assert download([url(name)], path, PUBLISHED, TIMEOUT) == path
    assert path.read_bytes() == CONTENT
    assert files_beside(path) == [path.name]


FAULTS = {
    "missing": "HTTP error 404",
    "broken": "HTTP error 500",
    "html": "sent an HTML page",
    "empty": "sent nothing",
    "corrupt": "wrong checksum",
    "truncated": "closed the connection after 1,000 of 256,000 bytes",
    "stalled": "no response for 0.25 s",
    "silent": "no response for 0.25 s",
    "gibberish": "",
    "endless": "sent more than the file's 256,000 bytes",
    "too_long": "sent more than the file's 256,000 bytes",
    "dripping": "too slow: ",
    "chunk_size_without_end": "too slow: 0 bytes",
    "trailers_without_end": "too slow: 256,000 bytes",
    "interim_responses": "no response for 0.25 s",
    "header_without_end": "line",
    "headers_without_end": "more than 100 headers",
    "length_of_5000_digits": "sent nothing",
    "moved_in_a_circle": "infinite loop",
    "moved_to_ftp": "unknown url type: ftp",
    "moved_to_a_file": "is not allowed",
    "escape_codes": "HTTP error 500 \\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\x08",
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_failed_mirror_is_reported_in_one_line_and_the_next_one_is_tried(url, path: Path, name: str, capsys) -> None:
    download([url(name), url("good")], path, PUBLISHED, TIMEOUT)
    assert path.read_bytes() == CONTENT
    assert files_beside(path) == [path.name]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(url(name)) and FAULTS[name] in line and len(line) < 250 and line.isprintable()


@pytest.mark.parametrize("name", ["endless", "dripping", "chunk_size_without_end", "trailers_without_end", "interim_responses"])
def test_a_mirror_that_never_ends_is_left_and_nothing_reads_on_in_the_background(server, url, path: Path, name: str) -> None:
    begin = time.monotonic()
    with pytest.raises(DownloadError):
        download([url(name)], path, PUBLISHED, TIMEOUT)
    assert server.left.wait(5)
    assert time.monotonic() - begin < 4, "the deadline is 2 x 0.25 s + 256,000 / 2^19 s = 0.99 s"


def test_if_all_mirrors_fail_the_error_gives_each_reason_and_no_file_remains(url, path: Path, closed_port: str) -> None:
    urls = [url(name) for name in FAULTS] + [closed_port]
    with pytest.raises(DownloadError) as caught:
        download(urls, path, PUBLISHED, TIMEOUT)
    message = str(caught.value)
    assert all(part in message for part in [*urls, *FAULTS.values(), "connection refused"])
    assert message.startswith(path.name) and "\n" not in message
    assert files_beside(path) == []


def test_an_intact_file_is_kept_without_a_request(server, url, path: Path) -> None:
    download([url("good")], path, PUBLISHED, TIMEOUT)
    download([url("good")], path, PUBLISHED, TIMEOUT)
    assert server.requests == ["/good"]


def test_a_damaged_file_is_replaced(url, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(CONTENT[:-1])
    download([url("good")], path, PUBLISHED, TIMEOUT)
    assert path.read_bytes() == CONTENT


def test_a_file_in_the_place_of_the_download_is_not_read_unless_it_is_regular_and_has_the_size(tmp_path: Path) -> None:
    (tmp_path / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "fifo")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    for name in ("zero", "fifo", "huge", "missing"):
        assert not is_intact(tmp_path / name, PUBLISHED)


@pytest.mark.parametrize(
    "bad",
    [
        "file:///etc/passwd",
        "data:,x",
        "ftp://127.0.0.1/",
        "http://does-not-exist.invalid/",
        "http://[/",
        "no url at all",
        "http:///",
    ],
)
def test_a_malformed_url_counts_as_a_failed_mirror(url, path: Path, bad: str) -> None:
    download([bad, url("good")], path, PUBLISHED, TIMEOUT)
    assert path.read_bytes() == CONTENT


def test_the_time_out_covers_the_name_lookup(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released, answered = threading.Event(), threading.Event()

    def look_up(*_: object) -> None:
        released.wait(60)
        answered.set()

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(DownloadError, match="no response"):
        download(["http://anywhere/"], path, PUBLISHED, TIMEOUT)
    assert not answered.is_set()
    released.set()


def test_an_interrupted_download_leaves_no_file(url, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tqdm.tqdm, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download([url("good")], path, PUBLISHED, TIMEOUT)
    assert files_beside(path) == []


def test_a_full_disk_is_a_write_error_and_ends_the_attempts(server, url, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(DataError, match=r"cannot be written.*No space left") as caught:
        download([url("good"), url("good")], path, PUBLISHED, TIMEOUT)
    assert not isinstance(caught.value, DownloadError)
    assert server.requests == ["/good"] and files_beside(path) == []
