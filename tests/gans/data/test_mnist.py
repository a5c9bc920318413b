import gzip
import hashlib
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gans.data import mnist
from gans.data.errors import DataError
from gans.data.idx import read_idx, write_idx
from gans.data.mnist import Remote, load_mnist

REAL = Path(__file__).parents[5] / "shared/data/mnist"
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 10
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with both splits, plain; the test split is the train split backwards."""
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
    """Stands in for the generator of synthetic digits, which is slow, and records its calls."""
    calls = []

    def synthetic_digits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        calls.append((count, seed))
        return np.full((count, 28, 28), 7 + seed, np.uint8), np.arange(count).astype(np.uint8) % 10

    stand_in = SimpleNamespace(synthetic_digits=synthetic_digits)
    monkeypatch.setitem(sys.modules, "gans.data.drawn.digits", stand_in)
    monkeypatch.setattr(mnist, "_SYNTHETIC_COUNT", {"train": 60, "test": 10})
    return calls


@pytest.fixture
def offline() -> Iterator[Remote]:
    """Two mirrors that refuse the connection."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        yield Remote((f"{url}/a/", f"{url}/b/"), dict.fromkeys(mnist.MNIST.md5, ""))


@pytest.fixture
def online(folder: Path, tmp_path: Path, offline: Remote) -> Remote:
    """A dead mirror, then a good one."""
    published, md5 = tmp_path / "published", {}
    published.mkdir()
    for plain in folder.iterdir():
        content = gzip.compress(plain.read_bytes(), 1)
        (published / f"{plain.name}.gz").write_bytes(content)
        md5[f"{plain.name}.gz"] = hashlib.md5(content).hexdigest()
    return Remote((offline.mirrors[0], f"{published.as_uri()}/"), md5)


def refusal(folder: Path, **options: bool) -> str:
    with pytest.raises(DataError) as caught:
        load_mnist(folder, **options)
    message = str(caught.value)
    assert message.startswith(str(folder)) and message.endswith(".") and "\n" not in message
    return message


def zip_up(path: Path) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    path.unlink()


# --- a folder of one's own


def test_each_split_is_read_from_its_files(folder: Path, capsys) -> None:
    for split, step in (("train", 1), ("test", -1)):
        digits = load_mnist(folder, split, labels=True)
        np.testing.assert_array_equal(digits.images, IMAGES[::step])
        np.testing.assert_array_equal(digits.labels, LABELS[::step])
    assert str(folder) in digits.source
    assert capsys.readouterr().err == ""


def test_labels_are_left_alone_unless_asked_for(folder: Path) -> None:
    (folder / TRAIN_LABELS).unlink()
    assert load_mnist(folder).labels is None
    assert TRAIN_LABELS in refusal(folder, labels=True)


@pytest.mark.parametrize("place", ["", "raw", "MNIST/raw"])
@pytest.mark.parametrize("name", [TRAIN_IMAGES, "train-images.idx3-ubyte"])
@pytest.mark.parametrize("zipped", [False, True])
def test_every_usual_layout_is_found(tmp_path: Path, place: str, name: str, zipped: bool) -> None:
    path = tmp_path / "data" / place / name
    write_idx(path, IMAGES)
    if zipped:
        zip_up(path)
    np.testing.assert_array_equal(load_mnist(str(tmp_path / "data")).images, IMAGES)


@pytest.mark.parametrize("damaged", ["plain", "gzip"])
def test_the_good_one_of_two_copies_is_taken(folder: Path, damaged: str) -> None:
    plain, zipped = folder / TRAIN_IMAGES, folder / f"{TRAIN_IMAGES}.gz"
    shutil.copy(plain, zipped)
    bad, good = (plain, zipped) if damaged == "plain" else (zipped, plain)
    bad.write_bytes(b"rubbish")
    assert load_mnist(folder).source == str(good)
    good.write_bytes(b"rubbish")
    assert str(plain) in refusal(folder)


def test_a_folder_named_like_the_file_does_not_hide_the_file(folder: Path) -> None:
    zip_up(folder / TRAIN_IMAGES)
    (folder / TRAIN_IMAGES).mkdir()
    assert load_mnist(folder).source.endswith(".gz")


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        (IMAGES[:0], "holds no images"),
        (IMAGES[0], "holds 28 x 28 numbers"),
        (IMAGES[:, :27], "holds 12 x 27 x 28 numbers"),
        (LABELS, "holds 12 numbers"),
        (IMAGES.astype(np.float32), "of type float32"),
    ],
)
def test_what_are_no_images_is_refused(folder: Path, images: np.ndarray, complaint: str) -> None:
    write_idx(folder / TRAIN_IMAGES, images)
    assert complaint in refusal(folder)


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (LABELS[:0], "holds no labels"),
        (LABELS[:-1], "11 labels for the 12 images"),
        (LABELS + 90, "has a label 99"),
        (IMAGES, "not one byte per label"),
    ],
)
def test_what_are_not_its_labels_is_refused(folder: Path, labels: np.ndarray, complaint: str) -> None:
    write_idx(folder / TRAIN_LABELS, labels)
    assert complaint in refusal(folder, labels=True)


