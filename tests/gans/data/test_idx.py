"""IDX files are written and read exactly; damaged ones are errors that say what is wrong."""

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

from gans.data import idx as module
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


def error_message(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_idx(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message
    return message


@given(array=ARRAYS, compressed=st.booleans())
@one_file_for_all_examples
def test_arrays_survive_a_round_trip(path: Path, array: np.ndarray, compressed: bool) -> None:
    write_idx(path, array)
    if compressed:
        path.write_bytes(gzip.compress(path.read_bytes(), 1, mtime=0))
    read = read_idx(path)
    assert read.dtype == array.dtype and read.dtype.isnative and read.flags.writeable
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("array", [IMAGES.T, IMAGES[:, ::2], IMAGES.astype(">i2"), np.asfortranarray(IMAGES)])
def test_any_memory_layout_and_byte_order_can_be_written(path: Path, array: np.ndarray) -> None:
    write_idx(path, array)
    np.testing.assert_array_equal(read_idx(path), array)


def test_the_file_has_the_bytes_of_the_specification(path: Path) -> None:
    write_idx(path, IMAGES)
    assert path.read_bytes() == PLAIN


@pytest.mark.parametrize("form", VALID)
def test_every_truncation_is_an_error(path: Path, form: str) -> None:
    for length in range(len(VALID[form])):
        path.write_bytes(VALID[form][:length])
        error_message(path)


@given(form=st.sampled_from(sorted(VALID)), where=st.integers(0), flip=st.integers(1, 255))
@one_file_for_all_examples
def test_a_corrupted_byte_gives_the_shape_in_the_header_or_an_error(path: Path, form: str, where: int, flip: int) -> None:
    content = bytearray(VALID[form])
    content[where % len(content)] ^= flip
    path.write_bytes(content)
    try:
        read = read_idx(path)
    except DataError:
        return
    header = gzip.decompress(content) if form == "gzip" else content
    assert read.shape == struct.unpack_from(f">{header[3]}I", header, 4)


@given(content=st.binary(max_size=60), start=st.sampled_from([b"", b"\0\0", b"\0\0\x08\x01", b"\x1f\x8b\x08"]))
@one_file_for_all_examples
def test_random_bytes_give_an_array_or_an_error(path: Path, content: bytes, start: bytes) -> None:
    path.write_bytes(start + content)
    with contextlib.suppress(DataError):
        assert isinstance(read_idx(path), np.ndarray)


@pytest.mark.parametrize(
    ("content", "file_type"),
    [
        (b"\n<!DOCTYPE html><html>", "an HTML page"),
        (b"<?xml version='1.0'?><Error>", "an XML page"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"PK\x03\x04....", "a zip archive"),
        (b"hello, world\n", "a text file"),
        (b"\x93NUMPY\x01\x00", "a NumPy .npy file"),
        (gzip.compress(gzip.compress(PLAIN, mtime=0), mtime=0), "a gzip file"),
        (bytes(range(200, 256)), "wrong magic number"),
    ],
)
def test_the_error_names_the_type_of_another_file(path: Path, content: bytes, file_type: str) -> None:
    path.write_bytes(content)
    assert file_type in error_message(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (PLAIN[:-1], "its header implies 76 bytes, but it has 75"),
        (PLAIN + b"\0", "its header implies 76 bytes, but it has 77"),
        (gzip.compress(PLAIN[:-1], mtime=0), "its header implies 60 bytes of data, but it has only 59"),
        (gzip.compress(PLAIN + b"\0", mtime=0), "its header implies 60 bytes of data, but it has more"),
        (VALID["gzip"] + b"rubbish", "damaged gzip"),
        (VALID["gzip"][:-1], "ends too early"),
        (b"\0\0\x07\x01" + PLAIN[4:], "type code 7"),
        (b"\0\0\x08\x00" + PLAIN[4:], "0 dimensions"),
        (b"\0\0\x08\xff" + bytes(4 * 255), "255 dimensions"),
        (b"\0\0\x08\x04" + struct.pack(">4I", 0, *[2**32 - 1] * 3), "impossible shape"),
    ],
)
def test_the_error_describes_the_damage(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    assert message in error_message(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_wrong_size_in_the_header_does_not_allocate_memory(path: Path, pack) -> None:
    path.write_bytes(pack(struct.pack(">HBB3I", 0, 8, 3, 60_000, 2_800, 28) + b"\0" * 99))
    tracemalloc.start()
    try:
        assert "its header implies" in error_message(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_missing_file_and_a_folder_are_errors(path: Path) -> None:
    assert "does not exist" in error_message(path)
    path.mkdir()
    assert "is a folder" in error_message(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this platform")
def test_a_named_pipe_is_an_error_and_does_not_block(path: Path) -> None:
    os.mkfifo(path)
    assert "not a regular file" in error_message(path)


def test_a_file_without_read_permission_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    path.write_bytes(PLAIN)
    monkeypatch.setattr(Path, "open", forbid)  # not chmod, which does not stop root
    assert "Permission denied" in error_message(path)


def test_a_failed_write_leaves_only_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_idx(path, IMAGES)
    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(DataError, match="No space left on device"):
        write_idx(path, IMAGES + 1)
    np.testing.assert_array_equal(read_idx(path), IMAGES)
    assert list(path.parent.iterdir()) == [path]


def test_writing_below_a_file_or_over_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "images", tmp_path / "folder"):
        with pytest.raises(DataError, match="cannot be written"):
            write_idx(path, IMAGES)
    assert len(list(tmp_path.iterdir())) == 2


def test_missing_folders_are_created(tmp_path: Path) -> None:
    write_idx(tmp_path / "a" / "b" / "images", IMAGES)
    np.testing.assert_array_equal(read_idx(tmp_path / "a" / "b" / "images"), IMAGES)


def test_dtypes_and_shapes_that_idx_cannot_hold_are_errors(path: Path) -> None:
    with pytest.raises(TypeError):
        write_idx(path, IMAGES.astype(np.complex64))
    with pytest.raises(ValueError):
        write_idx(path, np.array(1, np.uint8))


def test_a_file_that_does_not_fit_into_memory_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    path.write_bytes(PLAIN)
    monkeypatch.setattr(module, "_read_payload", no_memory)
    assert "more data than there is memory" in error_message(path)
