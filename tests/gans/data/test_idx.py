import contextlib
import errno
import gzip
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gans.data.errors import DataError
from gans.data.idx import read_idx, write_idx

DTYPES = [np.uint8, np.int8, np.int16, np.int32, np.float32, np.float64]
ARRAYS = hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
PLAIN = struct.pack(">HBB3I", 0, 8, 3, 3, 4, 5) + IMAGES.tobytes()
VALID = {"plain": PLAIN, "gzip": gzip.compress(PLAIN, mtime=0)}

one_file_for_all_examples = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "images-idx3-ubyte"


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_idx(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message
    return message


@given(array=ARRAYS, zipped=st.booleans())
@one_file_for_all_examples
def test_what_is_written_is_read_back(path: Path, array: np.ndarray, zipped: bool) -> None:
    write_idx(path, array)
    if zipped:
        path.write_bytes(gzip.compress(path.read_bytes(), 1))
    read = read_idx(path)
    assert read.dtype == array.dtype and read.dtype.isnative and read.flags.writeable
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("array", [IMAGES.T, IMAGES[:, ::2], IMAGES.astype(">i2"), np.asfortranarray(IMAGES)])
def test_layout_and_byte_order_in_memory_do_not_matter(path: Path, array: np.ndarray) -> None:
    write_idx(path, array)
    np.testing.assert_array_equal(read_idx(path), array)


def test_the_bytes_are_those_of_the_format(path: Path) -> None:
    write_idx(path, IMAGES)
    assert path.read_bytes() == PLAIN


@pytest.mark.parametrize("kind", VALID)
def test_every_truncation_is_refused(path: Path, kind: str) -> None:
    for length in range(len(VALID[kind])):
        path.write_bytes(VALID[kind][:length])
        refusal(path)


@given(kind=st.sampled_from(sorted(VALID)), where=st.integers(0), flip=st.integers(1, 255))
@one_file_for_all_examples
def test_a_flipped_byte_gives_the_declared_shape_or_a_refusal(path: Path, kind: str, where: int, flip: int) -> None:
    content = bytearray(VALID[kind])
    content[where % len(content)] ^= flip
    path.write_bytes(content)
    try:
        read = read_idx(path)
    except DataError:
        return
    header = gzip.decompress(content) if kind == "gzip" else content
    assert read.shape == struct.unpack_from(f">{header[3]}I", header, 4)


@given(content=st.binary(max_size=60), start=st.sampled_from([b"", b"\0\0", b"\0\0\x08\x01", b"\x1f\x8b\x08"]))
@one_file_for_all_examples
def test_random_bytes_give_an_array_or_a_refusal(path: Path, content: bytes, start: bytes) -> None:
    path.write_bytes(start + content)
    with contextlib.suppress(DataError):
        assert isinstance(read_idx(path), np.ndarray)


@pytest.mark.parametrize(
    ("content", "look"),
    [
        (b"\n<!DOCTYPE html><html>", "an HTML page"),
        (b"<?xml version='1.0'?><Error>", "an XML page"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"PK\x03\x04....", "a zip archive"),
        (b"hello, world\n", "a text file"),
        (b"\x93NUMPY\x01\x00", "a NumPy .npy file"),
        (gzip.compress(gzip.compress(PLAIN)), "a gzip file"),
        (bytes(range(200, 256)), "wrong first bytes"),
    ],
)
def test_another_kind_of_file_is_named(path: Path, content: bytes, look: str) -> None:
    path.write_bytes(content)
    assert look in refusal(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (gzip.compress(b""), "is empty"),
        (PLAIN[:-1], "its header promises 76 bytes, it has 75"),
        (PLAIN + b"\0", "its header promises 76 bytes, it has 77"),
        (gzip.compress(PLAIN[:-1]), "its header promises 60 bytes of data, it has only 59"),
        (gzip.compress(PLAIN + b"\0"), "its header promises 60 bytes of data, it has more"),
        (VALID["gzip"] + b"rubbish", "damaged gzip"),
        (VALID["gzip"][:-1], "ends too early"),
        (b"\0\0\x07\x01" + PLAIN[4:], "type code 7"),
        (b"\0\0\x08\x00" + PLAIN[4:], "0 dimensions"),
        (b"\0\0\x08\xff" + bytes(4 * 255), "255 dimensions"),
        (b"\0\0\x08\x04" + struct.pack(">4I", 0, *[2**32 - 1] * 3), "absurd"),
    ],
)
def test_damage_is_described(path: Path, content: bytes, complaint: str) -> None:
    path.write_bytes(content)
    assert complaint in refusal(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_memory_is_not_taken_on_the_word_of_the_header(path: Path, pack) -> None:
    path.write_bytes(pack(struct.pack(">HBB3I", 0, 8, 3, 60_000, 2_800, 28) + b"\0" * 99))
    tracemalloc.start()
    try:
        assert "promises" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_missing_file_and_a_folder_are_refused(path: Path) -> None:
    assert "does not exist" in refusal(path)
    path.mkdir()
    assert "is a folder" in refusal(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this platform")
def test_a_named_pipe_is_refused_without_waiting(path: Path) -> None:
    os.mkfifo(path)
    assert "not a regular file" in refusal(path)


def test_an_unreadable_file_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    path.write_bytes(PLAIN)
    monkeypatch.setattr(Path, "open", forbid)  # not chmod, which does not stop root
    assert "Permission denied" in refusal(path)


def test_a_failed_write_leaves_the_old_file_and_no_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_idx(path, IMAGES)
    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(DataError, match="No space left on device"):
        write_idx(path, IMAGES + 1)
    np.testing.assert_array_equal(read_idx(path), IMAGES)
    assert list(path.parent.iterdir()) == [path]


def test_writing_below_a_file_or_onto_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "images", tmp_path / "folder"):
        with pytest.raises(DataError, match="cannot be written"):
            write_idx(path, IMAGES)
    assert len(list(tmp_path.iterdir())) == 2


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_idx(tmp_path / "a" / "b" / "images", IMAGES)
    np.testing.assert_array_equal(read_idx(tmp_path / "a" / "b" / "images"), IMAGES)


def test_what_idx_cannot_hold_is_a_programming_error(path: Path) -> None:
    with pytest.raises(TypeError):
        write_idx(path, IMAGES.astype(np.complex64))
    with pytest.raises(ValueError):
        write_idx(path, np.array(1, np.uint8))