def test_a_folder_that_is_missing_empty_or_a_file_is_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "No such file" in refusal(tmp_path / "nowhere")
    assert f"has no {TRAIN_IMAGES}" in refusal(tmp_path / "empty")
    assert "--data takes the folder" in refusal(folder / TRAIN_IMAGES)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no MNIST in {REAL}")
def test_the_real_files_are_what_is_published() -> None:
    assert mnist._is_complete(REAL, mnist.MNIST)
    digits = load_mnist(REAL, "test", labels=True)
    assert digits.images.shape == (10_000, 28, 28)
    assert digits.labels is not None and digits.labels[:5].tolist() == [7, 2, 1, 0, 4]


# --- no folder: the cache, else the network


def test_a_download_fills_the_cache_and_a_dead_mirror_is_asked_once(cache: Path, online: Remote, capsys) -> None:
    digits = load_mnist(labels=True, remote=online)
    np.testing.assert_array_equal(digits.images, IMAGES)
    np.testing.assert_array_equal(digits.labels, LABELS)
    assert sorted(file.name for file in cache.iterdir()) == sorted(online.md5)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_full_cache_needs_no_network_and_no_right_to_write(online: Remote, monkeypatch, capsys) -> None:
    load_mnist(remote=online)
    capsys.readouterr()
    monkeypatch.setattr(tempfile, "TemporaryFile", None)  # any attempt to write would raise TypeError
    digits = load_mnist(split="test", remote=Remote((), online.md5))
    np.testing.assert_array_equal(digits.images, IMAGES[::-1])
    assert capsys.readouterr().err == ""


def test_a_damaged_file_in_the_cache_is_fetched_again(cache: Path, online: Remote) -> None:
    load_mnist(remote=online)
    (cache / f"{TRAIN_IMAGES}.gz").write_bytes(b"rubbish")
    np.testing.assert_array_equal(load_mnist(remote=online).images, IMAGES)


def test_an_unwritable_cache_does_not_prevent_a_download(cache: Path, online: Remote, capsys) -> None:
    cache.parent.touch()  # a file where a folder should be
    np.testing.assert_array_equal(load_mnist(remote=online).images, IMAGES)
    assert sum("Nothing is cached" in line for line in capsys.readouterr().err.splitlines()) == 1


# --- neither: synthetic digits


def test_without_a_network_the_digits_are_synthetic_and_a_line_says_so(offline: Remote, drawn, capsys) -> None:
    digits = load_mnist(labels=True, remote=offline)
    assert digits.images.shape == (60, 28, 28) and digits.labels is not None and len(digits.labels) == 60
    assert digits.source == "60 synthetic digits (train, seed 0)"
    assert drawn == [(60, 0)]
    *per_mirror, last = capsys.readouterr().err.splitlines()
    assert len(per_mirror) == 2
    assert last == (
        "No MNIST here and no network (the connection is refused): using 60 synthetic digits instead; "
        "--data DIR takes the real files."
    )


def test_synthetic_digits_come_from_the_cache_the_second_time(drawn, capsys) -> None:
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


@pytest.mark.parametrize("content", [None, b"", b"rubbish", "short", "float"])
def test_damaged_synthetic_digits_are_silently_drawn_again(cache: Path, drawn, capsys, content) -> None:
    load_mnist("synthetic")
    path = next(cache.glob("synthetic-*-train-images*"))
    match content:
        case None:
            path.unlink()
        case "short":
            write_idx(path, read_idx(path)[:-1])
        case "float":
            write_idx(path, read_idx(path).astype(np.float32))
        case _:
            path.write_bytes(content)
    assert load_mnist("synthetic").images.shape == (60, 28, 28)
    assert read_idx(path).shape == (60, 28, 28)
    assert len(drawn) == 2
    assert capsys.readouterr().err == ""


def test_digits_of_an_older_generator_are_not_taken(drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    load_mnist("synthetic")
    monkeypatch.setattr(mnist, "drawn_version", lambda *_: "newer")
    load_mnist("synthetic")
    assert len(drawn) == 2


def test_an_unwritable_cache_does_not_prevent_synthetic_digits(cache: Path, drawn, capsys) -> None:
    cache.parent.touch()
    assert len(load_mnist("synthetic").images) == 60
    (line,) = capsys.readouterr().err.splitlines()
    assert "Nothing is cached" in line and str(cache) in line


def test_a_machine_where_nothing_can_be_written_still_gets_digits(cache: Path, online: Remote, monkeypatch) -> None:
    def forbid(*_: object, **__: object) -> None:
        raise FileNotFoundError("no usable temporary directory")

    cache.parent.touch()
    monkeypatch.setattr(tempfile, "TemporaryDirectory", forbid)
    assert len(load_mnist(remote=online).images) == 60
