"""MNIST comes from a folder, the cache or the network, and synthetic digits replace it offline."""

import gzip
import hashlib
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gans.data import mnist
from gans.data.download import Published
from gans.data.errors import DataError
from gans.data.idx import write_idx
from gans.data.mnist import Remote, load_mnist

REAL = Path(__file__).parents[4] / "shared/data/mnist"
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 10
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with both splits, uncompressed; the test split is the training split reversed."""
    folder = tmp_path / "data"
    for split, step in (("train", 1), ("t10k", -1)):
        write_idx(folder / f"{split}-images-idx3-ubyte", IMAGES[::step])
        write_idx(folder / f"{split}-labels-idx1-ubyte", LABELS[::step])
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache" / "mnist"


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Replaces the function that draws synthetic digits, which is slow; returns the list of its calls."""
    calls = []

    def synthetic_digits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        calls.append((count, seed))
        return np.full((count, 28, 28), 7 + seed, np.uint8), np.arange(count).astype(np.uint8) % 10

    stub = SimpleNamespace(synthetic_digits=synthetic_digits)
    monkeypatch.setitem(sys.modules, "gans.data.drawn.digits", stub)
    monkeypatch.setattr(mnist, "_SYNTHETIC_COUNT", {"train": 60, "test": 10})
    return calls


