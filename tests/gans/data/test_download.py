"""Downloads against a local server that misbehaves in every way that a mirror can."""

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

from gans.data.download import DownloadError, download
from gans.data.errors import DataError

CONTENT = bytes(range(256)) * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()
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
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
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


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        server.requests, server.closing = [], threading.Event()
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


@pytest.mark.parametrize("name", ["good", "chunked", "without_length", "slow", "moved"])
def test_a_file_is_downloaded(url, path: Path, name: str) -> None:
    assert download([url(name)], path, MD5, TIMEOUT) == path
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
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_failed_mirror_is_reported_in_one_line_and_the_next_one_is_tried(url, path: Path, name: str, capsys) -> None:
    download([url(name), url("good")], path, MD5, TIMEOUT)
    assert path.read_bytes() == CONTENT
    assert files_beside(path) == [path.name]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(url(name)) and FAULTS[name] in line and len(line) < 200


def test_if_all_mirrors_fail_the_error_gives_each_reason_and_no_file_remains(url, path: Path, closed_port: str) -> None:
    urls = [url(name) for name in FAULTS] + [closed_port]
    with pytest.raises(DownloadError) as caught:
        download(urls, path, MD5, TIMEOUT)
    message = str(caught.value)
    assert all(part in message for part in [*urls, *FAULTS.values(), "connection refused"])
    assert message.startswith(path.name) and "\n" not in message
    assert files_beside(path) == []


def test_an_intact_file_is_kept_without_a_request(server, url, path: Path) -> None:
    download([url("good")], path, MD5, TIMEOUT)
    download([url("good")], path, MD5, TIMEOUT)
    assert server.requests == ["/good"]


def test_a_damaged_file_is_replaced(url, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(CONTENT[:-1])
    download([url("good")], path, MD5, TIMEOUT)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("bad", ["http://does-not-exist.invalid/", "http://[/", "no url at all", "http:///"])
def test_a_malformed_url_counts_as_a_failed_mirror(url, path: Path, bad: str) -> None:
    download([bad, url("good")], path, MD5, TIMEOUT)
    assert path.read_bytes() == CONTENT


def test_the_time_out_covers_the_name_lookup(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released, answered = threading.Event(), threading.Event()

    def look_up(*_: object) -> None:
        released.wait(60)
        answered.set()

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(DownloadError, match="no response"):
        download(["http://anywhere/"], path, MD5, TIMEOUT)
    assert not answered.is_set()
    released.set()


def test_an_interrupted_download_leaves_no_file(url, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tqdm.tqdm, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download([url("good")], path, MD5, TIMEOUT)
    assert files_beside(path) == []


def test_a_full_disk_is_a_write_error_and_ends_the_attempts(server, url, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(DataError, match=r"cannot be written.*No space left") as caught:
        download([url("good"), url("good")], path, MD5, TIMEOUT)
    assert not isinstance(caught.value, DownloadError)
    assert server.requests == ["/good"] and files_beside(path) == []