@pytest.fixture
def offline() -> Iterator[Remote]:
    """Two mirrors that refuse the connection."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        yield Remote((f"{url}/a/", f"{url}/b/"), dict.fromkeys(mnist.MNIST.files, Published(0, "")))


@pytest.fixture
def online(folder: Path, tmp_path: Path, offline: Remote) -> Iterator[Remote]:
    """A mirror that refuses the connection, then a good one."""
    served, files = tmp_path / "served", {}
    served.mkdir()
    for plain in folder.iterdir():
        content = gzip.compress(plain.read_bytes(), 1)
        (served / f"{plain.name}.gz").write_bytes(content)
        files[f"{plain.name}.gz"] = Published(len(content), hashlib.md5(content).hexdigest())

    class Mirror(SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(served))

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield Remote((offline.mirrors[0], f"http://127.0.0.1:{server.server_port}/"), files)
        server.shutdown()


def error_message(folder: Path, **options: bool) -> str:
    with pytest.raises(DataError) as caught:
        load_mnist(folder, **options)
    message = str(caught.value)
    assert message.startswith(str(folder)) and message.endswith(".") and "\n" not in message
    return message


def compress(path: Path) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    path.unlink()


# --- from a folder


def test_each_split_is_read_from_its_files(folder: Path, capsys) -> None:
    for split, step in (("train", 1), ("test", -1)):
        digits = load_mnist(folder, split, labels=True)
        np.testing.assert_array_equal(digits.images, IMAGES[::step])
        np.testing.assert_array_equal(digits.labels, LABELS[::step])
    assert str(folder) in digits.source
    assert capsys.readouterr().err == ""


def test_labels_are_only_read_if_requested(folder: Path) -> None:
    (folder / TRAIN_LABELS).unlink()
    assert load_mnist(folder).labels is None
    assert TRAIN_LABELS in error_message(folder, labels=True)


@pytest.mark.parametrize("place", ["", "raw", "MNIST/raw"])
@pytest.mark.parametrize("name", [TRAIN_IMAGES, "train-images.idx3-ubyte"])
@pytest.mark.parametrize("compressed", [False, True])
def test_files_are_found_in_every_common_layout(tmp_path: Path, place: str, name: str, compressed: bool) -> None:
    path = tmp_path / "data" / place / name
    write_idx(path, IMAGES)
    if compressed:
        compress(path)
    np.testing.assert_array_equal(load_mnist(str(tmp_path / "data")).images, IMAGES)


@pytest.mark.parametrize("damaged", ["plain", "gzip"])
def test_of_two_copies_the_intact_one_is_read(folder: Path, damaged: str) -> None:
    plain, compressed = folder / TRAIN_IMAGES, folder / f"{TRAIN_IMAGES}.gz"
    shutil.copy(plain, compressed)
    bad, good = (plain, compressed) if damaged == "plain" else (compressed, plain)
    bad.write_bytes(b"rubbish")
    assert load_mnist(folder).source == str(good)
    good.write_bytes(b"rubbish")
    assert str(plain) in error_message(folder)


def test_a_folder_with_the_name_of_the_file_does_not_hide_its_gz(folder: Path) -> None:
    compress(folder / TRAIN_IMAGES)
    (folder / TRAIN_IMAGES).mkdir()
    assert load_mnist(folder).source.endswith(".gz")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[:0], "holds no images"),
        (IMAGES[0], "holds uint8 data of shape (28, 28), not uint8 images"),
        (IMAGES[:, :27], "holds uint8 data of shape (12, 27, 28)"),
        (LABELS, "holds uint8 data of shape (12,)"),
        (IMAGES.astype(np.float32), "holds float32 data"),
    ],
)
def test_a_file_without_proper_images_is_an_error(folder: Path, images: np.ndarray, message: str) -> None:
    write_idx(folder / TRAIN_IMAGES, images)
    assert message in error_message(folder)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:0], "holds no labels"),
        (LABELS[:-1], "has 11 labels, but train-images-idx3-ubyte has 12 images"),
        (LABELS + 90, "has a label 99"),
        (IMAGES, "not one uint8 label per image"),
    ],
)
def test_a_file_without_proper_labels_is_an_error(folder: Path, labels: np.ndarray, message: str) -> None:
    write_idx(folder / TRAIN_LABELS, labels)
    assert message in error_message(folder, labels=True)


def test_a_missing_or_empty_folder_and_a_file_are_errors(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "No such file" in error_message(tmp_path / "nowhere")
    assert f"has no {TRAIN_IMAGES}" in error_message(tmp_path / "empty")
    assert "--data must be the folder" in error_message(folder / TRAIN_IMAGES)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no MNIST in {REAL}")
def test_the_real_files_have_the_published_checksums() -> None:
    assert mnist.MNIST.is_complete_in(REAL)
    digits = load_mnist(REAL, "test", labels=True)
    assert digits.images.shape == (10_000, 28, 28)
    assert digits.labels is not None and digits.labels[:5].tolist() == [7, 2, 1, 0, 4]


# --- without a folder: from the cache or the network


def test_a_download_fills_the_cache_and_tries_a_dead_mirror_only_once(cache: Path, online: Remote, capsys) -> None:
    digits = load_mnist(labels=True, remote=online)
    np.testing.assert_array_equal(digits.images, IMAGES)
    np.testing.assert_array_equal(digits.labels, LABELS)
    assert sorted(file.name for file in cache.iterdir()) == sorted(online.files)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_complete_cache_needs_neither_the_network_nor_write_permission(online: Remote, monkeypatch, capsys) -> None:
    load_mnist(remote=online)
    capsys.readouterr()
    monkeypatch.setattr(tempfile, "TemporaryFile", None)  # any attempt to write would raise TypeError
    digits = load_mnist(split="test", remote=Remote((), online.files))
    np.testing.assert_array_equal(digits.images, IMAGES[::-1])
    assert capsys.readouterr().err == ""


def test_a_damaged_file_in_the_cache_is_downloaded_again(cache: Path, online: Remote) -> None:
    load_mnist(remote=online)
    (cache / f"{TRAIN_IMAGES}.gz").write_bytes(b"rubbish")
    np.testing.assert_array_equal(load_mnist(remote=online).images, IMAGES)


def test_an_unwritable_cache_does_not_prevent_a_download(cache: Path, online: Remote, capsys) -> None:
    cache.parent.touch()  # a file where a folder should be
    np.testing.assert_array_equal(load_mnist(remote=online).images, IMAGES)
    assert sum("is not cached for the next run" in line for line in capsys.readouterr().err.splitlines()) == 1


# --- neither cache nor network: synthetic digits


def test_offline_the_digits_are_synthetic_and_a_line_says_so(offline: Remote, drawn, capsys) -> None:
    digits = load_mnist(labels=True, remote=offline)
    assert digits.images.shape == (60, 28, 28) and digits.labels is not None and len(digits.labels) == 60
    assert digits.source == "60 synthetic digits (train, seed 0)"
    assert drawn == [(60, 0)]
    *per_mirror, last = capsys.readouterr().err.splitlines()
    assert len(per_mirror) == 2
    assert last == (
        "MNIST is not in the cache and cannot be downloaded (connection refused): using 60 synthetic digits instead; "
        "for real ones, pass the folder with MNIST's files as --data DIR."
    )


def test_synthetic_digits_are_cached(drawn, capsys) -> None:
    first, second = (load_mnist("synthetic", labels=True) for _ in range(2))
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert load_mnist(Path("synthetic")).labels is None
    assert len(drawn) == 1
    assert capsys.readouterr().err == ""


def test_the_two_synthetic_splits_differ(drawn) -> None:
    train, test = load_mnist("synthetic"), load_mnist("synthetic", "test")
    assert len(drawn) == 2 and len(train.images) == 60 and len(test.images) == 10
    assert train.images[0, 0, 0] != test.images[0, 0, 0]


def test_an_unwritable_cache_does_not_prevent_synthetic_digits(cache: Path, drawn, capsys) -> None:
    cache.parent.touch()
    assert len(load_mnist("synthetic").images) == 60
    (line,) = capsys.readouterr().err.splitlines()
    assert "is not cached for the next run" in line and str(cache) in line


def test_without_any_writable_folder_there_are_still_digits(cache: Path, online: Remote, monkeypatch) -> None:
    def forbid(*_: object, **__: object) -> None:
        raise FileNotFoundError("no usable temporary directory")

    cache.parent.touch()
    monkeypatch.setattr(tempfile, "TemporaryDirectory", forbid)
    assert len(load_mnist(remote=online).images) == 60
